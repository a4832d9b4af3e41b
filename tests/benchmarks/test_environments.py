from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from peers import environments, models, runtimes
from peers.environments import RECORD, Environment, Record, install

from edgefer.errors import UsageError

SAID: list[tuple[str, str]] = []


def _say(step: str, text: str) -> None:
    SAID.append((step, text))


def _record(folder: Path, **environment: object) -> Record:
    record = Record(folder)
    record.environments["litert"] = {"requirements": [], "installed": {}, "error": None, **environment}
    return record


def test_a_folder_that_was_not_set_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Record.open(tmp_path / "none")
    assert "--setup" in caught.value.hint


def test_the_record_survives(tmp_path: Path) -> None:
    record = _record(tmp_path)
    record.models["plain.onnx"] = {"error": None}
    record.write()
    again = Record.open(tmp_path)
    assert (again.environments, again.models) == (record.environments, record.models)


def test_what_is_there_as_wanted_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(environments, "_make", lambda one, folder: made.append(one.name))
    monkeypatch.setattr(environments, "_installed", lambda folder, wanted: dict.fromkeys(wanted, "1"))
    record, wanted = Record(tmp_path), Environment("peer", ("numpy",), bare=("fer==1",))
    assert install(wanted, record, _say)
    assert install(wanted, record, _say)
    assert made == ["peer", "peer"]  # recorded, but its interpreter is not there
    python = Path(record.python("peer"))
    python.parent.mkdir(parents=True)
    python.touch()
    assert install(wanted, record, _say)
    assert made == ["peer", "peer"]
    assert install(Environment("peer", ("numpy",), bare=("fer==2",)), record, _say)
    assert made == ["peer", "peer", "peer"]
    assert json.loads((tmp_path / RECORD).read_text())["environments"]["peer"]["requirements"] == ["numpy", "fer==2"]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for pip is a shell script")
def test_pips_error_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "#!/bin/sh\necho 'Collecting nothing' >&2\necho 'ERROR: No matching distribution found' >&2\nexit 1\n"

    def venv(command: list[str], check: bool) -> None:
        python = Path(command[-1], "bin", "python")
        python.parent.mkdir(parents=True)
        python.write_text(script)
        python.chmod(python.stat().st_mode | stat.S_IXUSR)

    run = environments.subprocess.run
    monkeypatch.setattr(
        environments.subprocess,
        "run",
        lambda command, **how: venv(command, **how) if "venv" in command else run(command, **how),
    )
    record = Record(tmp_path)
    assert not install(Environment("peer", ("nothing",)), record, _say)
    assert record.environments["peer"]["error"] == "No matching distribution found"
    assert SAID[-1] == ("peer", "failed: No matching distribution found")


def test_why_a_peer_cannot_run(tmp_path: Path) -> None:
    names = [models.tflite(1)]
    assert runtimes.unavailable(Record(tmp_path), "litert") == "its environment was not set up"
    assert runtimes.unavailable(_record(tmp_path, error="no wheel"), "litert") == "does not install: no wheel"
    record = _record(tmp_path)
    assert runtimes.unavailable(record, "litert", names) == "plain-1.tflite was not made"
    record.models[names[0]] = {"error": "conversion: broadcast"}
    assert runtimes.unavailable(record, "litert", names) == "plain-1.tflite was not made: conversion: broadcast"
    record.models[names[0]] = {"error": None}
    assert runtimes.unavailable(record, "litert", names) is None


def test_the_projects_packages_are_linked_behind_the_environments_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    done = environments.subprocess.CompletedProcess([], 0, "", "")

    def run(command: list[str], **how: object) -> object:
        commands.append(command)
        if "venv" in command:
            environments._packages(Path(command[-1])).mkdir(parents=True)
        return done

    monkeypatch.setattr(environments.subprocess, "run", run)
    assert environments._make(Environment("peer", ("one",), bare=("two",), project=True), tmp_path / "peer") is None
    [link] = (tmp_path / "peer").rglob("project.pth")
    assert Path(link.read_text().strip(), "torch").is_dir()
    assert commands[1][-1] == "one"
    assert "--no-deps" not in commands[1]
    assert commands[2][-2:] == ["--no-deps", "two"]


def test_a_model_is_made_again_when_its_weights_change(tmp_path: Path) -> None:
    record = Record(tmp_path)
    model = tmp_path / "models" / "one.onnx"
    model.parent.mkdir()
    built: list[int] = []

    def build() -> None:
        built.append(1)
        model.write_bytes(b"weights")

    for source, times in (("a", 1), ("a", 1), ("b", 2), ("b", 2)):
        models._step(record, "one.onnx", source, _say, build)
        assert len(built) == times
    model.unlink()
    models._step(record, "one.onnx", "b", _say, build)
    assert len(built) == 3
    assert Record.open(tmp_path).models["one.onnx"]["source"] == "b"
