"""The page of results: tables first, then how it was measured and what every candidate needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgefer.bench import report
from edgefer.bench.environment import describe
from edgefer.bench.report import Table

SETS = {
    "official": "official images",
    "clean": "clean ones (no near copy in training)",
    "ferplus": "with a FER+ majority label",
}
PARTS = ("runtimes", "packages")

RUNTIMES = """All run `reference` (80.2 M parameters, seeded weights) at 64x64 on the same gray faces. The peers get a
normalised float tensor: their preprocessing is done before the clock starts. Ours takes uint8 pixels and does gray,
normalisation and softmax on the clock. Every candidate's probabilities were compared with the first one's, outside the
timed region; one that differs by more than 2e-5 anywhere is listed as failed instead of being timed."""

PACKAGES = """One face a call, the classifier alone, uint8 RGB crop in, seven probabilities out. Latency is for crops of
64x64; each peer does what its own code does with a crop (gray, resizing, scaling) on the clock. Accuracy is on the
private test of FER2013, from the faces as they lie in the set."""


def page(results: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The whole page as Markdown.

    Args:
        results: as `peers.py` writes them.
        pictures: part -> file name beside the page, without its suffix; none of the packages where accuracy was not
            measured.
    """
    parts = [results[name] for name in PARTS if results[name]]
    first = parts[0]
    date = first["environment"]["time_utc"][:10]
    lines = ["# edgefer beside its peers", "", f"{date}, `{results['command']}`. {describe(first['environment'])}.", ""]
    if results["runtimes"]:
        lines += ["## One network, every runtime", "", RUNTIMES, "", *pipes(*speeds(results["runtimes"])), ""]
        lines += _picture(pictures["runtimes"], "times faster than PyTorch eager, by setting")
    if results["packages"]:
        lines += ["## Whole packages", "", PACKAGES, "", *pipes(*packages(results)), "", *_accuracy_notes(results)]
        lines += _picture(pictures.get("packages"), "accuracy against latency and size")
    said = remarks(results)
    lines += ["## Remarks", "", *(f"- {text}" for text in said), ""] if said else []
    lines += ["## Details", "", report.METHOD, ""]
    for run in (run for part in parts for run in part["runs"]):
        lines += [f"### {report.title(run)}", ""]
        for columns, rows in (report.timing(run), report.costs(run)):
            lines += [*pipes(["", *columns[1:]], rows), ""]
    lines += ["### Versions", "", *(f"- {text}" for text in versions(results)), ""]
    return "\n".join(lines)


def remarks(results: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the figures, and who was not measured; each once."""
    said: dict[str, None] = {}
    for part in (results[name] for name in PARTS if results[name]):
        measured = {**part, "runs": [{**run, "failed": {}} for run in part["runs"]]}
        said.update(dict.fromkeys(report.remarks(measured)))
        failed: dict[str, list[str]] = {}
        for run in part["runs"]:
            for name, why in run["failed"].items():
                failed.setdefault(f"{name} was not measured ({{}}): {why}", []).append(_setting(run))
        for text, settings in failed.items():
            everywhere = len(settings) == len(part["runs"])
            said[text.replace("{}", "any setting" if everywhere else "; ".join(settings), 1)] = None
    return list(said)


def speeds(results: Mapping[str, Any]) -> Table:
    """Times faster than the first candidate, a column a setting, with the median of the first in ms."""
    runs = results["runs"]
    rows = []
    for name, found in _by_name(runs).items():
        size = next((c["bytes"] for c in found if c), None)
        rows.append([name, *map(_speed, found), report.megabytes(size), report.megabytes(_peak(found))])
    return ["times faster [95 % interval]", *(_setting(run) for run in runs), "model MB", "peak MB"], rows


def packages(results: Mapping[str, Any]) -> Table:
    """Accuracy, size and latency of every package, measured and cited."""
    part = results["packages"]
    columns = ["", "official", "clean", "FER+", "model MB"]
    columns += [f"ms, {run['plan']['threads']} thread{'s' * (run['plan']['threads'] > 1)}" for run in part["runs"]]
    rows = []
    for name, found in _by_name(part["runs"]).items():
        scored = (results["accuracy"] or {}).get(name, {})
        size = next((c["bytes"] for c in found if c), None)
        times = [_milliseconds(c) if c else "failed" for c in found]
        rows.append([name, *(_share(scored.get(key)) for key in SETS), report.megabytes(size), *times])
    for c in results["cited"]["packages"]:
        shares = [f"{c[key]:.2f}" for key in SETS]
        rows.append([f"{c['name']}, cited", *shares, "-", f"({c['ms']:g})", *["-"] * (len(part["runs"]) - 1)])
    return columns, rows


def versions(results: Mapping[str, Any]) -> list[str]:
    """Engines as the candidates report them, and what setup installed."""
    engines = {
        c["name"]: c["details"]["engine"]
        for part in PARTS
        if results[part]
        for run in results[part]["runs"]
        for c in run["candidates"]
    }
    made = [
        f"environment {name}: {', '.join(f'{key} {value}' for key, value in one['installed'].items())}"
        for name, one in results["setup"]["environments"].items()
        if not one["error"]
    ]
    return [*(f"{name}: {engine}" for name, engine in engines.items()), *made]


def pipes(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, a line each row; figures right."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (columns, *rows)]
    return [lines[0], "| --- |" + " ---: |" * (len(columns) - 1), *lines[1:]]


def _accuracy_notes(results: Mapping[str, Any]) -> list[str]:
    notes = [f"Cited, not measured in this run: {results['cited']['source']}.", ""]
    if not results["accuracy"]:
        return ["Accuracy was not measured: no --data was given.", "", *notes]
    one = next(iter(results["accuracy"].values()))
    sizes = [f"{one[key]['images']:,} {name}" for key, name in SETS.items() if one[key]]
    return [f"Accuracy in per cent of {', '.join(sizes)}.", "", *notes]


def _picture(stem: str | None, text: str) -> list[str]:
    """For light and dark pages."""
    if stem is None:
        return []
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.png">'
    return [f'<picture>{source}<img alt="{text}" src="{stem}.png"></picture>', ""]


def _by_name(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any] | None]]:
    """What each candidate reached in each run, None where it failed; those that always failed come last."""
    names = dict.fromkeys(c["name"] for run in runs for c in run["candidates"])
    names |= dict.fromkeys(name for run in runs for name in run["failed"])
    return {name: [next((c for c in run["candidates"] if c["name"] == name), None) for run in runs] for name in names}


def _setting(run: Mapping[str, Any]) -> str:
    plan = run["plan"]
    return f"batch {plan['batch']}, {plan['threads']} thread{'s' * (plan['threads'] > 1)}"


def _speed(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "failed"
    if found["ratio"] is None:
        return f"1 ({_milliseconds(found)} ms)"
    ratio = found["ratio"]
    return f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def _milliseconds(found: Mapping[str, Any]) -> str:
    """The median of a call."""
    p50 = found["latency_ms"]["p50"]
    return report.figure(p50["value"]) if p50 else "-"


def _peak(found: Sequence[Mapping[str, Any] | None]) -> int | None:
    peaks = [c["peak_bytes"] for c in found if c and c["peak_bytes"] is not None]
    return max(peaks, default=None)


def _share(scores: Mapping[str, Any] | None) -> str:
    return f"{100 * scores['accuracy']:.2f}" if scores else "-"
