"""The two pictures of the comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.bench.look import Look, legend, panels, plain_log, save
from edgefer.bench.report import title
from edgefer.bench.results import NO_DIFFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = (("official", "all of the private test"), ("clean", "without copies of training images"))


def draw(results: Mapping[str, Any], folder: Path, stem: str) -> dict[str, str]:
    """Draw what the results allow, for light and dark pages; return part -> file name without its suffix.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    drawn = {}
    if results["runtimes"]:
        names = list(dict.fromkeys(c["name"] for run in results["runtimes"]["runs"] for c in run["candidates"]))
        drawn["runtimes"] = f"{stem}-ratio"
        save(folder, drawn["runtimes"], names, lambda look: _ratios(results["runtimes"], names, look))
    if results["packages"] and results["accuracy"]:
        scored = [c["name"] for c in results["packages"]["runs"][0]["candidates"]]
        drawn["packages"] = f"{stem}-accuracy"
        save(folder, drawn["packages"], scored, lambda look: _tradeoff(results, scored, look))
    return drawn


def _ratios(results: Mapping[str, Any], names: list[str], look: Look) -> Figure:
    figure, axes = panels(math.ceil(len(results["runs"]) / 2), 2, 5.4, 0.9 + 0.3 * len(names))
    others = names[1:]
    found = [c["ratio"] for run in results["runs"] for c in run["candidates"] if c["ratio"] is not None]
    high = max(1.0, *(ratio["value"] if ratio["high"] is None else ratio["high"] for ratio in found)) * 1.06
    for place, run in zip(axes.ravel(), results["runs"], strict=True):
        shown = {c["name"]: c["ratio"] for c in run["candidates"] if c["ratio"] is not None}
        for at, name in enumerate(others):
            if name in shown:
                _interval(place, shown[name], at, look.color[name], look)
        place.axvline(1, color=look.note, lw=1)
        place.set_xlim(0, high)  # one scale for all panels
        place.set_yticks(range(len(others)), others)
        place.set_ylim(len(others) - 0.5, -0.6)
        place.grid(visible=False, axis="y")
        place.set_title(title(run))
    for place in axes[:, 1]:
        place.set_yticklabels([])
    for place in axes[-1]:
        place.set_xlabel(f"times faster than {names[0]}")
    return figure


def _interval(place: Axes, ratio: Mapping[str, Any], at: int, color: str, look: Look) -> None:
    hollow = ratio["verdict"] == NO_DIFFERENCE
    if ratio["low"] is not None:  # there were enough processes to bound it
        place.plot([ratio["low"], ratio["high"]], [at, at], color=color, lw=2.2, solid_capstyle="butt")
    place.plot(ratio["value"], at, "o", color=color, mfc=place.get_facecolor() if hollow else color, ms=7, mew=1.6)
    place.annotate(
        f"{ratio['value']:.2f}",
        (ratio["value"], at),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=look.note if hollow else look.ink,
    )


def _tradeoff(results: Mapping[str, Any], names: list[str], look: Look) -> Figure:
    figure, axes = panels(1, 2, 5.4, 3.6)
    run = results["packages"]["runs"][0]
    measured = {c["name"]: c for c in run["candidates"]}
    costs = {
        "median of one call on one thread, ms": {name: c["latency_ms"]["p50"]["value"] for name, c in measured.items()},
        "model file, MB": {name: c["bytes"] / 1e6 for name, c in measured.items()},
    }
    for place, (label, cost) in zip(axes[0], costs.items(), strict=True):
        for name in names:
            scored = results["accuracy"][name]
            points = [100 * scored[group]["accuracy"] for group, _ in GROUPS if scored[group]]
            color, marker = look.color[name], look.marker[name]
            place.plot([cost[name]] * len(points), points, color=color, lw=1)
            for number, value in enumerate(points):
                face = place.get_facecolor() if number else color
                place.plot(cost[name], value, marker, color=color, mfc=face, ms=8, mew=1.6)
        for one in results["cited"]["packages"]:
            place.axhline(one["official"], color=look.note, lw=1, ls=":")
            place.annotate(
                f"{one['name']}, cited",
                (0.5, one["official"]),
                xycoords=("axes fraction", "data"),
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=look.note,
            )
        place.set_ylim(top=place.get_ylim()[1] + 1.5)  # room for the words on a line
        low, high = min(cost.values()) / 1.4, max(cost.values()) * 1.4
        place.set_xscale("log")
        place.set_xlim(low, high)
        plain_log(place.xaxis, low, high)
        place.set_xlabel(f"{label} (logarithmic)")
    axes[0, 0].set_ylabel("accuracy on FER2013, %")
    axes[0, 0].set_title(f"filled: {GROUPS[0][1]}; hollow: {GROUPS[1][1]}", fontsize=8.5, color=look.note)
    legend(figure, look, names, markers=True)
    return figure
