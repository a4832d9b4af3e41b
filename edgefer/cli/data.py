"""`edgefer data audit` and `edgefer data pack`: look a data set over, and pack it for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgefer.cli.common import Debug, Json, Output, writable_folder
from edgefer.data.dataset import Dataset
from edgefer.data.packed import Packed
from edgefer.data.registry import DATASETS, load
from edgefer.errors import UsageError

NAME = "data"
app = typer.Typer(help="Look a data set over (audit), and pack it for training (pack).")

DatasetName = Annotated[str, typer.Option("--dataset", help=f"What it is: {', '.join(DATASETS)}.", metavar="NAME")]
FerPlus = Annotated[
    Path | None, typer.Option("--ferplus", help="FER+'s fer2013new.csv: soft labels for FER2013.", metavar="FILE")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out what is broken, and list it.")]


def open_data(path: Path, dataset: str, ferplus: Path | None, skip_bad: bool) -> Dataset | Packed:
    """Open a data set as it lies on disk, or a packed file (.safetensors)."""
    if path.suffix == ".safetensors":
        packed = Packed.open(path)
        if packed.name != dataset:
            raise UsageError(f"{path} holds {packed.name}, not {dataset}.", f"pass --dataset {packed.name}.")
        return packed
    return load(path, dataset, skip_bad=skip_bad, ferplus=ferplus)


def tell(output: Output, data: Dataset | Packed) -> None:
    """Print the counts by split and class, how they differ from the published ones, and what was skipped."""
    for split, counts in data.counts().items():
        if sum(counts.values()):
            shown = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            output.line(split, f"{sum(counts.values()):,} images: {shown}")
    for sentence in data.report_differences():
        output.line("differs", sentence)
    if isinstance(data, Dataset):
        for where, why in data.skipped:
            output.line("skipped", f"{where}: {why}")


@app.command("audit")
def audit_command(
    path: Annotated[Path, typer.Argument(help="The data set as it lies on disk, or a packed file.")],
    dataset: DatasetName,
    ferplus: FerPlus = None,
    skip_bad: SkipBad = False,
    threshold: Annotated[float, typer.Option(help="Correlation from which two images are near copies.")] = 0.94,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.md, report.json, pairs.png.", metavar="DIR", callback=writable_folder),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Find copies within and across splits, conflicting labels and constant images, and compare the class counts."""
    from edgefer.data.audit import audit

    if not 0 < threshold <= 1:
        raise UsageError(f"--threshold {threshold} cannot be.", "pass a correlation above 0 and up to 1.")
    output = Output(json)
    with output.working("reading the list of images"):
        data = open_data(path, dataset, ferplus, skip_bad)
    tell(output, data)
    with output.bar("audit") as bar:
        report = audit(data, threshold=threshold, progress=bar)
    found = report.summary()
    for split, figures in found["splits"].items():
        if split != "train" and figures["images"]:
            near, exact = figures["near_copy_in_train"], figures["exact_copy_in_train"]
            share = near / figures["images"]
            output.line(split, f"{near:,} of {figures['images']:,} ({share:.1%}) have a copy in train, {exact:,} exact")
    near_pairs = sum(pair["near"] for pair in found["pairs"].values())
    output.line("copies", f"{found['exact_groups']:,} groups of equal images, {near_pairs:,} near pairs")
    conflicts = found["exact_groups_with_conflicting_labels"], found["near_pairs_with_conflicting_labels"]
    output.line("conflicts", f"{conflicts[0]:,} groups and {conflicts[1]:,} near pairs have two labels")
    output.line("constant", f"{found['constant_images']:,} images")
    if out is not None:
        written = report.write_report(out)
        output.line("written", str(written))
    output.result(found)


@app.command("pack")
def pack_command(
    path: Annotated[Path, typer.Argument(help="The data set as it lies on disk.")],
    dataset: DatasetName,
    out: Annotated[Path, typer.Option(help="The file to write; it ends in .safetensors.", metavar="FILE")],
    ferplus: FerPlus = None,
    skip_bad: SkipBad = False,
    size: Annotated[int, typer.Option(help="Model input size in pixels.")] = 64,
    resize: Annotated[str, typer.Option(help="pillow, area or linear.")] = "pillow",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a data set into one file of uint8 images at model size, which training maps into memory."""
    from edgefer.data.pack import pack
    from edgefer.preprocess import RESIZES, Preprocess

    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out} is not a .safetensors file.", "end its name in .safetensors.")
    if resize not in RESIZES or not 8 <= size <= 1024:
        raise UsageError(f"--size {size} --resize {resize} cannot be.", f"8 to 1024, and {', '.join(RESIZES)}.")
    output = Output(json)
    with output.working("reading the list of images"):
        data = load(path, dataset, skip_bad=skip_bad, ferplus=ferplus)
    with output.bar("pack") as bar:
        packed = pack(data, Preprocess(size=size, resize=resize), out, bar)
    tell(output, data)
    output.line("written", f"{out}  {out.stat().st_size / 1e6:.1f} MB, source sha256 {packed.source_sha256[:16]}")
    output.line("next", f"edgefer train --data {out} --dataset {dataset} --out runs/first")
    output.result({"out": str(out), "counts": packed.counts(), "source_sha256": packed.source_sha256})
