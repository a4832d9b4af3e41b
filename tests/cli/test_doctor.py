"""`edgefer doctor`: what is here, what is missing, and the command that adds it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata

import onnxruntime
import pytest

from edgefer.export.targets import TARGETS
from edgefer.runtime.engines import ENGINES

Call = Callable[..., tuple[int, str, str]]


def test_every_target_has_its_two_rows(run_cli: Call) -> None:
    code, out, err = run_cli("doctor")
    assert (code, err) == (0, "")
    assert platform.python_version() in out
    lines = [line.split() for line in out.splitlines()]
    for registry, what in ((TARGETS, "build"), (ENGINES, "run")):
        for target in registry:
            assert [line for line in lines if line[:2] == [target, what]], f"{target} {what}"
    assert ", ".join(onnxruntime.get_available_providers()) in out


def test_json_gives_versions_and_providers(run_cli: Call) -> None:
    code, out, err = run_cli("doctor", "--json")
    assert code == 0
    assert "machine" in err  # what people read goes to stderr
    found = json.loads(out)
    assert found["onnxruntime_providers"] == onnxruntime.get_available_providers()
    rows = {(row["target"], row["what"]): row for row in found["targets"]}
    assert {target for target, _ in rows} == {*TARGETS, *ENGINES}
    assert all(row["ok"] in (True, False) for row in rows.values())
    build = rows["onnx", "build"]
    assert build["ok"]
    assert f"onnxscript {metadata.version('onnxscript')}" in build["detail"]


def test_what_is_missing_comes_with_its_command(run_cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ("onnxruntime", "onnxscript")
    monkeypatch.setattr("edgefer.cli.doctor.installed", lambda module: module not in gone)
    code, out, err = run_cli("doctor")
    assert (code, err) == (0, "")  # a missing package is an answer, not a failure
    table = {tuple(line.split()[:2]): line for line in out.splitlines()}
    assert table["onnx", "build"].split(maxsplit=3)[2:] == ["no", "missing onnxscript"]
    assert table["onnx", "run"].split(maxsplit=3)[2:] == ["no", "missing onnxruntime"]
    assert 'pip install "edgefer[export]"' in out
    assert 'pip install "edgefer[cpu]"' in out
    assert "providers" not in out


def test_doctor_runs_where_nothing_is_installed() -> None:
    """It looks packages up and imports none of them: it must work on the machine that it is asked about."""
    code = """
import sys
heavy = ("torch", "onnx", "onnxscript", "onnxsim", "safetensors", "coremltools", "tensorrt", "PIL")
for name in heavy:
    sys.modules[name] = None  # importing it raises
from edgefer.cli import run
assert run(["doctor", "--json"]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["targets"]
