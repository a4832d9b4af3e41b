"""`edgefer train`: a data set -> a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgefer.cli.common import Debug, Json, Output, Threads, writable_folder
from edgefer.cli.data import DatasetName, FerPlus, SkipBad, open_data, tell
from edgefer.data.dataset import Dataset
from edgefer.data.packed import Packed
from edgefer.errors import DataError, UsageError
from edgefer.optional import require

NAME = "train"
NEEDS = ("torch", "lightning", "safetensors")
PACKED = "data.safetensors"


def command(
    data: Annotated[Path, typer.Option("--data", help="The data set as it lies on disk, or a packed file.")],
    dataset: DatasetName,
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoints, logs and curves.", metavar="DIR", callback=writable_folder)
    ],
    recipe: Annotated[str, typer.Option(help="paper, strong, or a TOML file.")] = "paper",
    model: Annotated[
        str | None,
        typer.Option(help="reference (default), paper, half, quarter, or c1 to c6.", show_default=False),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to start from (fine-tuning); it decides the model.", metavar="FILE"),
    ] = None,
    ferplus: FerPlus = None,
    skip_bad: SkipBad = False,
    hold_out: Annotated[
        float | None, typer.Option(help="Share of train kept for validation where the set has no validation split.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Over all devices; instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation and dropout.")] = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[str, typer.Option(help="How many, or auto.")] = "1",
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    compile: Annotated[bool, typer.Option("--compile", help="torch.compile the network.")] = False,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what --out holds.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train ResEmoteNet. The best checkpoint by validation accuracy is kept; the test split is never looked at."""
    require(NEEDS, "train", "training")
    from edgefer.model import checkpoint as checkpoints
    from edgefer.train import recipe as recipes
    from edgefer.train.loop import TrainConfig, check, train

    output = Output(json)
    overrides = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    chosen = recipes.load(recipe, **{key: value for key, value in overrides.items() if value is not None})
    network = model or (checkpoints.load(weights).architecture if weights else "reference")
    check(network, out, resume)
    packed = prepare(data, dataset, ferplus, skip_bad, hold_out, out, seed, output)
    result = train(
        TrainConfig(
            packed=packed,
            out=out,
            recipe=chosen,
            model=network,
            weights=weights,
            seed=seed,
            accelerator=accelerator,
            devices=int(devices) if devices.isdigit() else devices,
            nodes=nodes,
            precision=precision,
            compile=compile,
            resume=resume,
            threads=threads,
        )
    )
    if result.best is not None:
        output.line("best", f"epoch {result.best_epoch}: {result.best_accuracy:.2%} on validation")
        output.line("written", str(result.best))
        output.line("next", f"edgefer evaluate {result.best} --data {packed.path} --dataset {dataset}")
    if not result.finished:
        output.line("interrupted", "the state is written; add --resume to continue")
    output.result(
        {
            "best": str(result.best) if result.best else None,
            "best_epoch": result.best_epoch,
            "best_accuracy": result.best_accuracy,
            "finished": result.finished,
            "history": result.history,
        }
    )


def prepare(
    data: Path,
    dataset: str,
    ferplus: Path | None,
    skip_bad: bool,
    hold_out: float | None,
    out: Path,
    seed: int,
    output: Output,
) -> Packed:
    """Open a packed file, or read a data set and pack it once into `out`.

    Raises:
        UsageError: `hold_out` was given for a packed file, or is not a share.
        DataError: there is no validation split and none was asked for.
    """
    if hold_out is not None and not 0 < hold_out < 1:
        raise UsageError(f"--hold-out {hold_out} cannot be.", "pass a share between 0 and 1, such as 0.1.")
    with output.working("reading the list of images"):
        source: Any = open_data(data, dataset, ferplus, skip_bad)
    if isinstance(source, Packed):
        if hold_out is not None or ferplus is not None:
            raise UsageError("--hold-out and --ferplus cannot change a packed file.", "pass the data set itself.")
        packed = source
    else:
        packed = _pack(source, hold_out, out / PACKED, seed, output)
    if not len(packed.indices("val")):
        raise DataError(f"{dataset} has no validation split.", "keep a part of train for it: --hold-out 0.1.")
    tell(output, packed)
    return packed


def _pack(source: Dataset, hold_out: float | None, path: Path, seed: int, output: Output) -> Packed:
    from edgefer.data.pack import pack
    from edgefer.preprocess import Preprocess

    if hold_out is not None:
        source = source.hold_out(hold_out, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with output.bar("pack") as bar:
        packed = pack(source, Preprocess(), path, bar)
    for where, why in source.skipped:
        output.line("skipped", f"{where}: {why}")
    return packed
