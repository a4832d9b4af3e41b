"""What all commands share: options with one meaning everywhere, and how things are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgefer.artifact import MANIFEST
from edgefer.errors import ParityError, UsageError
from edgefer.files import refuse_file
from edgefer.imageset import ImageSet, from_folder

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="Folder of face images to prove on, instead of the rendered faces.", metavar="DIR"),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads (default: all physical cores).")]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        help="What runs an ONNX artifact: cpu, cuda, tensorrt, coreml, openvino; a Core ML one: ALL, CPU_ONLY, ...",
    ),
]

RENDERED = 256  # faces of the default probe


class ProofFailedError(ParityError):
    """A failed proof, with the figures that --json prints beside the message."""

    def __init__(self, message: str, hint: str, figures: Mapping[str, Any]) -> None:
        super().__init__(message, hint)
        self.figures = figures


class Output:
    """Prints a command's steps and result: for people on stdout, or with --json on stderr with the object on stdout."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False, soft_wrap=True, emoji=False)
        self.progress_console = Console(stderr=True, highlight=False, emoji=False)

    def line(self, step: str, text: str) -> None:
        """One step and what came out of it, in two columns."""
        self.console.print(f"{step:<12} {text}", markup=False)

    def text(self, text: str = "") -> None:
        """A plain line."""
        self.console.print(text, markup=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; columns that hold figures line up right."""
        cells = [list(columns), *[list(row) for row in rows]]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        figures = [bool(rows) and all(_is_figure(row[i]) for row in rows) for i in range(len(columns))]
        for line in cells:
            padded = [c.rjust(w) if f else c.ljust(w) for c, w, f in zip(line, widths, figures, strict=True)]
            self.text("  ".join(padded).rstrip())

    def result(self, values: dict[str, Any]) -> None:
        """The machine-readable object; printed only with --json."""
        if self.as_json:
            print(json.dumps(values, indent=2), flush=True)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that something is going on, on a terminal only."""
        if not self.progress_console.is_terminal:
            yield
            return
        with self.progress_console.status(what):
            yield

    @contextmanager
    def bar(self, what: str) -> Iterator[Any]:
        """Yield a callable (done, total) that moves a bar; it shows on a terminal only, and leaves nothing behind."""
        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(
            *columns, console=self.progress_console, transient=True, disable=not self.progress_console.is_terminal
        ) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def fail(message: str, hint: str, code: int, as_json: bool, figures: Mapping[str, Any] | None = None) -> int:
    """Print an error in two lines on stderr, or as an object on stdout with `figures` in it, and return `code`."""
    if as_json:
        print(json.dumps({"error": message, "hint": hint, "exit_code": code, **(figures or {})}, indent=2), flush=True)
    else:
        print(f"error: {message}\nhint:  {hint}", file=sys.stderr)
    return code


def probe(images: Path | None) -> ImageSet:
    """The images to prove on: those in the folder, or the rendered faces.

    Raises:
        ImageError: the folder holds none, or an unreadable one.
    """
    from edgefer.samples import encoded

    if images is not None:
        return from_folder(images)
    return ImageSet(encoded(RENDERED), f"{RENDERED} rendered faces, seed 0")


def split_artifact(arguments: Sequence[str], what: str) -> tuple[str | None, str]:
    """[ARTIFACT] SOURCE: the first is optional, which no option parser knows.

    Raises:
        UsageError: none or more than two were given, or only an artifact.
    """
    if len(arguments) == 1 and (Path(arguments[0]) / MANIFEST).is_file():
        raise UsageError(f"{arguments[0]} is an artifact.", f"edgefer predict {arguments[0]} {what}")
    if len(arguments) == 1:
        return None, arguments[0]
    if len(arguments) == 2:
        return arguments[0], arguments[1]
    raise UsageError(f"pass [ARTIFACT] {what}.", "edgefer predict build/fer face.jpg")


def writable_folder(out: Path | None) -> Path | None:
    """Callback of an --out that takes a folder: refuse a file at once, not after minutes of work."""
    if out is not None:
        refuse_file(out)
    return out


def parse_batch(text: str | None) -> tuple[int, ...] | None:
    """ "8" -> (8,), "1:8:32" -> (1, 8, 32), None -> None.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return None
    try:
        values = tuple(int(part) for part in text.split(":"))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or any(v < 1 for v in values) or list(values) != sorted(values):
        raise UsageError(f"--batch {text} cannot be.", "pass one size (--batch 8) or min:opt:max (--batch 1:8:32).")
    return values


def differing_table(output: Output, rows: Sequence[dict[str, Any]], limit: int = 20) -> None:
    """The images on which an artifact differs from its checkpoint, worst first."""
    output.table(
        ["image", "checkpoint says", "p", "artifact says", "p", "max |dp|"],
        [
            [
                row["image"],
                row["reference"],
                f"{row['reference_confidence']:.3f}",
                row["candidate"],
                f"{row['candidate_confidence']:.3f}",
                f"{row['max_delta']:.1e}",
            ]
            for row in rows[:limit]
        ],
    )
    if len(rows) > limit:
        output.text(f"... and {len(rows) - limit} more")


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "-+."
