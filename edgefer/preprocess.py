"""Face crop -> uint8 model input, and the description of what the graph does with it. The only place that resizes.

A `Preprocess` is data: it is stored in every checkpoint and artifact, and the same object serves training, parity,
bench and run time. The host crops and resizes; gray conversion and normalisation happen inside the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of Pillow's convert("L")
RESIZES = ("pillow", "area", "linear")


@dataclass(frozen=True)
class Preprocess:
    """How a face becomes the network's input.

    Attributes:
        size: height and width of the model input in pixels.
        grayscale: the graph turns RGB into luma and repeats it on three channels.
        resize: "pillow" (antialiased bilinear, bit for bit Pillow's; what the paper authors' checkpoints were trained
            with), or OpenCV's "area" or "linear". They differ by up to 6/255 on average, so a model keeps its own.
        mean, std: per channel, of values in 0..1, applied by the graph.
    """

    size: int = 64
    grayscale: bool = True
    resize: str = "pillow"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not (type(self.size) is int and 1 <= self.size <= 4096):
            raise ValueError(f"size must be 1 to 4096 pixels, not {self.size!r}")
        if self.resize not in RESIZES:
            raise ValueError(f"resize must be one of {', '.join(RESIZES)}, not {self.resize!r}")
        if not isinstance(self.grayscale, bool):
            raise ValueError(f"grayscale must be true or false, not {self.grayscale!r}")
        if not (_is_triple(self.mean) and _is_triple(self.std) and min(self.std) > 0):
            raise ValueError("mean and std must have three finite values each, std above 0")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Resize a uint8 RGB array [H, W, 3] to uint8 RGB [size, size, 3]."""
        if image.shape[:2] == (self.size, self.size):
            return image
        if self.resize == "pillow":
            return resize_pillow(image, self.size, self.size)
        how = cv2.INTER_AREA if self.resize == "area" else cv2.INTER_LINEAR
        return cv2.resize(image, (self.size, self.size), interpolation=how)

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Do on the host what the graph does: uint8 RGB [N, size, size, 3] -> float32 [N, 3, size, size]."""
        x: np.ndarray = images.astype(np.float32) / np.float32(255)
        if self.grayscale:
            x = np.repeat((x @ np.asarray(LUMA, np.float32))[..., None], 3, axis=-1)
        x = (x - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Rebuild from `to_dict`.

        Raises:
            ValueError: a key is missing or unknown, or a value is out of range.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise ValueError(f"preprocess must have the keys {', '.join(sorted(names))}")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def _is_triple(values: object) -> bool:
    """Whether `values` is a tuple of three finite numbers."""
    if not (isinstance(values, tuple) and len(values) == 3):
        return False
    return all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)


def resize_pillow(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize uint8 [H, W, C] exactly as Pillow's `Image.resize((width, height), BILINEAR)`, without Pillow.

    Pillow filters along rows, rounds to 8 bit, then along columns, with weights in 22-bit fixed point. Pillow 13 takes
    columns first in tall images, and 12.3 in strips over a hundred times as tall as wide, which moves a few values by
    one level; checkpoints so far were trained with the order of Pillow 1 to 12, and that is the one kept here.
    """
    if image.shape[1] != width:  # the filter runs along axis 0, where each tap is one contiguous row
        image = _transposed(_filter(_transposed(image), width))
    if image.shape[0] != height:
        image = _filter(image, height)
    return np.ascontiguousarray(image)


def _transposed(image: np.ndarray) -> np.ndarray:
    """[H, W, C] -> [W, H, C]; OpenCV does it twenty times as fast as numpy, but drops a single channel."""
    height, width, channels = image.shape
    return cv2.transpose(image).reshape(width, height, channels)


def _filter(image: np.ndarray, target: int) -> np.ndarray:
    """Filter uint8 [S, T, C] along its first axis: [target, T, C]."""
    first, weights = _pillow_taps(image.shape[0], target)
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    total = np.full((target, rows.shape[1]), 2**21, np.int32)  # rounding; 255 * 2**22 + 2**21 fits
    taken, term = np.empty(total.shape, np.uint8), np.empty_like(total)
    for tap, weight in enumerate(weights):  # widened a tap at a time: a photograph as int32 would be huge
        np.take(rows, first + tap, axis=0, out=taken, mode="clip")  # past the end the weight is 0
        np.multiply(taken, weight[:, None], out=term)
        total += term
    total >>= 22
    return np.minimum(total, 255).astype(np.uint8).reshape(target, *image.shape[1:])


@lru_cache(maxsize=64)
def _pillow_taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Pillow's bilinear (triangle) filter: the first source index [target] and the weights int32 [taps, target]."""
    scale = source / target
    reach = max(scale, 1.0)  # the triangle widens with the scale when shrinking: that is the antialiasing
    center = (np.arange(target) + 0.5) * scale
    first = np.maximum((center - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((center + reach + 0.5).astype(np.int64), source)
    index = first + np.arange(int((last - first).max()))[:, None]
    taps = np.maximum(1.0 - np.abs((index - center + 0.5) / reach), 0.0) * (index < last)
    return first, np.floor(taps / taps.sum(axis=0) * 2**22 + 0.5).astype(np.int32)
