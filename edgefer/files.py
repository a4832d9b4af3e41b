"""Hashing, and writing so that a reader sees the old file or the new one whole, never a part."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgefer.errors import UsageError

_numbers = itertools.count()
_filling: set[Path] = set()  # folders that this process is filling now


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def package_files(folder: Path) -> list[Path]:
    """The files below a folder, sorted by path; without those that Finder leaves wherever somebody looked."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != ".DS_Store")
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())  # paths sort differently on Windows


def refuse_file(folder: Path) -> None:
    """Refuse what cannot become a folder, before any work is done for it.

    Raises:
        UsageError: `folder` or a folder above it is a file.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise UsageError(f"{place} is a file.", "pass a directory to --out; it will be made.")


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; when the block ends well it is flushed and renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's or folder's content is on disk, so that a rename after it never outruns it."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle to a folder
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` to fill; when the block ends well it takes the place of `path` in one step.

    At every moment `path` is the old folder or the new one, whole. Where the system cannot exchange two folders in one
    step (Windows), an old folder is moved aside first and put back by the next call if the process dies in between.
    A link to a folder stays a link; the folder it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}-{next(_numbers)}")
    _filling.add(partial)
    try:
        partial.mkdir()
        yield partial
        for file in [*partial.rglob("*"), partial]:
            sync(file)
        _put_in_place(partial, path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _filling.discard(partial)


def _put_in_place(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
    elif not _exchange(new, path):
        aside = path.with_name(f".{path.name}.replaced")
        path.rename(aside)
        try:
            new.rename(path)
        except BaseException:
            aside.rename(path)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders atomically; False where the system has no such call."""
    if os.name != "posix":
        return False
    libc: Any = ctypes.CDLL(None)
    first, second = os.fsencode(a.resolve()), os.fsencode(b.resolve())
    if hasattr(libc, "renameat2"):  # Linux, glibc 2.28: AT_FDCWD, RENAME_EXCHANGE
        return bool(libc.renameat2(-100, first, -100, second, 2) == 0)
    if hasattr(libc, "renamex_np"):  # macOS: RENAME_SWAP
        return bool(libc.renamex_np(first, second, 2) == 0)
    return False


def _sweep(path: Path) -> None:
    """Clear what an earlier, killed process left beside `path`, and finish a replacement that it had begun."""
    aside = path.with_name(f".{path.name}.replaced")
    if aside.exists():
        if path.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.partial-*-*"):
        owner = left.name.split("-")[-2]
        # In a container a process often has the number that a killed one had: ours are those we know of.
        if owner.isdigit() and left not in _filling and (int(owner) == os.getpid() or not _alive(int(owner))):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill(pid, 0) would end the process there; leave the folder
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
