"""The page, the pictures and the command line, from a run of a few milliseconds with stand-ins."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from peers import packages, pictures, report, runtimes
from peers.environments import Record
from peers.runtimes import Entrants

from edgefer.bench.candidates import Candidate
from edgefer.bench.inputs import drawn
from edgefer.bench.runs import Plan
from edgefer.imageset import ImageSet

from .conftest import BENCHMARKS

STAND_IN = str(Path(__file__).with_name("stand_in.py"))
SCORES = {"images": 12, "accuracy": 0.75}


def _candidate(name: str, **arguments: object) -> Candidate:
    return Candidate(name, f"{STAND_IN}:open", arguments, network="stand-in", bytes=3_000_000)


def _plans(seconds: float, processes: int) -> list[Plan]:
    how = {"seconds": 0.02, "block": 0.002, "warmup": 0.05}
    return [Plan("host", 1, threads, processes=processes, **how) for threads in (1, 2)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """benchmarks/peers.py itself."""
    spec = importlib.util.spec_from_file_location("peers_script", BENCHMARKS / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts with stand-ins; in the first, one peer was not installed and one fails."""
    pool: Callable[[], ImageSet] = lambda: drawn(4)  # noqa: E731
    able = [_candidate("PyTorch", delay=0.002), _candidate("ours"), _candidate("broken", broken=True)]
    missing = {"absent": "does not install: no matching distribution"}
    monkeypatch.setattr(runtimes, "entrants", lambda record, cache: Entrants(able, missing))
    monkeypatch.setattr(packages, "entrants", lambda record: Entrants(able[:2], {}))
    for part in (runtimes, packages):
        monkeypatch.setattr(part, "plans", _plans)
        monkeypatch.setattr(part, "pool", pool)


@pytest.fixture
def peers(tmp_path: Path) -> Path:
    """A folder that counts as set up."""
    record = Record(tmp_path / "peers")
    record.environments["fer"] = {"requirements": [], "installed": {"fer": "25.10.3"}, "error": None}
    record.write()
    return record.folder


@pytest.mark.usefixtures("stand_ins")
def test_the_whole_command(script: ModuleType, peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    npz, out = tmp_path / "fer2013.npz", tmp_path / "results"
    labels = np.arange(14) % 7
    arrays = {"images": np.zeros((14, 48, 48), np.uint8), "y": labels, "usage": np.full(14, 2)}
    np.savez(npz, **arrays)  # all black, so that the stand-ins say anger: right for two of 14
    arguments = [str(peers), "--data", str(npz), "--out", str(out), "--machine", "here", "--processes", "1"]
    assert script.main(arguments) == 0
    [page] = out.glob("*-here-peers.md")
    stem = page.name.removesuffix(".md")
    assert {file.name.removeprefix(stem) for file in out.iterdir()} == {
        *(".md", ".json", "-runtimes.jsonl", "-packages.jsonl"),
        *("-ratio.png", "-ratio-dark.png", "-accuracy.png", "-accuracy-dark.png"),
    }
    results = json.loads((out / f"{stem}.json").read_text())
    assert results["accuracy"]["ours"]["official"]["accuracy"] == pytest.approx(2 / 14)
    assert [c["accuracy"] for c in results["packages"]["runs"][0]["candidates"]] == [pytest.approx(2 / 14)] * 2
    text = page.read_text()
    assert "- absent was not measured (any setting): does not install: no matching distribution" in text
    assert text.count("this package is broken") == 1
    assert "- ours: stand-in 1.0" in text
    assert "| ours | 14.29 | - | - | 3.00 |" in text
    assert "human 3.3.6 (tfjs), cited | 66.59 |" in text
    assert str(tmp_path) not in text
    assert "took" in capsys.readouterr().out


@pytest.mark.usefixtures("stand_ins")
def test_without_data_there_is_no_accuracy_and_the_page_says_so(
    script: ModuleType, peers: Path, tmp_path: Path
) -> None:
    assert script.main([str(peers), "--part", "packages", "--processes", "1", "--out", str(tmp_path / "results")]) == 0
    [page] = (tmp_path / "results").glob("*.md")
    assert "Accuracy was not measured: no --data was given." in page.read_text()
    assert not list((tmp_path / "results").glob("*-accuracy*"))


def test_refusals_are_two_lines(script: ModuleType, peers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([str(peers / "elsewhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert script.main([str(peers), "--data", str(peers / "none.npz")]) == 3
    error, hint = capsys.readouterr().err.strip().splitlines()
    assert "none.npz is not there" in error
    assert hint.startswith("hint: ")


def _result(name: str, value: float | None, ms: float = 2.0, **own: Any) -> dict[str, Any]:
    ratio = None if value is None else {"value": value, "low": value - 0.1, "high": value + 0.1, "verdict": "faster"}
    found = {"name": name, "ratio": ratio, "latency_ms": {"p50": {"value": ms, "low": ms, "high": ms}}}
    return {**found, "bytes": 320_900_000, "peak_bytes": 700_000_000, **own}


def _run(batch: int, threads: int, candidates: list[dict[str, Any]], **failed: str) -> dict[str, Any]:
    return {"plan": {"batch": batch, "threads": threads}, "candidates": candidates, "failed": failed}


def test_speeds_have_a_column_a_setting_and_a_row_for_who_failed() -> None:
    runs = [
        _run(1, 1, [_result("eager", None, 48.7), _result("ours", 3.4, peak_bytes=None)], absent="no wheel"),
        _run(32, 2, [_result("eager", None, 1234.0)], absent="no wheel", ours="killed"),
    ]
    columns, rows = report.speeds({"runs": runs})
    assert columns[1:] == ["batch 1, 1 thread", "batch 32, 2 threads", "model MB", "peak MB"]
    assert rows == [
        ["eager", "1 (48.7 ms)", "1 (1,234 ms)", "321", "700"],
        ["ours", "3.40 [3.30, 3.50]", "failed", "321", "-"],
        ["absent", "failed", "failed", "-", "-"],
    ]


def test_packages_measured_failed_and_cited() -> None:
    runs = [
        _run(1, threads, [_result("fer", None, 1.1 / threads, bytes=93_160)], facex="no wheel") for threads in (1, 2)
    ]
    cited = {"packages": [{"name": "human", "official": 66.59, "clean": 63.74, "ferplus": 71.36, "ms": 11}]}
    accuracy = {"fer": {"official": SCORES, "clean": None, "ferplus": {"images": 4, "accuracy": 0.5}}}
    columns, rows = report.packages({"packages": {"runs": runs}, "accuracy": accuracy, "cited": cited})
    times = "times as fast as the first"
    assert columns == ["", "official", "clean", "FER+", "model MB", "ms, 1 thread", times, "ms, 2 threads", times]
    assert rows == [
        ["fer", "75.00", "-", "50.00", "0.093", "1.10", "1", "0.550", "1"],
        ["facex", "-", "-", "-", "-", "failed", "-", "failed", "-"],
        ["human, cited", "66.59", "63.74", "71.36", "-", "(11)", "-", "-", "-"],
    ]


def test_no_picture_of_what_was_not_measured(tmp_path: Path) -> None:
    assert pictures.draw({"runtimes": None, "packages": None, "accuracy": None}, tmp_path, "stem") == {}
    assert not list(tmp_path.iterdir())
