"""The command line. One file a command; a command parses, calls one function of a room below, and prints."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import cv2
import typer

from edgefer import __version__
from edgefer.cli import bench, common, data, doctor, evaluate, export, info, predict, train, verify
from edgefer.errors import EdgeferError

# typer before 0.20 raises click's errors, later versions their own copy of them; the base of BadParameter is either's.
_Usage: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="edgefer",
    help="From a ResEmoteNet checkpoint to an edge artifact that is proven to predict the same.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (train, evaluate, export, verify, bench, predict, info, doctor):
    app.command(module.NAME)(module.command)
app.add_typer(data.app, name=data.NAME)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edgefer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """From a ResEmoteNet checkpoint to an edge artifact that is proven to predict the same."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 usage, 3 bad input, 4 not available here, 5 parity failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--debug" not in arguments:
        _silence_opencv()
    try:
        code = run(arguments)
    except BrokenPipeError:  # the reader has gone (`| head`): what Python flushes at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Every error becomes two lines, or one JSON object with --json."""
    as_json = "--json" in arguments
    try:
        if not arguments:
            app(["--help"], prog_name="edgefer", standalone_mode=False)
            return 2
        code = app(list(arguments), prog_name="edgefer", standalone_mode=False)
        if code == 130:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return common.fail("interrupted.", "nothing was left half-written.", 130, as_json)
    except BrokenPipeError:
        raise
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        message, hint, code = _explain(error)
        figures = error.figures if isinstance(error, common.ProofFailedError) else {}
        return common.fail(message, hint, code, as_json, figures)


def _explain(error: Exception) -> tuple[str, str, int]:
    """What is wrong, what to do, and the exit code."""
    if isinstance(error, EdgeferError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, _Usage):
        usage: Any = error
        command = usage.ctx.command_path if usage.ctx else "edgefer"
        return usage.format_message(), f"{command} --help shows the usage.", 2
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}.", "check the path, its permissions and the space on the disk.", 3
    text = f"{type(error).__name__}: {error}"
    return text, "this is a defect of edgefer; run the command with --debug and report what it prints.", 1


def _silence_opencv() -> None:
    """Keep the remarks of OpenCV and FFmpeg about files and cameras off the terminal: errors are two lines, ours."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when the first video is opened
