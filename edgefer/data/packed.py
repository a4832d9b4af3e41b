"""Packed: a data set as `pack` wrote it, opened memory-mapped and checked."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.data import tables
from edgefer.data.dataset import SPLITS, count
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError
from edgefer.preprocess import Preprocess

SCHEMA = "pack/1"
HEADER_BYTES = 65536  # a multiple of every page size in use, so that the images start on a page
_DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "I64": np.dtype("<i8"), "F32": np.dtype("<f4")}
_EXPECTED = {"images": "U8", "labels": "U8", "splits": "U8", "id_offsets": "I64", "ids": "U8"}
_OPTIONAL = {"votes": "F32", "clean": "U8"}
_HINT = "pack the data set again with `edgefer data pack`."


@dataclass(frozen=True)
class Packed:
    """A packed data set.

    Attributes:
        path: the file.
        images: uint8 [N, S, S, C], C = 1 (gray) or 3 (RGB): a read-only memory map; slices are read from disk on use.
        labels: int64 [N], index into `EMOTIONS`.
        splits: uint8 [N], 0 train, 1 val, 2 test.
        votes: float32 [N, 7], share of taggers for each class (see `edgefer.data.ferplus`), or None.
        clean: bool [N], test images without a near copy in training, or None where it is not known.
        meta: the file's metadata: dataset, source_sha256, images_sha256, preprocess, classes, skipped, notes.
    """

    path: Path
    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    votes: np.ndarray | None
    clean: np.ndarray | None
    meta: dict[str, str]
    _id_offsets: np.ndarray
    _ids: np.ndarray

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Packed:
        """Map a file that `pack` wrote.

        Raises:
            DataError: the file is missing, is not a packed data set, is damaged or has another schema.
        """
        file = Path(path)
        header, meta, start = _read_header(file)
        layout = _check_layout(file, header, start)
        arrays = {name: _map(file, layout[name], start) for name in layout}
        small = {name: np.array(array) for name, array in arrays.items() if name != "images"}
        _check_values(file, small)
        votes, clean = small.get("votes"), small.get("clean")
        return cls(
            path=file,
            images=arrays["images"],
            labels=small["labels"].astype(np.int64),
            splits=small["splits"],
            votes=votes,
            clean=None if clean is None else clean.astype(bool),
            meta=meta,
            _id_offsets=small["id_offsets"],
            _ids=small["ids"],
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.meta["dataset"]

    @property
    def source_sha256(self) -> str:
        """The hash of everything that was packed (see `edgefer.data.pack`)."""
        return self.meta["source_sha256"]

    @cached_property
    def preprocess(self) -> Preprocess:
        """The preprocessing whose size and resize made these pixels."""
        return Preprocess.from_dict(json.loads(self.meta["preprocess"]))

    @cached_property
    def ids(self) -> Sequence[str]:
        """The faces' ids, in order."""
        blob = self._ids.tobytes()
        at = self._id_offsets.tolist()
        return [blob[a:b].decode() for a, b in itertools.pairwise(at)]

    def id(self, row: int) -> str:
        """Return the id of a row."""
        return self.ids[row]

    def image(self, row: int) -> np.ndarray:
        """Return the pixels of a row, uint8 [S, S, C]."""
        return self.images[row]

    def indices(self, split: str) -> np.ndarray:
        """Return int64 [n], the rows of a split, in order."""
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images by split and class."""
        return count((SPLITS[s], label) for s, label in zip(self.splits.tolist(), self.labels.tolist(), strict=True))

    def report_differences(self) -> list[str]:
        """Compare the counts with the paper's tables I and II; return the differences as sentences."""
        return tables.differences(self.name, self.counts())

    def verify(self) -> None:
        """Hash all images: finds damage that `open` cannot see (it reads no pixels).

        Raises:
            DataError: the images are not those that were packed.
        """
        sha256 = hashlib.sha256()
        for start in range(0, len(self), 1024):
            sha256.update(np.ascontiguousarray(self.images[start : start + 1024]).data)
        if sha256.hexdigest() != self.meta["images_sha256"]:
            raise DataError(f"{self.path} is damaged: its images do not match their hash.", _HINT)


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            text = stream.read(length) if length <= 1 << 20 else b""
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "check the path, or write it with `edgefer data pack`.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "check the path and its permissions.") from None
    try:
        header = json.loads(text)
        meta = header.pop("__metadata__", {})
        schema = meta.get("edgefer")
    except (ValueError, AttributeError):
        raise DataError(f"{path} is not a packed data set.", _HINT) from None
    if schema != SCHEMA:
        found = f"schema {schema}" if schema else "no schema of ours"
        raise DataError(f"{path} has {found}, this version reads {SCHEMA}.", _HINT)
    wanted = ("dataset", "source_sha256", "images_sha256", "preprocess", "classes")
    missing = [key for key in wanted if not isinstance(meta.get(key), str)]
    if missing:
        raise DataError(f"{path} is damaged: its header lacks {missing[0]}.", _HINT)
    if meta["classes"] != json.dumps(EMOTIONS):
        raise DataError(f"{path} has the classes {meta['classes']}.", f"expected {', '.join(EMOTIONS)}; {_HINT}")
    try:
        Preprocess.from_dict(json.loads(meta["preprocess"]))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}.", _HINT) from None
    return header, meta, 8 + length


def _check_layout(path: Path, header: dict[str, Any], start: int) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Return {name: (dtype, shape, offset)} after checking that names, types, shapes and sizes fit the file."""
    size = path.stat().st_size - start
    missing = [name for name in _EXPECTED if name not in header]
    if missing:
        raise DataError(f"{path} is damaged: it has no tensor {missing[0]}.", _HINT)
    layout: dict[str, tuple[str, tuple[int, ...], int]] = {}
    ends: dict[int, int] = {}
    for name, dtype in {**_EXPECTED, **_OPTIONAL}.items():
        if name not in header:
            continue
        try:
            entry = header[name]
            shape = tuple(int(n) for n in entry["shape"])
            begin, end = (int(n) for n in entry["data_offsets"])
            fits = entry["dtype"] == dtype and begin >= 0 and min(shape, default=0) >= 0
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{path} is damaged: the header of {name} makes no sense.", _HINT) from None
        if not fits or end - begin != int(np.prod(shape, dtype=object)) * _DTYPES[dtype].itemsize:
            raise DataError(f"{path} is damaged: {name} has the wrong type or size.", _HINT)
        layout[name] = (dtype, shape, begin)
        ends[begin] = end
    at = 0
    while at in ends and ends[at] > at:  # end to end from 0: nothing overlaps, nothing is left over
        at = ends.pop(at)
    if at != size or any(end > begin for begin, end in ends.items()):
        raise DataError(f"{path} is cut or damaged: its tensors do not fill its {size + start:,} bytes.", _HINT)
    n = layout["labels"][1][0] if len(layout["labels"][1]) == 1 else -1
    side = layout["images"][1][1] if len(layout["images"][1]) == 4 else -1
    channels = layout["images"][1][-1]
    shapes = {"images": (n, side, side, channels), "labels": (n,), "splits": (n,), "id_offsets": (n + 1,)}
    shapes |= {"votes": (n, len(EMOTIONS)), "clean": (n,), "ids": (layout["ids"][1][0],)}
    for name, (_, shape, _) in layout.items():
        if shape != shapes[name] or n < 1 or channels not in (1, 3):
            raise DataError(f"{path} is damaged: {name} has the shape {list(shape)}.", _HINT)
    return layout


def _map(path: Path, entry: tuple[str, tuple[int, ...], int], start: int) -> np.ndarray:
    dtype, shape, begin = entry
    if 0 in shape:
        return np.empty(shape, _DTYPES[dtype])
    return np.memmap(path, _DTYPES[dtype], "r", start + begin, shape)


def _check_values(path: Path, arrays: dict[str, np.ndarray]) -> None:
    offsets, votes = arrays["id_offsets"], arrays.get("votes")
    broken = {
        "labels": arrays["labels"].max() >= len(EMOTIONS),
        "splits": arrays["splits"].max() >= len(SPLITS),
        "id_offsets": offsets[0] != 0 or offsets[-1] != len(arrays["ids"]) or bool((np.diff(offsets) < 0).any()),
        "votes": votes is not None and not (np.isfinite(votes).all() and votes.min() >= 0 and votes.max() <= 1),
        "clean": "clean" in arrays and arrays["clean"].max() > 1,
    }
    for name, is_broken in broken.items():
        if is_broken:
            raise DataError(f"{path} is damaged: {name} holds impossible values.", _HINT)
