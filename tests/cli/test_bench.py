"""`edgefer bench`: options, tables, files, exit codes. What it measures is tested in tests/bench."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edgefer.artifact import Artifact
from edgefer.bench import ours
from edgefer.bench.runs import Plan
from edgefer.cli import bench

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds instead of seconds."""
    monkeypatch.setattr(bench, "Plan", partial(Plan, block=0.002, warmup=0.02))
    monkeypatch.setattr(bench, "DEFAULT_SECONDS", 0.02)
    monkeypatch.setattr(bench, "PROCESSES", 1)
    monkeypatch.setattr("edgefer.bench.inputs.drawn.__defaults__", (6, 0))


def test_one_artifact(run_cli: Call, tiny_artifact: Artifact) -> None:
    code, out, err = run_cli("bench", tiny_artifact.path, "--threads", 1)
    assert (code, err) == (0, "")
    assert "images       6 drawn faces" in out
    assert re.search(r"^machine +.*onnxruntime", out, re.MULTILINE)
    assert re.search(r"^host, batch 1, 1 thread +p50 ms", out, re.MULTILINE)
    assert re.search(r"^tiny, onnx fp32 +\d", out, re.MULTILINE)


def test_settings_multiply_and_everything_is_written(
    run_cli: Call, tiny_artifact: Artifact, photos: Path, tmp_path: Path
) -> None:
    words = ("--boundary", "host", "--boundary", "compute", "--batch", 2, "--threads", 1, "--images", photos)
    code, out, err = run_cli("bench", tiny_artifact.path, *words, "--seconds", 0.01, "--out", tmp_path / "b", "--json")
    assert code == 0
    found = json.loads(out)
    plans = [(run["plan"]["boundary"], run["plan"]["batch"], run["plan"]["threads"]) for run in found["runs"]]
    assert plans == [("host", 2, 1), ("compute", 2, 1)]
    assert found["runs"][0]["images"]["source"] == "3 images given with --images"
    assert found["command"] == (
        f"edgefer bench {tiny_artifact.path} --boundary host --boundary compute --batch 2 --threads 1 --seconds 0.01 "
        f"--images {photos} --out {tmp_path / 'b'}"
    )
    assert "written" in err
    assert json.loads((tmp_path / "b" / "results.json").read_text()) == found
    assert (tmp_path / "b" / "report.html").stat().st_size > 20_000


def test_beside_its_checkpoint(
    run_cli: Call, tiny_artifact: Artifact, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.bench.pytorch.FORMS", {"eager": "PyTorch eager"})
    code, out, _ = run_cli("bench", tiny_artifact.path, "--checkpoint", tiny_file, "--threads", 1)
    assert code == 0
    rows = [line for line in out.splitlines() if re.match(r"PyTorch eager|tiny, onnx", line)]
    assert [row.split("  ")[0] for row in rows] == ["PyTorch eager", "tiny, onnx fp32"] * 2
    assert "6 of 6" in rows[3]


def test_the_shipped_one(run_cli: Call) -> None:
    code, out, _ = run_cli("bench", "--threads", 1)
    assert code == 0
    assert "shipped, onnx" in out


def test_the_same_network_must_answer_alike(
    refused: Refused, tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [replace(candidate, network="one") for candidate in ours.artifacts([None, tiny_artifact.path])]
    monkeypatch.setattr(ours, "artifacts", lambda paths, provider: both)
    error, hint = refused(5, "bench", tiny_artifact.path)
    assert "tiny, onnx fp32 answers differently from shipped" in error
    assert "edgefer verify" in hint


def test_arrivals(run_cli: Call, tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.bench.runner.PACED_BLOCK", 0.05)
    code, out, _ = run_cli("bench", tiny_artifact.path, "--rate", 100, "--threads", 1)
    assert code == 0
    assert "100 calls a second at random" in out
    assert "waiting ms" in out


def test_comparing(run_cli: Call, refused: Refused, tiny_artifact: Artifact, tmp_path: Path) -> None:
    run_cli("bench", tiny_artifact.path, "--processes", 6, "--out", tmp_path)
    old = tmp_path / "results.json"
    slow = json.loads(old.read_text())
    for run in slow["runs"]:
        for candidate in run["candidates"]:
            candidate["process_medians_ms"] = [value * 50 for value in candidate["process_medians_ms"]]
    new = tmp_path / "new.json"
    new.write_text(json.dumps(slow))
    code, out, err = run_cli("bench", "--compare", old, new)
    assert (code, err) == (1, "")
    assert re.search(r"tiny, onnx fp32 \(host.*slower$", out, re.MULTILINE)
    assert run_cli("bench", "--compare", old, new, "--tolerance", 99)[0] == 0
    assert run_cli("bench", "--compare", new, old)[0] == 0
    code, out, _ = run_cli("bench", "--compare", old, new, "--json")
    assert code == 1
    assert json.loads(out)["regressed"] is True
    assert json.loads(out)["changes"][0]["verdict"] == "slower"
    assert "cannot be read" in refused(3, "bench", "--compare", old, tmp_path / "none.json")[0]
    assert "tolerance" in refused(2, "bench", "--compare", old, new, "--tolerance", -1)[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--boundary", "gpu"), "no boundary gpu"),
        (("--tolerance", "0.1"), "--tolerance means nothing without --compare"),
        (("--device", "cpu"), "--device means nothing without --checkpoint"),
        (("--checkpoint", "c.pth", "--device", "tpu"), "--device tpu is not known"),
        (("--compare", "a", "b", "--batch", "2"), "--compare and --batch do not go together"),
        (("--compare", "a", "b", "x"), "--compare and an artifact do not go together"),
        (("--paper", "--rate", "5"), "--paper and --rate do not go together"),
        (("--paper", "--threads", "1", "--threads", "2"), "--paper takes one number of threads"),
        (("--batch", "0"), "--batch"),
        (("--seconds", "0"), "seconds 0"),
        (("--boundary", "compute", "--rate", "5"), "device alone"),
    ],
)
def test_contradictions_are_usage_errors(refused: Refused, words: tuple[str, ...], says: str) -> None:
    assert says in refused(2, "bench", *words)[0]


def test_bad_input(refused: Refused, tiny_artifact: Artifact, tmp_path: Path) -> None:
    assert "no-artifact" in refused(3, "bench", tmp_path / "no-artifact")[0]
    assert "no.pth" in refused(3, "bench", tiny_artifact.path, "--checkpoint", tmp_path / "no.pth")[0]
    assert "not a folder" in refused(3, "bench", tiny_artifact.path, "--images", tmp_path / "none")[0]
    error, _ = refused(4, "bench", tiny_artifact.path, "--provider", "abacus")
    assert "abacus" in error


def test_pictures_need_matplotlib(
    refused: Refused, tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "matplotlib")
    _, hint = refused(4, "bench", tiny_artifact.path, "--out", tmp_path / "b")
    assert hint == 'pip install "edgefer[bench]"'
    assert not (tmp_path / "b").exists()


def test_without_torch(run_cli: Call, tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app developer has the runtime alone: artifacts are measured all the same, checkpoints are refused."""
    import sys

    for name in [name for name in sys.modules if name == "torch" or name.startswith(("torch.", "edgefer.parity"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run_cli("bench", tiny_artifact.path)[0] == 0
