"""Face and Dataset: the one small type that every reader returns.

A face knows where its pixels are, not what they are: AffectNet's 287,401 faces are about 100 MB of records here and
6 GB of files that are decoded one at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from edgefer import images
from edgefer.data import tables
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError, ImageError

SPLITS = ("train", "val", "test")
SKIP_HINT = "or pass --skip-bad (skip_bad=True): what it leaves out is counted and listed."


class Picture(NamedTuple):
    """Decoded pixels, uint8 [H, W, 3] RGB or [H, W, 1] gray, and the SHA-256 of what they were decoded from."""

    pixels: np.ndarray
    sha256: bytes


class Source(Protocol):
    """Where a face's pixels come from. `where` names file and line, for messages."""

    @property
    def where(self) -> str: ...

    def read(self) -> Picture: ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A face in an image file: the whole image or a box of it.

    Attributes:
        path: the image file.
        box: left, top, right, bottom in pixels; right and bottom are exclusive. None is the whole image.
        listed: the file that lists the image, and the line; None where only the folder says it.
    """

    path: str
    box: tuple[int, int, int, int] | None = None
    listed: tuple[str, int] | None = None

    @property
    def where(self) -> str:
        return f"{self.listed[0]}:{self.listed[1]}" if self.listed else self.path

    def read(self) -> Picture:
        """Decode the file and cut the box.

        Raises:
            DataError: the file is missing or is not an image, or the box is not inside it.
        """
        try:
            data = images.read_bytes(self.path)
            pixels = images.decode(data, self.path)
        except ImageError as error:
            message = f"{self.where}: {error}" if self.listed else str(error)
            raise DataError(message, f"{error.hint.rstrip('.')}, {SKIP_HINT}") from None
        if self.box is not None:
            pixels = self._cut(pixels)
        return Picture(pixels, hashlib.sha256(data).digest())

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        assert self.box is not None
        left, top, right, bottom = self.box
        height, width = pixels.shape[:2]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise DataError(
                f"{self.where}: the box left {left}, top {top}, right {right}, bottom {bottom} is not inside "
                f"{self.path} ({width} x {height} pixels).",
                f"correct the box, {SKIP_HINT}",
            )
        return pixels[top:bottom, left:right]


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """A gray face in an array uint8 [N, H, W] that is already in memory (FER2013's csv holds pixels, not files)."""

    array: np.ndarray
    index: int
    listed: tuple[str, int]

    @property
    def where(self) -> str:
        return f"{self.listed[0]}:{self.listed[1]}"

    def read(self) -> Picture:
        pixels = np.ascontiguousarray(self.array[self.index])[:, :, None]
        return Picture(pixels, hashlib.sha256(pixels.data).digest())


@dataclass(frozen=True, slots=True)
class Face:
    """One labelled face.

    Attributes:
        source: where the pixels are; `image()` reads them.
        label: index into `EMOTIONS`.
        split: "train", "val" or "test".
        id: unique within the data set and stable between machines: row number or path relative to the data set.
        votes: float32 [7] in the order of `EMOTIONS`, the share of all taggers who chose each (FER+). What is missing
            to 1 went to contempt, unknown or "not a face".
        clean: False where the image is known to have a near copy in training; None where nobody looked.
    """

    source: Source
    label: int
    split: str
    id: str
    votes: np.ndarray | None = None
    clean: bool | None = None

    def image(self) -> np.ndarray:
        """Return uint8 [H, W, 3] RGB, or [H, W, 1] where the source is gray.

        Raises:
            DataError: the image is missing or damaged, or the box is not inside it.
        """
        return self.source.read().pixels


@dataclass
class Dataset:
    """What a reader returns.

    Attributes:
        name: "fer2013", "rafdb", "affectnet", "expw", "authors" or "folder".
        faces: in the order of the source, which is the same on every machine.
        gray: every image is gray; they are packed with one channel.
        skip_bad: what cannot be decoded later is left out and listed, too.
        skipped: (where, why) of everything left out because it is broken.
        notes: what a user should know about how the data was read, in sentences.
    """

    name: str
    faces: list[Face]
    gray: bool = False
    skip_bad: bool = False
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.faces)

    def id(self, row: int) -> str:
        """Return the id of a row; with `image`, what `Packed` has, too."""
        return self.faces[row].id

    def image(self, row: int) -> np.ndarray:
        """Return the pixels of a row, uint8 [H, W, 1 or 3] (`Face.image`)."""
        return self.faces[row].image()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of faces by split and class, with every split and class present."""
        return count((face.split, face.label) for face in self.faces)

    def report_differences(self) -> list[str]:
        """Compare the counts with the paper's tables I and II; return the differences as sentences."""
        return tables.differences(self.name, self.counts())

    def split(self, *names: str) -> Dataset:
        """Return a data set with the faces of the named splits only.

        Raises:
            DataError: a name is not a split, or no face belongs to them.
        """
        unknown = [name for name in names if name not in SPLITS]
        if unknown:
            raise DataError(f"{unknown[0]!r} is not a split.", f"the splits are {', '.join(SPLITS)}.")
        faces = [face for face in self.faces if face.split in names]
        if not faces:
            raise DataError(f"{self.name} has no {' or '.join(names)} split.", f"it has {self._present()}.")
        return replace(self, faces=faces)

    def hold_out(self, fraction: float, seed: int = 0) -> Dataset:
        """Move a share of each class from train to val, for sets that come without a validation split.

        Deterministic: the same faces for the same seed on every machine. Returns a new data set.

        Raises:
            ValueError: the fraction is not between 0 and 1.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must be between 0 and 1, not {fraction!r}")
        rng = np.random.Generator(np.random.PCG64(seed))
        moved: set[int] = set()
        for label in range(len(EMOTIONS)):
            rows = [i for i, face in enumerate(self.faces) if face.split == "train" and face.label == label]
            moved.update(int(i) for i in rng.permutation(rows)[: round(fraction * len(rows))])
        faces = [replace(face, split="val") if i in moved else face for i, face in enumerate(self.faces)]
        note = f"{len(moved)} training images were held out for validation (fraction {fraction:g}, seed {seed})."
        return replace(self, faces=faces, notes=[*self.notes, note])

    def with_clean(self, clean: np.ndarray) -> Dataset:
        """Return a new data set with `Face.clean` set from bool [N], such as `AuditReport.clean`."""
        faces = [replace(face, clean=bool(flag)) for face, flag in zip(self.faces, clean, strict=True)]
        return replace(self, faces=faces)

    def _present(self) -> str:
        return ", ".join(f"{sum(c.values())} {split}" for split, c in self.counts().items() if any(c.values()))


def count(pairs: Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Count (split, label) pairs into {split: {class: n}}, every split and class present."""
    table = {split: dict.fromkeys(EMOTIONS, 0) for split in SPLITS}
    for split, label in pairs:
        table[split][EMOTIONS[label]] += 1
    return table
