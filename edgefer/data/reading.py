"""What the readers share: one place that decides between an error and a counted skip, csv rows, image folders."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgefer.data.dataset import SKIP_HINT
from edgefer.errors import DataError
from edgefer.images import SUFFIXES

# What file managers leave behind, and only that, may lie among the images. Names that start with a dot are ignored too.
CLUTTER = frozenset({"thumbs.db", "desktop.ini"})


class Problems:
    """Raises the first problem, or with `skip_bad` collects them all in `skipped`."""

    def __init__(self, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad
        self.skipped: list[tuple[str, str]] = []

    def bad(self, where: str, why: str, hint: str) -> None:
        """Report one broken row or file; the caller leaves it out if this returns.

        Raises:
            DataError: unless `skip_bad`.
        """
        if not self.skip_bad:
            raise DataError(f"{where}: {why}", f"{hint.rstrip('.')}, {SKIP_HINT}")
        self.skipped.append((where, why))


def require(path: Path, what: str) -> Path:
    """Return `path` when it exists.

    Raises:
        DataError: it does not.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist.", f"expected {what} there; check the path.")
    return path


def find(root: Path, candidates: Sequence[str], what: str) -> Path:
    """Return the first of `candidates` (relative to `root`) that exists.

    Raises:
        DataError: none does.
    """
    for name in candidates:
        if (root / name).exists():
            return root / name
    raise DataError(f"{root} has no {what}.", f"looked for {', '.join(candidates)} in it; check the path.")


def csv_rows(path: Path, columns: Sequence[str], problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, {column: value}) for each row of a csv file with a header.

    Names in the header and values are stripped: Kaggle's FER2013 has " Usage" and " pixels". Other columns are kept.

    Raises:
        DataError: no header, a column is missing, or the file is not UTF-8 text. Rows of the wrong length go to
            `problems`.
    """
    expected = ",".join(columns)
    header: list[str] = []
    for line, row in raw_rows(path):
        if not header:
            header = [name.strip() for name in row]
            missing = [name for name in columns if name not in header]
            if len(missing) == len(columns):
                raise DataError(f"{path}:1: no header.", f"add the line {expected} at the top.")
            if missing:
                raise DataError(f"{path}:1: no column {missing[0]}.", f"the header must name {expected}.")
        elif len(row) != len(header):
            problems.bad(f"{path}:{line}", f"{len(row)} values for {len(header)} columns.", "correct the line")
        else:
            yield line, {name: value.strip() for name, value in zip(header, row, strict=True)}


def raw_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values) for each row that is not blank.

    Raises:
        DataError: the file is missing, empty, or not csv in UTF-8.
    """
    line = 0
    try:
        with require(path, "a csv file").open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            for row in reader:
                if line == 0 and not row:
                    raise DataError(f"{path}:1: the first line is empty.", "remove it.")
                line = reader.line_num
                if row:
                    yield line, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}:{line + 1}: not a csv file in UTF-8: {error}.", "check the file.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "check its permissions.") from None
    if line == 0:
        raise DataError(f"{path} is empty.", "download or export it again.")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) for each line that is not blank, stripped.

    Raises:
        DataError: the file is missing, has no lines, or is not UTF-8.
    """
    line = 0
    try:
        with require(path, "a list of labels").open(encoding="utf-8-sig") as stream:
            for line, text in enumerate(stream, 1):
                if text.strip():
                    yield line, text.strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{line + 1}: not UTF-8 text: {error}.", "check the file.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "check its permissions.") from None
    if line == 0:
        raise DataError(f"{path} is empty.", "download it again.")


def integer(text: str) -> int | None:
    """Return the integer, or None when `text` is none ("3", " 3", but also "3.0" as pandas writes it)."""
    text = text.strip().removesuffix(".0")
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() else None


def folder_images(folder: Path, problems: Problems) -> list[Path]:
    """Return the image files of a folder, sorted by name.

    Raises:
        DataError: something in it is not an image file, by its name (unless `skip_bad`).
    """
    found = []
    for item in entries(folder):
        if item.is_dir():
            problems.bad(str(item), "a folder among the images.", "move it away")
        elif item.suffix.lower() not in SUFFIXES:
            problems.bad(str(item), f"not an image file ({', '.join(SUFFIXES)}).", "move it away")
        else:
            found.append(item)
    return found


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, without hidden files and the clutter of file managers."""
    try:
        items = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.", "check the path.") from None
    return [item for item in items if not item.name.startswith(".") and item.name.lower() not in CLUTTER]
