"""Images as they come, encoded: what artifacts are proven, calibrated and measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgefer.emotions import EMOTIONS
from edgefer.errors import ImageError
from edgefer.images import SUFFIXES, decode, read_bytes, sniff
from edgefer.preprocess import Preprocess


@dataclass(frozen=True)
class ImageSet:
    """Images: (name, encoded bytes), and one line that says what they are."""

    images: Sequence[tuple[str, bytes]]
    source: str

    @property
    def sha256(self) -> str:
        """Hash of all bytes, in order."""
        digest = hashlib.sha256()
        for _, data in self.images:
            digest.update(hashlib.sha256(data).digest())
        return digest.hexdigest()

    @property
    def labels(self) -> np.ndarray | None:
        """True classes int [N], when every image lies in a folder named for one of the emotions; else None."""
        folders = [Path(name).parent.name for name, _ in self.images]
        if not folders or not set(folders) <= set(EMOTIONS):
            return None
        return np.array([EMOTIONS.index(folder) for folder in folders])

    def faces(self, preprocess: Preprocess) -> np.ndarray:
        """The images as a model wants them: uint8 RGB [N, size, size, 3]."""
        return np.stack([preprocess(decode(data, name)) for name, data in self.images])


def from_folder(folder: Path, option: str = "--images", limit: int | None = None) -> ImageSet:
    """Read every image below `folder`, sorted by path; the first `limit` of them.

    Args:
        option: what the folder was given with, for the words.

    Raises:
        ImageError: there is none, or a file that should be one has no image's header.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder.", f"pass a folder of face images to {option}.")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())[:limit]
    if not files:
        raise ImageError(f"{folder} holds no images.", f"put face images ({', '.join(SUFFIXES)}) there.")
    images = [(f.relative_to(folder).as_posix(), read_bytes(f)) for f in files]
    for name, data in images:
        sniff(data, name)
    return ImageSet(images, f"{len(images)} images given with {option}")
