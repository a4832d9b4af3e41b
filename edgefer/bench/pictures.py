"""The pictures of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefer.bench.look import Look, legend, panels, plain_log, save
from edgefer.bench.report import title
from edgefer.bench.results import NO_DIFFERENCE
from edgefer.bench.runs import Measured, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 9.0, 5.2  # inches of a panel that stands alone, and of one of two


@dataclass(frozen=True)
class Picture:
    """A picture on disk, for a light and for a dark page, and what it shows."""

    title: str
    caption: str
    light: Path
    dark: Path


@dataclass(frozen=True)
class Subject:
    """What is drawn: the results, and the samples behind them."""

    results: Mapping[str, Any]
    runs: Sequence[Run]

    @property
    def names(self) -> list[str]:
        """The candidates, in order."""
        return list(dict.fromkeys(c["name"] for run in self.results["runs"] for c in run["candidates"]))


def draw(results: Mapping[str, Any], runs: Sequence[Run], folder: Path) -> list[Picture]:
    """Draw all pictures that the results allow into `folder`: ratios and trade-offs take two candidates.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    subject = Subject(results, runs)
    kinds: list[tuple[str, str, str, Callable[[Subject, Look], Figure]]] = [
        (
            "latency",
            "Distribution of latency",
            "Share of calls that were answered within a time. The steeper, the steadier; further left is faster. "
            "No sample is cut off.",
            distribution,
        ),
        (
            "time",
            "Latency over time",
            "Every call as a dot, the median of each turn as a line; after each gap fresh processes begin. A step or a "
            "trend within one means that the machine or the candidate changed while it was measured.",
            over_time,
        ),
    ]
    if len(subject.names) > 1:
        kinds += [
            (
                "ratio",
                "Times faster than the first candidate",
                "Median of the ratios round by round, with its 95 % interval. Hollow: the interval holds 1, so no "
                "difference is shown.",
                ratios,
            ),
            ("tradeoff", "What speed costs", _tradeoff_caption(subject), tradeoff),
        ]
    drawn = []
    for stem, name, caption, make in kinds:
        light, dark = save(folder, stem, subject.names, lambda look, make=make: make(subject, look))  # type: ignore[misc]
        drawn.append(Picture(name, caption, light, dark))
    return drawn


def distribution(subject: Subject, look: Look) -> Figure:
    """Empirical distribution functions, a panel a run."""
    columns = min(2, len(subject.runs))
    figure, axes = panels(math.ceil(len(subject.runs) / columns), columns, NARROW if columns == 2 else WIDE, 3.2)
    for place, run, found in _placed(axes, subject):
        for measured in run.measured:
            name = measured.candidate.name
            milliseconds = np.sort(measured.ns) / 1e6
            share = np.arange(1, len(milliseconds) + 1) / len(milliseconds) * 100
            place.step(milliseconds, share, where="post", color=look.color[name], linestyle=look.dash[name], lw=1.8)
        place.set_ylim(0, 101)
        place.set_ylabel("calls answered, %")
        _time_axis(place.xaxis, run.measured)
        place.set_xlabel(f"{_latency(found)}, ms (logarithmic)")
        place.set_title(title(found))
    legend(figure, look, subject.names)
    return figure


def over_time(subject: Subject, look: Look) -> Figure:
    """Every call where it happened, a panel a run."""
    figure, axes = panels(len(subject.runs), 1, WIDE, 2.6)
    for place, run, found in _placed(axes, subject):
        begin = min(int(block.starts[0]) for measured in run.measured for block in measured.blocks)
        for measured in run.measured:
            color = look.color[measured.candidate.name]
            seconds = np.concatenate([block.starts[block.lead :] for block in measured.blocks])
            place.plot((seconds - begin) / 1e9, measured.ns / 1e6, ".", color=color, ms=3.5, alpha=0.35, mew=0)
            for process in measured.processes:
                middles = np.array([block.starts[block.lead :].mean() for block in process.blocks])
                medians, few = process.round_medians / 1e6, len(middles) == 1
                place.plot((middles - begin) / 1e9, medians, "o" if few else "-", color=color, lw=1.4, ms=4)
        _time_axis(place.yaxis, run.measured)
        place.set_ylabel(f"{_latency(found)}, ms\n(logarithmic)")
        place.set_xlabel("seconds since the first turn")
        place.set_title(title(found))
    legend(figure, look, subject.names)
    return figure


def ratios(subject: Subject, look: Look) -> Figure:
    """Ratios with intervals, all runs in one panel, the best in the eye at the right."""
    rows = [(run, c) for run in subject.results["runs"] for c in run["candidates"] if c["ratio"] is not None]
    figure, axes = panels(1, 1, WIDE, 0.8 + 0.34 * len(rows))
    place = axes[0, 0]
    ends = [c["ratio"][key] for _, c in rows for key in ("low", "high", "value") if c["ratio"][key] is not None]
    low, high = min(1.0, *ends), max(1.0, *ends)
    several = len(subject.results["runs"]) > 1
    labels = []
    for at, (run, c) in enumerate(rows):
        found, color = c["ratio"], look.color[c["name"]]
        hollow = found["verdict"] == NO_DIFFERENCE
        if found["low"] is not None:
            place.plot([found["low"], found["high"]], [at, at], color=color, lw=2.2, solid_capstyle="butt")
        face = place.get_facecolor() if hollow else color
        place.plot(found["value"], at, "o", color=color, mfc=face, ms=8, mew=1.8)
        labels.append(f"{c['name']}\n{title(run)}" if several else c["name"])
        place.annotate(
            f"{found['value']:.2f}",
            (1.005, at),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=look.note if hollow else look.ink,
        )
    place.axvline(1, color=look.note, lw=1)
    place.set_yticks(range(len(rows)), labels)
    place.set_ylim(len(rows) - 0.4, -0.6)
    place.grid(visible=False, axis="y")
    if high / low > 3:
        place.set_xscale("log")
        place.set_xlim(low / 1.15, high * 1.15)
        plain_log(place.xaxis, low / 1.15, high * 1.15)
    else:
        place.set_xlim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    first = subject.results["runs"][0]["candidates"][0]["name"]
    place.set_xlabel(f"times faster than {first} (right of 1 is faster)")
    return figure


def tradeoff(subject: Subject, look: Look) -> Figure:
    """Accuracy, or agreement with the first candidate, against the median latency, a panel a run."""
    columns = min(2, len(subject.runs))
    figure, axes = panels(math.ceil(len(subject.runs) / columns), columns, NARROW if columns == 2 else WIDE, 3.0)
    for place, run, found in _placed(axes, subject):
        shares = []
        for c in found["candidates"]:
            share = _rightness(c, _has_accuracy(subject))
            if share is None:
                continue
            shares.append(share)
            p50 = c["latency_ms"]["p50"]
            if p50 is None:
                continue
            if p50["low"] is not None:
                place.plot([p50["low"], p50["high"]], [share, share], color=look.color[c["name"]], lw=1.6)
            marker = look.marker[c["name"]]
            place.plot(p50["value"], share, marker, color=look.color[c["name"]], ms=9, alpha=0.85, mew=0)
        _time_axis(place.xaxis, run.measured, medians=True)
        _share_axis(place, shares)
        place.set_xlabel(f"median of {_latency(found)}, ms (logarithmic)")
        place.set_ylabel("accuracy, %" if _has_accuracy(subject) else "same label as the first, %")
        place.set_title(title(found))
    legend(figure, look, subject.names, markers=True)
    return figure


def _tradeoff_caption(subject: Subject) -> str:
    what = (
        "its accuracy on the test set"
        if _has_accuracy(subject)
        else "the share of the images on which its label is that of the first candidate (agreement, not accuracy)"
    )
    return f"Median latency, with its 95 % interval, against {what}. Up and to the left is better."


def _has_accuracy(subject: Subject) -> bool:
    return all(c["accuracy"] is not None for run in subject.results["runs"] for c in run["candidates"])


def _rightness(c: Mapping[str, Any], accuracy: bool) -> float | None:
    if accuracy:
        return float(c["accuracy"]) * 100
    same = c["agreement"]
    return 100 * same["same_label"] / same["images"] if same else None


def _latency(found: Mapping[str, Any]) -> str:
    if found["plan"]["rate"] is not None:
        return "arrival to answer"
    batch = found["plan"]["batch"]
    return "one call" if batch == 1 else f"one call of {batch} images"


def _placed(axes: Any, subject: Subject) -> list[tuple[Axes, Run, Mapping[str, Any]]]:
    """A panel for each run; panels that are left over go."""
    places = list(axes.ravel())
    for spare in places[len(subject.runs) :]:
        spare.remove()
    return list(zip(places, subject.runs, subject.results["runs"], strict=False))


def _share_axis(place: Axes, shares: Sequence[float]) -> None:
    """At least ten points high, so that a difference of a tenth does not look like one; no ticks beyond 100 %."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = min(shares, default=100.0), max(shares, default=100.0)
    missing = max(0.0, 10 - (high - low))
    top = min(101.0, high + missing / 2 + 1)
    place.set_ylim(min(low - 1, top - 11), top)
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(*place.get_ylim())
    place.set_yticks([tick for tick in ticks if place.get_ylim()[0] <= tick <= 100])
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _time_axis(axis: Any, measured: Sequence[Measured], medians: bool = False) -> None:
    """Make an axis of milliseconds logarithmic, over everything that was measured."""
    kept = [m.round_medians if medians else m.ns for m in measured]
    low, high = min(float(k.min()) for k in kept) / 1e6, max(float(k.max()) for k in kept) / 1e6
    low, high = low / 1.15, high * 1.15
    place = axis.axes
    (place.set_xscale if axis is place.xaxis else place.set_yscale)("log")
    (place.set_xlim if axis is place.xaxis else place.set_ylim)(low, high)
    plain_log(axis, low, high)
