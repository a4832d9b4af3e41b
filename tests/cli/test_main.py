"""What all commands have in common: exit codes, two lines for an error, one object with --json, help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import edgefer
from edgefer.artifact import Artifact
from edgefer.cli import app, info

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., tuple[str, str]]

COMMANDS = [str(command.name) for command in app.registered_commands]
SCRIPT = Path(sys.executable).parent / ("edgefer.exe" if os.name == "nt" else "edgefer")
PROGRAM = [os.fspath(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-c", "from edgefer.cli import main; main()"]


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The installed program, in a process of its own."""
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(run_cli: Call, command: str, flag: str) -> None:
    code, out, err = run_cli(command, flag)
    assert (code, err) == (0, "")
    assert f"Usage: edgefer {command}" in out
    assert "--json" in out
    assert "--debug" in out


def test_help_lists_the_commands(run_cli: Call) -> None:
    assert {"export", "verify", "predict", "info", "doctor"} <= set(COMMANDS)
    code, out, err = run_cli("--help")
    assert (code, err) == (0, "")
    assert all(command in out for command in COMMANDS)
    assert run_cli() == (2, out, "")  # nothing asked for: the same, as a usage error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fly"], "fly"),
        (["--fly"], "--fly"),
        (["info", "x", "y"], "y"),
        (["info", "x", "--fly"], "--fly"),
        (["info", "x", "--size", "large"], "--size"),
        (["verify", "x", "--checkpoint"], "--checkpoint"),
        (["export", "x"], "--out"),
        (["predict"], "IMAGE"),
        (["predict", "a", "b", "c"], "IMAGE"),
        (["predict", "a", "b", "--threads", "0"], "--threads"),
        (["predict", "a", "--faces", "some"], "some"),
        (["predict", "a", "--faces", "none", "--face-model", "x.onnx"], "--face-model"),
        (["doctor", "x"], "x"),
    ],
)
def test_usage_errors(refused: Refused, run_cli: Call, arguments: list[str], says: str) -> None:
    error, hint = refused(2, *arguments)
    assert says in error
    assert "edgefer" in hint or "pass" in hint or "leave" in hint
    code, out, err = run_cli(arguments[0], "--json", *arguments[1:])
    assert (code, err) == (2, "")
    assert set(json.loads(out)) == {"error", "hint", "exit_code"}


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (edgefer.UsageError("this and that.", "one of them."), 2, "this and that."),
        (edgefer.ImageError("no image.", "an image."), 3, "no image."),
        (edgefer.CheckpointError("no checkpoint.", "a checkpoint."), 3, "no checkpoint."),
        (edgefer.ArtifactError("no artifact.", "an artifact."), 3, "no artifact."),
        (edgefer.DataError("no data.", "data."), 3, "no data."),
        (edgefer.UnavailableError("not here.", "there."), 4, "not here."),
        (edgefer.ParityError("differs.", "export again."), 5, "differs."),
        (PermissionError(13, "Permission denied", "/srv/x"), 3, "/srv/x: Permission denied."),
        (OSError(28, "No space left on device"), 3, "No space left on device."),
        (typer.BadParameter("not so."), 2, "not so."),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), 130, "interrupted."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_failure_has_its_exit_code_and_two_lines(
    refused: Refused, run_cli: Call, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, says: str
) -> None:
    def fail(path: Path) -> None:
        raise failure

    monkeypatch.setattr(info, "open_artifact", fail)
    error, hint = refused(code, "info", "x")
    assert says in error
    found, out, err = run_cli("info", "x", "--json")
    assert (found, err) == (code, "")
    assert json.loads(out) == {"error": error, "hint": hint, "exit_code": code}
    if not isinstance(failure, KeyboardInterrupt):
        found, out, err = run_cli("info", "x", "--debug")
        assert (found, out) == (code, "")
        assert err.startswith("Traceback (most recent call last):")
        assert err.endswith(f"error: {error}\nhint:  {hint}\n")


@pytest.mark.parametrize(
    "command",
    [
        ["bench"],
        ["data", "audit", "no-data", "--dataset", "fer2013"],
        ["evaluate", "--data", "no-data", "--dataset", "fer2013"],
        ["export"],
        ["train", "--data", "no-data", "--dataset", "fer2013"],
    ],
)
def test_a_file_is_no_folder_to_write_to(refused: Refused, tmp_path: Path, command: list[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a letter")
    for out in (taken, taken / "deeper"):
        message, hint = refused(2, *command, "--out", out)  # before the data, which are not there either, are read
        assert f"{taken} is a file" in message
        assert "--out" in hint
    assert taken.read_text() == "a letter"


def test_the_installed_program(tiny_artifact: Artifact) -> None:
    done = program("info", tiny_artifact.path, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["manifest"] == tiny_artifact.manifest.to_dict()
    failed = program("info", tiny_artifact.path / "no")
    assert failed.returncode == 3
    assert failed.stdout == ""
    assert len(failed.stderr.splitlines()) == 2
    assert program("fly").returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"], ["info", "/no", "--json"], ["--help"]])
def test_a_reader_that_has_gone_is_no_error(arguments: list[str]) -> None:
    """`edgefer doctor | head -1` must not end in a traceback."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*PROGRAM, *arguments], stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.returncode == 1
