"""The pool of images that candidates rotate through: drawn faces, or a folder of the user's."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgefer import imageset
from edgefer.images import decode
from edgefer.imageset import ImageSet
from edgefer.samples import encoded, faces

POOL = 64  # more than any cache of a branch predictor remembers, few enough to prepare in a second


def drawn(count: int = POOL, seed: int = 0) -> ImageSet:
    """Drawn faces as images come in life: PNG and JPEG, 40 to 400 pixels."""
    return ImageSet(encoded(count, seed), f"{count} drawn faces, PNG and JPEG, 40 to 400 pixels, seed {seed}")


def drawn_at(size: int, format: str, gray: bool = False, count: int = POOL, seed: int = 0) -> ImageSet:
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
    return ImageSet(images, f"{count} drawn faces, {size}x{size} {kind}{format.upper()}, seed {seed}")


def from_folder(folder: Path, limit: int = 512) -> ImageSet:
    """The user's images, the first `limit` by name.

    Raises:
        ImageError: the folder is missing or holds no images, or one of them cannot be decoded.
    """
    pool = imageset.from_folder(folder, limit=limit)
    for name, data in pool.images:
        decode(data, name)  # what is no image is noticed before anything is measured
    return pool
