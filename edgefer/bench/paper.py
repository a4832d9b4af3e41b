"""The paper's inference times beside ours: the same network at each data set's image size, at every boundary.

Roy et al., ResEmoteNet, arXiv 2409.10545, report 1.4 ms on FER2013, 3.2 on RAF-DB, 3.6 on AffectNet-7 and 1.9 on ExpW.
The network resizes every image to 64x64 first (their released code), so all four are one computation: what differs can
only lie outside the network. Here every data set and boundary is a candidate of one interleaved run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.bench import environment, ours
from edgefer.bench.candidates import BOUNDARIES, Candidate
from edgefer.bench.inputs import drawn_at
from edgefer.bench.results import NO_DIFFERENCE, of_processes, paired, results
from edgefer.bench.runner import Progress, measure
from edgefer.bench.runs import Measured, Plan, Run
from edgefer.bench.statistics import LEVEL, Interval
from edgefer.imageset import ImageSet

SIZE = 64
PROCESSES = 10  # the fewest that bound twelve ratios at once
PROOF = 32  # drawn faces that an export is proven on before it is measured
NOT_STATED = {
    "batch": "how many images a call had",
    "device": "which device each of the four figures was taken on",
    "precision": "fp32, fp16 or mixed",
    "boundary": "whether reading, decoding, resizing and copies to the device are included",
}


@dataclass(frozen=True)
class DataSet:
    """A data set as the paper measured it, and how its images are encoded here."""

    name: str
    size: int
    gray: bool
    format: str
    paper_ms: float

    def pool(self) -> ImageSet:
        """Drawn faces of its size, encoded as it is: what a decoder has to do, without anybody's photographs."""
        return drawn_at(self.size, self.format, self.gray, seed=DATASETS.index(self))

    @property
    def images(self) -> str:
        """ "48x48 gray PNG"."""
        return f"{self.size}x{self.size} {'gray ' if self.gray else ''}{'JPEG' if self.format == 'jpg' else 'PNG'}"


DATASETS = (
    DataSet("FER2013", 48, True, "png", 1.4),  # published as pixel values, without loss
    DataSet("RAF-DB", 100, False, "jpg", 3.2),  # the aligned faces
    DataSet("AffectNet-7", 224, False, "jpg", 3.6),
    DataSet("ExpW", 224, False, "jpg", 1.9),  # face crops
)


def artifacts(folder: Path, checkpoint: Path | None, say: Callable[[str, str], None]) -> dict[str, Path]:
    """Export what is measured into `folder`: the checkpoint, or `reference` and `paper` with seeded weights.

    Each is proven on a few drawn faces first. Returns paths by the network's name.
    """
    from edgefer.export.run import export
    from edgefer.imageset import ImageSet
    from edgefer.model import checkpoint as checkpoints
    from edgefer.model.checkpoint import Checkpoint
    from edgefer.model.resemotenet import preset_name, seeded
    from edgefer.samples import encoded

    if checkpoint is not None:
        loaded = checkpoints.load(checkpoint)
        sources = {preset_name(loaded.architecture) or checkpoint.stem: loaded}
    else:
        sources = {
            name: Checkpoint(seeded(name), name=f"{name}, seeded weights", origin="seeded")
            for name in ("reference", "paper")
        }
    probe = ImageSet(encoded(PROOF), f"{PROOF} drawn faces")
    for name, source in sources.items():
        artifact = export(source, folder / name, probe)
        say("export", f"{name}: ONNX fp32, {artifact.model.stat().st_size / 1e6:.1f} MB, proven on {PROOF} drawn faces")
    return {name: folder / name for name in sources}


def candidates(path: Path, pools: Mapping[str, ImageSet]) -> list[Candidate]:
    """Every data set at every boundary, with one artifact."""
    base = ours.artifact(path)
    return [
        replace(base, name=_name(dataset, boundary), boundary=boundary, pool=pools[dataset.name])
        for dataset in DATASETS
        for boundary in BOUNDARIES
    ]


def bench(
    models: Mapping[str, Path], threads: int, seconds: float, command: str, progress: Progress | None = None
) -> tuple[list[Run], dict[str, Any]]:
    """Measure every model: a run each, in which data sets and boundaries take turns.

    Returns:
        The runs, and the results in the schema of results.json with "paper" added: a table for each model.
    """
    about, before = environment.record(), environment.moment()
    pools = {dataset.name: dataset.pool() for dataset in DATASETS}
    plan = Plan(boundary="host", batch=1, threads=threads, seconds=seconds, processes=PROCESSES)
    runs = [measure(candidates(path, pools), plan, pools["FER2013"], progress) for path in models.values()]
    found = results(runs, about, before, environment.moment(), command)
    tables = {name: table(run) for name, run in zip(models, runs, strict=True)}
    return runs, {**found, "paper": {"models": tables, "not_stated": NOT_STATED}}


def table(run: Run) -> dict[str, Any]:
    """One model's figures: for each data set the paper's time, ours at every boundary, and what lies outside."""
    rows = []
    for dataset in DATASETS:
        at = {boundary: _find(run, dataset, boundary) for boundary in BOUNDARIES}
        outside = _difference(at["end_to_end"], at["host"])
        rows.append(
            {
                "dataset": dataset.name,
                "images": dataset.images,
                "paper_ms": dataset.paper_ms,
                **{f"{boundary}_ms": asdict(_median(measured)) for boundary, measured in at.items()},
                "outside_ms": asdict(outside),
            }
        )
    return {"rows": rows, "pairs": _pairs(run)}


def _pairs(run: Run) -> list[dict[str, Any]]:
    """Every data set against FER2013, and ExpW against AffectNet-7, at every boundary: times as long.

    Twelve intervals are read together, so each is wide enough for all to hold at once (Bonferroni).
    """
    wanted = [(DATASETS[0], other) for other in DATASETS[1:]] + [(DATASETS[3], DATASETS[2])]
    level = 1 - (1 - LEVEL) / (len(wanted) * len(BOUNDARIES))
    found = []
    for base, other in wanted:
        pair: dict[str, Any] = {"base": base.name, "other": other.name, "paper": other.paper_ms / base.paper_ms}
        for boundary in BOUNDARIES:
            longer = paired(_find(run, other, boundary), _find(run, base, boundary))
            pair[boundary] = asdict(of_processes(longer, level))
        found.append(pair)
    return found


def findings(model: str, found: Mapping[str, Any]) -> list[str]:
    """What the figures of one model show about the paper's differences, in sentences."""
    rows = {row["dataset"]: row for row in found["rows"]}
    said = []
    inside = [(pair, boundary) for pair in found["pairs"] for boundary in ("compute", "host")]
    shown = [
        f"{pair['other']} / {pair['base']}, {boundary}" for pair, boundary in inside if not _holds_one(pair[boundary])
    ]
    low = min(pair[boundary]["value"] for pair, boundary in inside)
    high = max(pair[boundary]["value"] for pair, boundary in inside)
    spread = f"the ratios lie between {low:.3f} and {high:.3f}"
    said.append(
        f"{model}: inside the network (compute, host) {NO_DIFFERENCE} between the data sets; {spread}."
        if not shown
        else f"{model}: inside the network (compute, host) {spread}; an interval excludes 1 for {'; '.join(shown)}."
    )
    outside = {name: row["outside_ms"]["value"] for name, row in rows.items()}
    listed = ", ".join(f"{name} {value:.2f} ms" for name, value in outside.items())
    said.append(f"{model}: decoding, resizing and naming the label (end_to_end minus host) take {listed}.")
    paper = rows["AffectNet-7"]["paper_ms"] - rows["FER2013"]["paper_ms"]
    mine = outside["AffectNet-7"] - outside["FER2013"]
    said.append(
        f"{model}: from FER2013 to AffectNet-7 the paper's time grows by {paper:.1f} ms; what lies outside the network "
        f"grows by {mine:.2f} ms here."
    )
    same = found["pairs"][-1]
    end = same["end_to_end"]
    verdict = NO_DIFFERENCE if _holds_one(end) else "a difference is shown"
    said.append(
        f"{model}: {same['other']} and {same['base']} have one image size and one network; the paper's times differ "
        f"{same['paper']:.2f} times, ours {end['value']:.2f} times ({_range(end)}: {verdict}). Neither the network nor "
        "the image size explains the paper's difference."
    )
    return said


def _range(found: Mapping[str, Any]) -> str:
    return f"{found['low']:.2f} to {found['high']:.2f}" if found["low"] is not None else "no interval"


def _holds_one(found: Mapping[str, Any]) -> bool:
    return Interval(found["value"], found["low"], found["high"]).contains(1.0)


def _name(dataset: DataSet, boundary: str) -> str:
    return f"{dataset.name}, {boundary}"


def _find(run: Run, dataset: DataSet, boundary: str) -> Measured:
    return next(m for m in run.measured if m.candidate.name == _name(dataset, boundary))


def _median(measured: Measured) -> Interval:
    return of_processes(measured.process_medians / 1e6)


def _difference(longer: Measured, shorter: Measured) -> Interval:
    """Median of the differences, round by round within a process and then over the processes, in ms."""
    pairs = zip(longer.processes, shorter.processes, strict=True)
    return of_processes(np.array([np.median(a.round_medians - b.round_medians) for a, b in pairs]) / 1e6)


def tabulate(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """One model's table, for the terminal, Markdown and the page."""
    columns = ["data set", "images", "paper ms", *(f"{boundary} ms" for boundary in BOUNDARIES), "end_to_end - host"]
    cells = []
    for row in found["rows"]:
        figures: Sequence[Any] = [row[f"{boundary}_ms"] for boundary in BOUNDARIES] + [row["outside_ms"]]
        cells.append([row["dataset"], row["images"], f"{row['paper_ms']:.1f}", *(_cell(one) for one in figures)])
    return columns, cells


def _cell(found: Mapping[str, Any]) -> str:
    ends = f" ({found['low']:.2f} to {found['high']:.2f})" if found["low"] is not None else ""
    return f"{found['value']:.2f}{ends}"
