"""The page of results: tables first, then how it was measured and what every candidate needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgefer.bench import report
from edgefer.bench.environment import describe
from edgefer.bench.report import Table, pipes
from edgefer.parity.bounds import BOUNDS

SETS = {
    "official": "official images",
    "clean": "clean ones (no near copy in training)",
    "ferplus": "with a FER+ majority label",
}
PARTS = ("runtimes", "packages")

RUNTIMES = """All run `reference` (80.2 M parameters, seeded weights) at 64x64 on the same gray faces. The peers get a
normalised float tensor: their preprocessing is done before the clock starts. Ours takes uint8 pixels and does gray,
normalisation and softmax on the clock. Every candidate's probabilities were compared with the first one's, outside the
timed region; one that differs by more than {bound:.0e} anywhere is listed as failed instead of being timed."""

PACKAGES = """One face a call, the classifier alone, uint8 RGB crop in, seven probabilities out. Latency is for crops of
64x64; each peer does what its own code does with a crop (gray, resizing, scaling) on the clock. Accuracy is on the
private test of FER2013, from the faces as they lie in the set; against its own labels, and against the majority of the
FER+ taggers, whose votes were a part of what ours was trained on."""


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
        lines += [
            "## One network, every runtime",
            "",
            RUNTIMES.format(bound=2 * BOUNDS["fp32"]),
            "",
            *pipes(*speeds(results["runtimes"])),
            "",
        ]
        lines += _picture(pictures["runtimes"], "times faster than PyTorch eager, by setting")
    if results["packages"]:
        lines += ["## Whole packages", "", PACKAGES, "", *pipes(*packages(results)), "", *_accuracy_notes(results)]
        lines += _picture(pictures.get("packages"), "accuracy against latency and size")
    said = remarks(results)
    lines += ["## Remarks", "", *(f"- {text}" for text in said), ""] if said else []
    lines += ["## Details", "", report.METHOD, ""]
    for name in PARTS:
        for run in results[name]["runs"] if results[name] else []:
            lines += [f"### {name.capitalize()}: {report.title(run)}", ""]
            for columns, rows in _details(name, run):
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
    runs = part["runs"]
    columns = ["", "official", "clean", "FER+", "model MB"]
    columns += [text for run in runs for text in (f"ms, {_threads(run)}", "times as fast as the first")]
    rows = []
    for name, found in _by_name(runs).items():
        scored = (results["accuracy"] or {}).get(name, {})
        size = next((c["bytes"] for c in found if c), None)
        times = [text for c in found for text in ((_milliseconds(c), _times(c)) if c else ("failed", "-"))]
        rows.append([name, *(_share(scored.get(key)) for key in SETS), report.megabytes(size), *times])
    for c in results["cited"]["packages"]:
        shares = [f"{c[key]:.2f}" for key in SETS]
        rows.append([f"{c['name']}, cited", *shares, "-", f"({c['ms']:g})", *["-"] * (2 * len(runs) - 1)])
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


def _details(part: str, run: Mapping[str, Any]) -> list[Table]:
    """Packages hold different networks: whether they answer alike says nothing, and their ratios stand above."""
    (timing, timed), (costs, needed) = report.timing(run), report.costs(run)
    if part == "packages":
        timing, timed = timing[:-2], [row[:-2] for row in timed]
        costs, needed = costs[:-2], [row[:-2] for row in needed]
    return [(timing, timed), (costs, needed)]


def _by_name(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any] | None]]:
    """What each candidate reached in each run, None where it failed; those that always failed come last."""
    names = dict.fromkeys(c["name"] for run in runs for c in run["candidates"])
    names |= dict.fromkeys(name for run in runs for name in run["failed"])
    return {name: [next((c for c in run["candidates"] if c["name"] == name), None) for run in runs] for name in names}


def _threads(run: Mapping[str, Any]) -> str:
    count = run["plan"]["threads"]
    return f"{count} thread{'s' * (count > 1)}"


def _setting(run: Mapping[str, Any]) -> str:
    return f"batch {run['plan']['batch']}, {_threads(run)}"


def _speed(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "failed"
    return f"1 ({_milliseconds(found)} ms)" if found["ratio"] is None else _times(found)


def _times(found: Mapping[str, Any]) -> str:
    """The ratio to the first candidate, with its interval."""
    ratio = found["ratio"]
    if ratio is None:
        return "1"
    if ratio["low"] is None:
        return report.figure(ratio["value"])
    return f"{report.figure(ratio['value'])} [{report.figure(ratio['low'])}, {report.figure(ratio['high'])}]"


def _milliseconds(found: Mapping[str, Any]) -> str:
    """The median of a call."""
    p50 = found["latency_ms"]["p50"]
    return report.figure(p50["value"]) if p50 else "-"


def _peak(found: Sequence[Mapping[str, Any] | None]) -> int | None:
    peaks = [c["peak_bytes"] for c in found if c and c["peak_bytes"] is not None]
    return max(peaks, default=None)


def _share(scores: Mapping[str, Any] | None) -> str:
    return f"{100 * scores['accuracy']:.2f}" if scores else "-"
