"""An image addressed in face units: splines, contours and soft strokes, colours mixed and shaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

Array = np.ndarray
Color = tuple[float, float, float]

FIELD = 3.0  # width and height of the canvas in face units, centred on the origin
SHIFT = 4  # fractional bits of the coordinates handed to OpenCV


def f32(values: Any) -> Array:
    return np.asarray(values, np.float32)


@lru_cache(maxsize=64)
def _catmull_rom(n: int, closed: bool, steps: int) -> Array:
    """The curve is linear in its n points: float32 [number of points on the curve, n]."""
    t = np.arange(steps, dtype=np.float32) / steps
    basis = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], -1) / 2
    p = np.eye(n, dtype=np.float32)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    curve: Array = np.concatenate([basis @ p[i : i + 4] for i in range(len(p) - 3)])
    return curve if closed else np.concatenate([curve, p[-2:-1]])


def spline(points: Sequence[Sequence[float]] | Array, closed: bool = False, steps: int = 8) -> Array:
    """Catmull-Rom curve through points [n, 2]: float32 [about n * steps, 2]."""
    curve: Array = _catmull_rom(len(points), closed, steps) @ f32(points)
    return curve


def mirror(points: Sequence[Sequence[float]] | Array) -> Array:
    """Close the left half of a symmetric contour [n, 2] with its mirror image: [2n, 2]."""
    p = f32(points)
    return np.concatenate([p, p[::-1] * f32([-1, 1])])


def mixed(a: Color, b: Color, share: float) -> Color:
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def shaded(color: Color, factor: float, lift: float = 0.0) -> Color:
    red, green, blue = (min(max(v * factor + lift, 0.0), 255.0) for v in color)
    return red, green, blue


def tinted(color: Color, tint: Color) -> Color:
    return color[0] * tint[0], color[1] * tint[1], color[2] * tint[2]


class Canvas:
    """A uint8 RGB image [n, n, 3] addressed in face units."""

    def __init__(self, image: Array) -> None:
        self.image = image
        self.scale = image.shape[0] / FIELD

    def pixels(self, shapes: Sequence[Array] | Array, origin: tuple[int, int] = (0, 0)) -> list[Array]:
        """Fixed-point coordinates for OpenCV, relative to the pixel `origin` (x, y)."""
        middle, unit = FIELD / 2 * self.scale - 0.5, 2**SHIFT
        shift = f32([(middle - origin[0]) * unit + 0.5, (middle - origin[1]) * unit + 0.5])
        single = len(shapes) == 1
        many = shapes if isinstance(shapes, np.ndarray) else shapes[0] if single else np.concatenate(shapes)
        at = (many * np.float32(self.scale * unit) + shift).astype(np.int32)
        if single or at.ndim == 3:
            return [at] if at.ndim == 2 else list(at)
        ends = np.cumsum([len(shape) for shape in shapes])
        return [at[end - len(shape) : end] for end, shape in zip(ends, shapes, strict=True)]

    def window(self, points: Array, margin: float = 0.0) -> tuple[slice, slice]:
        """Rows and columns around the points, at least one pixel."""
        n, half, scale = self.image.shape[0], FIELD / 2, self.scale
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        left, top = (min(max(int((v - margin + half) * scale - 1), 0), n - 1) for v in (x0, y0))
        right, bottom = (min(max(int((v + margin + half) * scale + 2), 1), n) for v in (x1, y1))
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))

    def mask(
        self, shapes: Sequence[Array] | Array, window: tuple[slice, slice], blur: float = 0.0, width: float = 0
    ) -> Array:
        """Coverage uint8 of filled contours, or of lines when `width` is given."""
        rows, columns = window
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        at = self.pixels(shapes, (columns.start, rows.start))
        if width:
            cv2.polylines(mask, at, False, 255, max(1, round(width * self.scale)), cv2.LINE_AA, SHIFT)
        else:
            cv2.fillPoly(mask, at, 255, cv2.LINE_AA, SHIFT)
        sigma = blur * self.scale
        return cv2.GaussianBlur(mask, (0, 0), sigma) if sigma > 0.6 else mask  # less is lost in the antialiasing

    def blend(self, window: tuple[slice, slice], mask: Array, source: Array | Color, opacity: float = 1.0) -> None:
        """Lay `source`, a colour or a uint8 image of the window's size, over the window where `mask` is."""
        target = self.image[window]
        if isinstance(source, tuple):
            color, source = source, np.empty_like(target)
            cv2.rectangle(source, (0, 0), mask.shape[::-1], color, cv2.FILLED)  # ten times as fast as broadcasting
        weight = mask * np.float32(opacity / 255)
        target[...] = cv2.blendLinear(source, target, weight, 1 - weight)

    def fill(self, shape: Array, color: Color, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Fill one contour."""
        if opacity == 1.0 and not blur:
            cv2.fillPoly(self.image, self.pixels([shape]), color, cv2.LINE_AA, SHIFT)
            return
        window = self.window(shape, 2.5 * blur)
        self.blend(window, self.mask([shape], window, blur), color, opacity)

    def stroke(
        self,
        lines: Sequence[Array] | Array,
        color: Color,
        width: float,
        opacity: float = 1.0,
        blur: float = 0.0,
    ) -> None:
        """Draw open lines."""
        thickness = max(1, round(width * self.scale))
        if opacity == 1.0 and not blur:
            cv2.polylines(self.image, self.pixels(lines), False, color, thickness, cv2.LINE_AA, SHIFT)
            return
        window = self.window(np.concatenate(lines), width + 2.5 * blur)
        self.blend(window, self.mask(lines, window, blur, width), color, opacity)


_CIRCLE = np.stack([trig(np.arange(48) * np.pi / 24) for trig in (np.cos, np.sin)], -1).astype(np.float32)


def ellipse(x: float, y: float, a: float, b: float, power: float = 2.0) -> Array:
    """Superellipse contour float32 [48, 2]; power 2 is an ellipse, more is squarer."""
    unit = _CIRCLE if power == 2.0 else np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (2 / power)
    return unit * f32([a, b]) + f32([x, y])


def paste(canvas: Canvas, shape: Array, source: Array, factor: float = 1.0) -> None:
    """Show the part of a full-size image inside a contour."""
    window = canvas.window(shape)
    image = source[window] if factor == 1.0 else cv2.convertScaleAbs(source[window], alpha=factor)
    canvas.blend(window, canvas.mask([shape], window), image)
