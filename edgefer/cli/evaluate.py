"""`edgefer evaluate`: accuracy of a checkpoint or an artifact on a data set."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

import edgefer
from edgefer.cli.common import Debug, Json, Output, Provider, Threads, writable_folder
from edgefer.cli.data import DatasetName, FerPlus, SkipBad, open_data
from edgefer.data.pack import pack
from edgefer.data.packed import Packed
from edgefer.errors import UsageError
from edgefer.optional import require
from edgefer.preprocess import Preprocess
from edgefer.weights import ARTIFACT, shipped

NAME = "evaluate"
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")


def command(
    data: Annotated[Path, typer.Option("--data", help="The data set as it lies on disk, or a packed file.")],
    dataset: DatasetName,
    model: Annotated[
        Path | None, typer.Argument(metavar="[CHECKPOINT|ARTIFACT]", help="The shipped model if left out.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    ferplus: FerPlus = None,
    skip_bad: SkipBad = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for evaluation.json and confusion matrices.", metavar="DIR", callback=writable_folder
        ),
    ] = None,
    provider: Provider = None,
    threads: Threads = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure accuracy, macro-F1, recall by class and calibration, the same way for checkpoints and artifacts."""
    require(("torch", "safetensors"), "train", "evaluating")
    from edgefer.train.evaluate import Report, Scores, evaluate

    output = Output(json)
    model = model or shipped(ARTIFACT)
    # Windows cannot remove a file that is mapped, and the mapping lives as long as this process.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with output.working("loading"):
            predict, preprocess, name = _predictor(model, provider, threads)
            packed = _packed(open_data(data, dataset, ferplus, skip_bad), preprocess, data, folder)
        with output.bar("evaluate") as bar:
            report: Report = evaluate(predict, packed, split, model=name, progress=bar)
    output.line("model", name)
    rows: list[tuple[str, Scores | None]] = [
        ("official", report.official),
        ("clean", report.clean),
        ("FER+ majority", report.ferplus),
    ]
    output.table(
        ["images", "accuracy", "macro F1", "macro recall", "calibration error", ""],
        [
            [
                f"{s.images:,}",
                f"{s.accuracy:.2%}",
                f"{s.macro_f1:.4f}",
                f"{s.macro_recall:.4f}",
                f"{s.calibration_error:.4f}",
                label,
            ]
            for label, s in rows
            if s is not None
        ],
    )
    recall = report.official.recall
    shown = ", ".join(f"{k} {v:.1%}" if v is not None else f"{k} none" for k, v in recall.items())
    output.line("recall", shown)
    if out is not None:
        for path in report.write(out):
            output.line("written", str(path))
    output.result(report.to_dict())


def _predictor(model: Path, provider: str | None, threads: int | None) -> tuple[Any, Preprocess, str]:
    """(uint8 faces -> probabilities, the preprocessing it expects, its name)."""
    if model.suffix not in CHECKPOINT_SUFFIXES:
        recognizer = edgefer.load(model, provider=provider, threads=threads)
        manifest = recognizer.artifact.manifest
        name = f"{model.name}: {manifest.target} {manifest.precision}, {recognizer.engine.name}"
        return recognizer.probabilities, recognizer.preprocess, name
    if provider is not None:
        raise UsageError("--provider is for artifacts; a checkpoint runs in PyTorch.", "leave it out.")
    import torch

    from edgefer.model import checkpoint as checkpoints
    from edgefer.train.evaluate import predictor

    if threads is not None:
        torch.set_num_threads(threads)
    checkpoint = checkpoints.load(model)
    return predictor(checkpoint), checkpoint.preprocess, f"{model.name}: {checkpoint.describe()}, PyTorch"


def _packed(source: Any, preprocess: Preprocess, data: Path, folder: str) -> Packed:
    """The data at the model's input size. A packed file must have been packed for this model's size and resize."""
    if not isinstance(source, Packed):
        return pack(source, preprocess, Path(folder) / "data.safetensors")
    if (source.preprocess.size, source.preprocess.resize) != (preprocess.size, preprocess.resize):
        raise UsageError(
            f"{data} was packed at {source.preprocess.size} pixels with {source.preprocess.resize} resize; "
            f"the model takes {preprocess.size} with {preprocess.resize}.",
            f"pack it again: edgefer data pack ... --size {preprocess.size} --resize {preprocess.resize}",
        )
    return source
