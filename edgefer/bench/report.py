"""Results for people: the tables that the terminal, Markdown and the page share, and the folder that --out writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgefer.bench.candidates import BOUNDARIES
from edgefer.bench.environment import describe
from edgefer.bench.results import NO_DIFFERENCE, UNSTEADY
from edgefer.bench.runs import Block, Run
from edgefer.files import replace_file

STARVED = 0.9  # of one CPU, at work
Table = tuple[list[str], list[list[str]]]

METHOD = (
    "Every candidate is started several times over, in fresh processes, and its processes take turns with those of "
    "the others in short blocks, never two at a time, in an order that changes from round to round. Ratios are "
    "taken within rounds, where whatever the machine did hit all of them, and give one figure a process; intervals "
    "are over the processes, since two of one program differ for as long as they live. Intervals come from order "
    "statistics and assume no distribution; those of latencies span what the samples leave open and how processes "
    "differ. Where the interval of a ratio holds 1, no difference is shown. Inputs rotate through distinct images. "
    "The first calls of a turn are kept apart as lead-in; no other sample is dropped. Load time and first call are "
    "those of the first process. Answers were compared with the first candidate's outside the timed region."
)


def title(run: Mapping[str, Any]) -> str:
    """What a run measured: "host, batch 1, 2 threads"."""
    plan = run["plan"]
    threads = f"{plan['threads']} thread{'s' if plan['threads'] != 1 else ''}"
    rate = f", {plan['rate']:g} calls a second at random" if plan["rate"] else ""
    boundaries = {found["boundary"] for found in run["candidates"]} or {plan["boundary"]}
    where = boundaries.pop() if len(boundaries) == 1 else "several boundaries"
    return f"{where}, batch {plan['batch']}, {threads}{rate}"


def timing(run: Mapping[str, Any]) -> Table:
    """Latency, throughput and ratio of each candidate of a run."""
    paced = run["plan"]["rate"] is not None
    columns = [title(run), "p50 ms", "95 % interval", "p90", "p99", "p99.9"]
    columns += ["waiting ms", "busy"] if paced else ["images/s"]
    rows = []
    for found in run["candidates"]:
        latency = found["latency_ms"]
        row = [found["name"], _value(latency["p50"]), _ends(latency["p50"])]
        row += [_value(latency[name]) for name in ("p90", "p99", "p99.9")]
        if paced:
            row += [figure(found["arrivals"]["mean_wait_ms"]), f"{found['arrivals']['utilisation']:.0%}"]
        else:
            row.append(figure(found["images_per_second"]["value"]))
        rows.append([*row, *_ratio(found["ratio"])])
    return [*columns, "times faster", "95 % interval"], rows


def costs(run: Mapping[str, Any]) -> Table:
    """What each candidate needs before the first answer and beside its time, and whether it answers alike."""
    columns = [
        "",
        "n",
        "min ms",
        "load ms",
        "first call ms",
        "peak MB",
        "file MB",
        "CPUs used",
        "same label",
        "max |dp|",
    ]
    rows = []
    for found in run["candidates"]:
        same = found["agreement"]
        rows.append(
            [
                found["name"],
                str(found["n"]),
                figure(found["latency_ms"]["min"]),
                figure(found["load_ms"]),
                figure(found["first_call_ms"]),
                megabytes(found["peak_bytes"]),
                megabytes(found["bytes"]),
                f"{found['cpus_used']:.2f}",
                f"{same['same_label']} of {same['images']}" if same else "-",
                f"{same['max_delta']:.1e}" if same and same["max_delta"] is not None else "-",
            ]
        )
    return columns, rows


def remarks(results: Mapping[str, Any], titles: Iterable[str] | None = None) -> list[str]:
    """Everything that a reader must know before believing the figures; `titles` name the runs, else `title` does."""
    said = list(results["remarks"])
    for run, where in zip(results["runs"], titles or map(title, results["runs"]), strict=True):
        names: dict[str, list[str]] = {}
        count = len(run["candidates"])
        moved = [c["drift"]["change"] for c in run["candidates"] if any(map(_is_unsteady, c["remarks"]))]
        many = len(moved) > 2
        if many:
            said.append(
                f"{where}: {len(moved)} of {count} candidates were never steady: their medians moved by "
                f"{min(moved):+.0%} to {max(moved):+.0%} over the run"
            )
        for c in run["candidates"]:
            for text in c["remarks"]:
                if not (many and _is_unsteady(text)):
                    names.setdefault(text, []).append(c["name"])
        for text, who in names.items():
            said.append(f"{where}: {f'all {count} candidates' if len(who) == count > 2 else ' and '.join(who)} {text}")
        said += [f"{where}: {name} was not measured: {why}" for name, why in run["failed"].items()]
        starved = [c["cpus_used"] for c in run["candidates"] if c["cpus_used"] < STARVED]
        if starved:
            said.append(
                f"{where}: {len(starved)} of {count} candidates had a CPU for {min(starved):.0%} to "
                f"{max(starved):.0%} of their time only: other work had the rest, or they wait for a device"
            )
    return said


def _is_unsteady(remark: str) -> bool:
    return remark.startswith(UNSTEADY)


def markdown(results: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:
    """The summary as Markdown; `pictures` are file names beside it."""
    lines = [f"# {headline(results)}", "", about(results), ""]
    for run in results["runs"]:
        lines += [f"## {title(run)}", "", f"{BOUNDARIES[run['plan']['boundary']].capitalize()}.", ""]
        for columns, rows in (timing(run), costs(run)):
            lines += [*pipes(["", *columns[1:]], rows), ""]
    lines += [f"![{Path(name).stem}]({name})\n" for name in pictures]
    said = remarks(results)
    if said:
        lines += ["## Remarks", "", *(f"- {text}" for text in said), ""]
    lines += ["## Method", "", METHOD, ""]
    return "\n".join(lines)


def headline(results: Mapping[str, Any]) -> str:
    """One line for the top of a page."""
    names = list(dict.fromkeys(c["name"] for run in results["runs"] for c in run["candidates"]))
    if len(names) == 1:
        return f"How fast is {names[0]}"
    return f"{len(names)} candidates side by side" if len(names) > 2 else " and ".join(names)


def about(results: Mapping[str, Any]) -> str:
    """Date, command and machine."""
    environment = results["environment"]
    return f"{environment['time_utc'][:10]}, `{results['command']}`. {describe(environment)}."


def samples(runs: Sequence[Run]) -> Iterator[str]:
    """Every sample, one JSON line a block: phase "warmup", "lead" (kept apart) or "measured"; times in ns."""
    for number, run in enumerate(runs):
        for measured in run.measured:
            base: dict[str, Any] = {"run": number, "candidate": measured.candidate.name}
            for start, process in enumerate(measured.processes):
                warmup, here = process.warmup, {**base, "process": start}
                yield _line({**here, "phase": "warmup", "start_ns": warmup.starts.tolist(), "ns": warmup.ns.tolist()})
                for block in process.blocks:
                    place = {"round": block.round, "position": block.position}
                    yield _line({**here, "phase": "lead", **place, **_cut(block, slice(0, block.lead))})
                    yield _line({**here, "phase": "measured", **place, **_cut(block, slice(block.lead, None))})


def write(folder: Path, results: Mapping[str, Any], runs: Sequence[Run]) -> list[Path]:
    """Write results.json, environment.json, samples.jsonl, the pictures, summary.md and report.html; return the paths.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    from edgefer.bench import page, pictures

    folder.mkdir(parents=True, exist_ok=True)
    drawn = pictures.draw(results, runs, folder)
    machine = {key: results[key] for key in ("environment", "before", "after")}
    texts = {
        "results.json": json.dumps(results, indent=1) + "\n",
        "environment.json": json.dumps(machine, indent=1) + "\n",
        "samples.jsonl": "".join(samples(runs)),
        "summary.md": markdown(results, [picture.light.name for picture in drawn]),
        "report.html": page.html(results, drawn),
    }
    for name, text in texts.items():
        with replace_file(folder / name) as partial:
            partial.write_text(text, "utf-8")
    return [folder / name for name in texts] + [picture.light for picture in drawn]


def figure(value: float | None) -> str:
    """Three digits: 0.123, 1.23, 12.3, 123, 1,234; "-" for None."""
    if value is None:
        return "-"
    for limit, digits in ((0.9995, 3), (9.995, 2), (99.95, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def megabytes(count: int | None) -> str:
    """Bytes in MB (10**6)."""
    return "-" if count is None else figure(count / 1e6)


def _value(found: Mapping[str, Any] | None) -> str:
    return figure(found["value"]) if found else "-"


def _ends(found: Mapping[str, Any] | None) -> str:
    return f"{figure(found['low'])} to {figure(found['high'])}" if found and found["low"] is not None else "-"


def _ratio(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "1", "-"
    ends = f"{found['low']:.2f} to {found['high']:.2f}" if found["low"] is not None else "too few processes"
    note = f", {NO_DIFFERENCE}" if found["verdict"] == NO_DIFFERENCE else ""
    return f"{found['value']:.2f}", f"{ends}{note}"


def pipes(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; all but the first column line up right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "| --- |" + " ---: |" * (len(columns) - 1), *lines[1:]]


def _cut(block: Block, part: slice) -> dict[str, Any]:
    cut = {"start_ns": block.starts[part].tolist(), "ns": block.ns[part].tolist()}
    if block.queued is not None:
        cut["queued_ns"] = block.queued[part].tolist()
    return cut


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"
