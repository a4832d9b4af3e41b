"""What a reader sees: tables, Markdown, samples, and the folder that --out writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bench import environment, report
from edgefer.bench.results import NO_DIFFERENCE, results
from edgefer.bench.runs import Plan, Run
from edgefer.imageset import ImageSet
from tests.bench.conftest import measured


def of(*runs: Run) -> dict[str, Any]:
    return results(list(runs), environment.record(), environment.moment(), environment.moment(), "edgefer bench a b")


def test_the_timing_table(steady_run: Run) -> None:
    columns, rows = report.timing(of(steady_run)["runs"][0])
    assert columns[0] == "host, batch 1, 2 threads"
    base, twice = (dict(zip(columns[1:], row[1:], strict=True)) for row in ([*rows[0]], [*rows[1]]))
    assert float(base["p50 ms"]) == pytest.approx(10, abs=0.1)
    assert base["p99"] == "-"
    assert base["times faster"] == "1"
    assert twice["times faster"] == "2.00"
    assert rows[1][-1] == "2.00 to 2.00"


def test_no_difference_is_said(pool: ImageSet) -> None:
    rng = np.random.default_rng(0)
    a, b = (measured(name, 10 + rng.standard_normal((12, 5))) for name in "ab")
    _, rows = report.timing(of(Run(Plan(), pool, (a, b)))["runs"][0])
    assert rows[1][-1].endswith(f", {NO_DIFFERENCE}")
    few = Run(Plan(processes=1), pool, tuple(measured(name, [[1.0]] * 12, processes=1) for name in "ab"))
    assert report.timing(of(few)["runs"][0])[1][1][-1] == f"too few processes, {NO_DIFFERENCE}"


def test_the_table_of_arrivals(pool: ImageSet) -> None:
    a = measured("a", [[10.0, 16.0]] * 8, queued=[[0.0, 6.0]] * 8)
    columns, rows = report.timing(of(Run(Plan(rate=25), pool, (a,)))["runs"][0])
    assert columns[0] == "host, batch 1, 1 thread, 25 calls a second at random"
    found = dict(zip(columns[:-1], rows[0][:-1], strict=True))
    assert found["waiting ms"] == "3.00"
    assert "images/s" not in columns


def test_costs(steady_run: Run) -> None:
    columns, rows = report.costs(of(steady_run)["runs"][0])
    found = dict(zip(columns, rows[1], strict=True))
    assert (found["n"], found["load ms"], found["first call ms"]) == ("60", "1,000", "2.00")
    assert (found["peak MB"], found["file MB"]) == ("300", "4.54")
    assert (found["same label"], found["max |dp|"]) == ("3 of 3", "0.0e+00")
    assert dict(zip(columns, rows[0], strict=True))["file MB"] == "-"


def test_remarks_name_whom_they_concern(pool: ImageSet) -> None:
    rows = [[10.0, 10.1]] * 12
    some = [measured(name, rows, settled=name != "c") for name in "abc"]
    found = of(Run(Plan(), pool, tuple(some), {"d": "it does not install."}))
    said = [text for text in report.remarks(found) if text.startswith("host")]
    assert said == [
        "host, batch 1, 1 thread: c did not settle within 5 s of warm-up in 6 of 6 processes",
        "host, batch 1, 1 thread: d was not measured: it does not install.",
    ]
    everyone = of(Run(Plan(), pool, tuple(measured(name, rows, settled=False) for name in "abc")))
    assert any("all 3 candidates did not settle" in text for text in report.remarks(everyone))


def test_a_machine_that_drifts_is_one_remark(pool: ImageSet) -> None:
    """Medians that go from 10 to 21 ms along a line: +71 % of their median; from 10 to 4.5 ms: -76 %."""
    up, down = [[10.0 + n] for n in range(12)], [[10.0 - n / 2] for n in range(12)]

    def said(*rounds: list[list[float]]) -> list[str]:
        run = Run(Plan(), pool, tuple(measured("abcd"[i], rows) for i, rows in enumerate(rounds)))
        return [text for text in report.remarks(of(run)) if "never steady" in text]

    assert said(up, down, up, [[10.0]] * 12) == [
        "host, batch 1, 1 thread: 3 of 4 candidates were never steady: their medians moved by -76% to +71% over the run"
    ]
    assert [text.split(": ")[1] for text in said(up, down, [[10.0]] * 12)] == ["a never steady", "b never steady"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.12345, "0.123"),
        (0.9996, "1.00"),
        (1.234, "1.23"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_three_digits(value: float | None, text: str) -> None:
    assert report.figure(value) == text


def test_markdown(steady_run: Run) -> None:
    text = report.markdown(of(steady_run), ["latency.png"])
    assert text.startswith("# base and twice\n")
    assert "`edgefer bench a b`" in text
    assert "![latency](latency.png)" in text
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        lines = [re.split(r"(?<!\\)\|", line) for line in table.splitlines()]
        assert len({len(cells) for cells in lines}) == 1
        assert len(lines) == 2 + 2


def test_every_sample_is_written(steady_run: Run) -> None:
    lines = [json.loads(line) for line in report.samples([steady_run])]
    for found in steady_run.measured:
        mine = [line for line in lines if line["candidate"] == found.candidate.name]
        kept = [ns for line in mine if line["phase"] == "measured" for ns in line["ns"]]
        assert kept == found.ns.tolist()
        assert sum(len(line["ns"]) for line in mine if line["phase"] == "lead") == 12
        warmups = [process.warmup.ns.tolist() for process in found.processes]
        assert [line["ns"] for line in mine if line["phase"] == "warmup"] == warmups
        assert {line["process"] for line in mine} == set(range(6))
    assert all(len(line["ns"]) == len(line["start_ns"]) for line in lines)


def test_the_folder(steady_run: Run, tmp_path: Path) -> None:
    found = of(steady_run)
    paths = report.write(tmp_path / "out", found, [steady_run])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {path.name for path in paths} <= names
    pictures = {"latency.png", "time.png", "ratio.png", "tradeoff.png"}
    assert names == {
        *("results.json", "environment.json", "samples.jsonl", "summary.md", "report.html"),
        *pictures,
        *(name.replace(".png", "-dark.png") for name in pictures),
    }
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == found
    for name in re.findall(r"!\[.*?\]\((.*?)\)", (tmp_path / "out" / "summary.md").read_text()):
        assert name in names
