"""`edgefer export`: a checkpoint -> a proven artifact."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from edgefer.cli.common import Debug, Images, Json, Output, ProofFailedError, differing_table, parse_batch, probe
from edgefer.errors import UsageError
from edgefer.export.targets import TARGETS, Option, all_options
from edgefer.optional import installed, require
from edgefer.weights import CHECKPOINT, shipped

NAME = "export"
_DEFAULTS: dict[str, Any] = {"target": "onnx", "precision": "fp32", "size": None, "batch": None, "specialize": True}


def with_target_options(function: Any) -> Any:
    """Give a command one parameter for each option of a registered target, under a heading that names the targets."""
    signature = inspect.signature(function, eval_str=True)
    fixed = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    own = [_parameter(option, targets) for option, targets in all_options().values()]
    function.__signature__ = signature.replace(parameters=[*fixed, *own])
    return function


def _parameter(option: Option, targets: list[str]) -> inspect.Parameter:
    choices = f": {', '.join(option.choices)}" if option.choices else ""
    info = typer.Option(option.flag, help=f"{option.help}{choices}.", rich_help_panel=f"Only {', '.join(targets)}")
    kind = bool if option.kind is bool else option.kind | None
    default = False if option.kind is bool else None
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


@with_target_options
def command(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="A .safetensors of ours or the authors' .pth; the shipped weights if left out."),
    ] = None,
    target: Annotated[str | None, typer.Option(help=f"What to build: {', '.join(TARGETS)}. Default: onnx.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, or int8 where the target has it. Default: fp32.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Input size in pixels, 32 to 224. Default: the checkpoint's.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(help="A fixed batch size, or min:opt:max for an engine. Default: any, for engines 1:8:32."),
    ] = None,
    images: Images = None,
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file with these options for a device.", metavar="FILE")
    ] = None,
    no_specialize: Annotated[bool, typer.Option("--no-specialize", help="Keep the plain graph.")] = False,
    require_run: Annotated[
        bool, typer.Option("--require-run", help="Fail (exit code 4) when the artifact cannot be run here.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Directory to write.", metavar="DIR")] = ...,  # type: ignore[assignment]
    json: Json = False,
    debug: Debug = False,
    **target_options: Any,
) -> None:
    """Build an artifact from a checkpoint, prove that it predicts the same, and write it."""
    require(("torch", "safetensors"), "export", "exporting")
    from edgefer.export.run import NotProvenError, Options, export, refuse_foreign
    from edgefer.model import checkpoint as checkpoints

    given = {"target": target, "precision": precision, "size": size, "batch": batch}
    if no_specialize:
        given["specialize"] = False
    given |= {name: value for name, value in target_options.items() if value is not False}
    chosen = {**_DEFAULTS, **_read_recipe(recipe), **{key: value for key, value in given.items() if value is not None}}
    options = Options(
        target=chosen["target"],
        precision=chosen["precision"],
        size=chosen["size"],
        batch=parse_batch(chosen["batch"]),
        specialized=chosen["specialize"],
        require_run=require_run,
        target_options={name: value for name, value in chosen.items() if name not in _DEFAULTS},
    )
    refuse_foreign(out)
    checkpoint = checkpoint or shipped(CHECKPOINT)
    output = Output(json)
    with output.working("reading the checkpoint"):
        source = checkpoints.load(checkpoint)
        faces = probe(images)
    try:
        with output.bar("building") as bar:
            artifact = export(source, out, faces, options, output.line, bar)
    except NotProvenError as error:
        rows = error.comparison.rows()
        if not json:
            differing_table(output, rows)
        figures = {**error.comparison.summary(), "differing_images": rows}
        raise ProofFailedError(str(error), error.hint, figures) from error
    manifest = artifact.manifest
    files = sorted(p.name for p in artifact.path.iterdir())
    output.line("written", f"{out}/  {'  '.join(files)}")
    proven = manifest.proof == "passed"
    same = "" if checkpoint == CHECKPOINT else f" --checkpoint {checkpoint}"
    verify = f"edgefer verify {out}{same}, on the machine that will run it"
    output.line("next", f"edgefer predict {out} face.jpg" if proven else verify)
    output.result({"out": str(out), "manifest": manifest.to_dict()})


def _read_recipe(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        tomllib = import_module("tomllib" if installed("tomllib") else "tomli")  # Python 3.10 has only the package
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"the recipe {path} does not exist.", "recipes lie in the folder export/.") from None
    except OSError as error:
        raise UsageError(f"the recipe {path} cannot be read: {error.strerror}.", "pass a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the recipe {path} is not TOML: {error}.", "see export/cpu.toml for an example.") from None
    kinds = {"target": str, "precision": str, "size": int, "batch": str, "specialize": bool}
    kinds |= {name: option.kind for name, (option, _) in all_options().items()}
    for key, value in values.items():
        if key not in kinds:
            raise UsageError(f"the recipe {path} has the unknown key {key}.", f"known keys: {', '.join(kinds)}.")
        if type(value) is not kinds[key]:
            raise UsageError(f"the recipe {path} has {key} = {value!r}.", f"it must be a {kinds[key].__name__}.")
    return values
