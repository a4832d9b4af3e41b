"""`edgefer bench`: how fast, on this machine, beside what."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edgefer.bench import environment, inputs, ours, report
from edgefer.bench.compare import TOLERANCE, describe, read
from edgefer.bench.compare import compare as compare_results
from edgefer.bench.environment import default_threads
from edgefer.bench.runs import PROCESSES, Plan
from edgefer.bench.suite import bench
from edgefer.cli.common import Debug, Json, Output, Provider, writable_folder
from edgefer.errors import UsageError
from edgefer.optional import require

NAME = "bench"
DEFAULT_SECONDS = 10.0
MODES = {"compare": {"tolerance"}, "paper": {"checkpoint", "threads", "seconds", "out"}}


def command(
    context: typer.Context,
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ARTIFACT", help="Artifact directories, .onnx files; the shipped one if left out."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Also measure this checkpoint in PyTorch: eager, BN folded, compiled.", metavar="FILE"),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Measure what the paper's table measures, and show both.")
    ] = False,
    boundary: Annotated[
        list[str] | None,
        typer.Option(help="compute, host or end_to_end; may be repeated. Default: host.", metavar="NAME"),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Images in a call; may be repeated. Default: 1.", metavar="N")
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="CPU threads; may be repeated. Default: all physical cores.", metavar="N"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="To measure each candidate for in each setting. Default: 10.", metavar="S")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Fresh processes of each; fewer than 6 show no difference. Default: 6.", metavar="N"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Calls a second, arriving at random: latency then includes waiting.", metavar="R"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of face images to rotate through, instead of drawn ones.", metavar="DIR")
    ] = None,
    provider: Provider = None,
    device: Annotated[
        str | None, typer.Option(help="Where --checkpoint runs: cpu or cuda. Default: cpu.", metavar="NAME")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Compare two results.json; exit code 1 if something became slower.", metavar="OLD NEW"),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="With --compare: slower by this share is still well. Default: 0.05.", metavar="SHARE"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for samples, results, pictures and report.html.", metavar="DIR", callback=writable_folder
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Measure candidates side by side, in turn, and say which differences are shown."""
    given = {name: value for name, value in context.params.items() if _is_given(value)}
    _refuse_contradictions(given)
    output = Output(json)
    if compare is not None:
        return _compare(output, *compare, tolerance)
    if out is not None:
        require(("matplotlib",), "bench", "bench --out")
    if paper:
        return _paper(output, checkpoint, (threads or [default_threads()]), seconds, out, _typed(context))
    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"--device {device} is not known.", "choose cpu or cuda.")
    typed = _typed(context)
    settings = [(b, n, t) for b in boundary or ["host"] for t in threads or [default_threads()] for n in batch or [1]]
    seconds = DEFAULT_SECONDS if seconds is None else seconds
    plans = [Plan(b, n, t, seconds, rate, processes or PROCESSES) for b, n, t in settings]
    with output.working("reading"):
        pool = inputs.from_folder(images) if images else inputs.drawn()
        candidates = ours.checkpoint(checkpoint, device or "cpu") if checkpoint else []
        candidates += ours.artifacts(artifacts or [None], provider)
    with output.bar("measure") as bar:
        runs, results = bench(candidates, plans, pool, typed, _measuring(bar))
    _print(output, results)
    if out is not None:
        report.write(out, results, runs)
        output.line("written", f"{out}/  report.html  summary.md  results.json  environment.json  samples.jsonl  *.png")
    output.result(results)
    return 0


def _paper(
    output: Output, checkpoint: Path | None, threads: list[int], seconds: float | None, out: Path | None, typed: str
) -> int:
    """The paper's table."""
    require(("torch", "onnx", "onnxscript", "onnxsim", "safetensors"), "export", "bench --paper")
    from edgefer.bench import paper, paper_report

    if len(threads) > 1:
        raise UsageError("--paper takes one number of threads.", "run it once for each.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with output.working("exporting"):
            models = paper.artifacts(Path(folder), checkpoint, output.line)
        with output.bar("measure") as bar:
            runs, results = paper.bench(
                models, threads[0], DEFAULT_SECONDS if seconds is None else seconds, typed, _measuring(bar)
            )
    output.line("machine", environment.describe(results["environment"]))
    for model, found in results["paper"]["models"].items():
        output.text()
        columns, rows = paper.tabulate(found)
        output.table([f"{model}: {columns[0]}", *columns[1:]], rows)
    output.text()
    for text in paper_report.notes(results):
        output.line("found", text)
    for text in paper_report.remarks(results):
        output.line("remark", text)
    if out is not None:
        paper_report.write(out, results, runs)
        output.line("written", f"{out}/  report.html  paper.md  paper.png  results.json  samples.jsonl")
    output.result(results)
    return 0


def _measuring(bar: Any) -> Any:
    """Progress of what takes long; opening and warming up have no measure."""
    return lambda what, done, total: bar(done, total) if what == "measuring" else None


def _print(output: Output, results: dict[str, Any]) -> None:
    output.line("machine", environment.describe(results["environment"]))
    output.line("images", results["runs"][0]["images"]["source"])
    for run in results["runs"]:
        for table in (report.timing(run), report.costs(run)):
            output.text()
            output.table(*table)
    output.text()
    for text in report.remarks(results):
        output.line("remark", text)


def _compare(output: Output, old: Path, new: Path, tolerance: float | None) -> int:
    """Print what changed; 1 if something became slower."""
    found = compare_results(read(old), read(new), TOLERANCE if tolerance is None else tolerance)
    rows = [
        [
            describe(change.key),
            report.figure(change.old_ms),
            report.figure(change.new_ms),
            f"{change.slower.value:.3f}",
            f"{change.slower.low:.3f} to {change.slower.high:.3f}" if change.slower.low is not None else "-",
            change.verdict,
        ]
        for change in found.changes
    ]
    output.table(["", "old p50 ms", "new p50 ms", "times as long", "95 % interval", ""], rows)
    for text in found.remarks:
        output.line("remark", text)
    changes = [{**asdict(change), "verdict": change.verdict} for change in found.changes]
    output.result({"regressed": found.regressed, "changes": changes, "remarks": found.remarks})
    return 1 if found.regressed else 0


def _refuse_contradictions(given: dict[str, Any]) -> None:
    """Options are never ignored: what another one makes meaningless is refused."""
    always = {"json", "debug"}
    for mode, allowed in MODES.items():
        if mode in given:
            foreign = sorted(set(given) - allowed - always - {mode})
            if foreign:
                raise UsageError(f"--{mode} and {_flag(foreign[0])} do not go together.", "leave one of them out.")
    for name, needs in (("tolerance", "compare"), ("device", "checkpoint")):
        if name in given and needs not in given:
            raise UsageError(f"--{name} means nothing without --{needs}.", f"add --{needs}, or leave it out.")


def _is_given(value: Any) -> bool:
    """Whether an option was used: None, no and nothing are what the others are; 0 is a value."""
    return not (value is None or value is False or value == [] or value == ())


def _flag(name: str) -> str:
    return "an artifact" if name == "artifacts" else f"--{name}"


def _typed(context: typer.Context) -> str:
    """The command as it would be typed, for the record; without --json and --debug, which change nothing."""
    words = ["edgefer", NAME]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in ("json", "debug") or not _is_given(value):
            continue
        if parameter.name == "artifacts":
            words += [str(path) for path in value or []]
        elif value is True:
            words.append(parameter.opts[0])
        elif isinstance(value, tuple):
            words += [parameter.opts[0], *map(str, value)]
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [parameter.opts[0], f"{one:g}" if isinstance(one, float) else str(one)]
    return shlex.join(words)
