"""The pool of images that candidates rotate through: drawn faces, or a folder of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgefer.errors import ImageError
from edgefer.images import SUFFIXES, decode, read_bytes
from edgefer.preprocess import Preprocess
from edgefer.samples import encoded, faces

POOL = 64  # more than any cache of a branch predictor remembers, few enough to prepare in a second


@dataclass(frozen=True)
class Pool:
    """Distinct images: (name, encoded bytes), and one line that says what they are."""

    images: Sequence[tuple[str, bytes]]
    source: str

    @property
    def sha256(self) -> str:
        """Hash of all bytes, in order."""
        digest = hashlib.sha256()
        for _, data in self.images:
            digest.update(hashlib.sha256(data).digest())
        return digest.hexdigest()

    def faces(self, preprocess: Preprocess) -> np.ndarray:
        """The images as a model wants them: uint8 RGB [N, size, size, 3]."""
        return np.stack([preprocess(decode(data, name)) for name, data in self.images])


def drawn(count: int = POOL, seed: int = 0) -> Pool:
    """Drawn faces as images come in life: PNG and JPEG, 40 to 400 pixels."""
    return Pool(encoded(count, seed), f"{count} drawn faces, PNG and JPEG, 40 to 400 pixels, seed {seed}")


def drawn_at(size: int, format: str, gray: bool = False, count: int = POOL, seed: int = 0) -> Pool:
    """Drawn faces of one size, encoded as one data set has them: "png" (lossless) or "jpg" (quality 90)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if format == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    images = []
    for sample in faces(count, seed, size):
        pixels = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY if gray else cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(f".{format}", pixels, options)
        if not done:
            raise RuntimeError(f"OpenCV could not encode a {format} image")
        images.append((f"{sample.name}.{format}", data.tobytes()))
    kind = "gray " if gray else ""
    return Pool(images, f"{count} drawn faces, {size}x{size} {kind}{format.upper()}, seed {seed}")


def from_folder(folder: Path, limit: int = 512) -> Pool:
    """The user's images, the first `limit` by name.

    Raises:
        ImageError: the folder is missing or holds no images, or one of them cannot be decoded.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder.", "pass a folder of face images to --images.")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())[:limit]
    if not files:
        raise ImageError(f"{folder} holds no images.", f"put face images ({', '.join(SUFFIXES)}) there.")
    images = [(f.relative_to(folder).as_posix(), read_bytes(f)) for f in files]
    for name, data in images:
        decode(data, name)  # what is no image is noticed before anything is measured
    return Pool(images, f"{len(images)} images given with --images")
