"""Draw one face from a person, FACS action units and a light: what `edgefer.samples` photographs.

Coordinates are face units: x to the right, y down, the origin between the eyes, the chin of a face at rest at y = 1.05.
Soft shading comes from a small relief (an ellipsoid plus Gaussian bumps, lit from one side), contours from splines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

Array = np.ndarray
Color = tuple[float, float, float]

FIELD = 3.0  # width and height of the canvas in face units, centred on the origin
_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_EYE_X, _NOSE_Y, _MOUTH_Y, _CHIN_Y = 0.315, 0.43, 0.66, 1.05


@dataclass(frozen=True)
class ActionUnits:
    """Intensities 0..1 of the FACS action units drawn here (Ekman, Friesen and Hager, 2002)."""

    inner_brow_raiser: float = 0.0  # AU1
    outer_brow_raiser: float = 0.0  # AU2
    brow_lowerer: float = 0.0  # AU4
    upper_lid_raiser: float = 0.0  # AU5
    cheek_raiser: float = 0.0  # AU6
    lid_tightener: float = 0.0  # AU7
    nose_wrinkler: float = 0.0  # AU9
    upper_lip_raiser: float = 0.0  # AU10
    lip_corner_puller: float = 0.0  # AU12
    lip_corner_depressor: float = 0.0  # AU15
    chin_raiser: float = 0.0  # AU17
    lip_stretcher: float = 0.0  # AU20
    lip_tightener: float = 0.0  # AU23
    lips_part: float = 0.0  # AU25
    jaw_drop: float = 0.0  # AU26
    lid_droop: float = 0.0  # AU43, not all the way


@dataclass(frozen=True)
class Person:
    """What stays the same in all expressions of one face. Lengths in face units, colours RGB 0..255, age 0..1."""

    skin: Color
    hair: Color
    iris: Color
    clothes: Color
    age: float
    width: float
    jaw: float
    chin: float
    eye_gap: float
    eye_width: float
    eye_tilt: float
    nose_width: float
    mouth_width: float
    lip_fullness: float
    brow_thickness: float
    brow_height: float
    sneer: float
    lash: float
    lip_tint: float
    hairstyle: str
    beard: str
    glasses: str
    freckles: bool


@dataclass(frozen=True)
class Light:
    """Where the light comes from (x right, y down, z to the viewer), its colour, and how much fills the shadows."""

    direction: tuple[float, float, float]
    color: Color
    fill: float


def _f32(values: Any) -> Array:
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
    curve: Array = _catmull_rom(len(points), closed, steps) @ _f32(points)
    return curve


def mirror(points: Sequence[Sequence[float]] | Array) -> Array:
    """Close the left half of a symmetric contour [n, 2] with its mirror image: [2n, 2]."""
    p = _f32(points)
    return np.concatenate([p, p[::-1] * _f32([-1, 1])])


def _mix(a: Color, b: Color, share: float) -> Color:
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def _shade(color: Color, factor: float, lift: float = 0.0) -> Color:
    red, green, blue = (min(max(v * factor + lift, 0.0), 255.0) for v in color)
    return red, green, blue


def _tinted(color: Color, tint: Color) -> Color:
    return color[0] * tint[0], color[1] * tint[1], color[2] * tint[2]


class Canvas:
    """A uint8 RGB image [n, n, 3] addressed in face units."""

    def __init__(self, image: Array) -> None:
        self.image = image
        self.scale = image.shape[0] / FIELD

    def pixels(self, shapes: Sequence[Array] | Array, origin: tuple[int, int] = (0, 0)) -> list[Array]:
        """Fixed-point coordinates for OpenCV, relative to the pixel `origin` (x, y)."""
        middle, unit = FIELD / 2 * self.scale - 0.5, 2**_SHIFT
        shift = _f32([(middle - origin[0]) * unit + 0.5, (middle - origin[1]) * unit + 0.5])
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
            cv2.polylines(mask, at, False, 255, max(1, round(width * self.scale)), cv2.LINE_AA, _SHIFT)
        else:
            cv2.fillPoly(mask, at, 255, cv2.LINE_AA, _SHIFT)
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
            cv2.fillPoly(self.image, self.pixels([shape]), color, cv2.LINE_AA, _SHIFT)
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
            cv2.polylines(self.image, self.pixels(lines), False, color, thickness, cv2.LINE_AA, _SHIFT)
            return
        window = self.window(np.concatenate(lines), width + 2.5 * blur)
        self.blend(window, self.mask(lines, window, blur, width), color, opacity)


_CIRCLE = np.stack([trig(np.arange(48) * np.pi / 24) for trig in (np.cos, np.sin)], -1).astype(np.float32)


def ellipse(x: float, y: float, a: float, b: float, power: float = 2.0) -> Array:
    """Superellipse contour float32 [48, 2]; power 2 is an ellipse, more is squarer."""
    unit = _CIRCLE if power == 2.0 else np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (2 / power)
    return unit * _f32([a, b]) + _f32([x, y])


class Face:
    """The geometry of one person making one expression, turned by `yaw` and `pitch` (radians, small)."""

    def __init__(self, person: Person, units: ActionUnits, yaw: float, pitch: float) -> None:
        self.person, self.units, self.yaw, self.pitch = person, units, yaw, pitch
        p, u = person, units
        self.eye_x = _EYE_X * p.eye_gap
        self.drop = 0.2 * u.jaw_drop
        self.mouth_y = _MOUTH_Y + 0.03 * u.jaw_drop
        half = [(0, -1.05), (-0.38, -0.98), (-0.635, -0.72), (-0.745, -0.2), (-0.725, 0.2)]
        half += [(-0.615 * p.jaw, 0.58), (-0.43 * p.jaw, 0.86), (-0.2 * p.chin, 1.03), (-0.001, _CHIN_Y)]
        contour = mirror(_f32(half) * _f32([p.width, 1]))[:-1]
        low = np.clip((contour[:, 1] - 0.2) / 0.85, 0, 1)
        contour[:, 1] += self.drop * low
        contour[:, 0] *= 1 + 0.05 * u.lip_corner_puller * low * (1 - low) * 4
        self.contour = spline(contour, closed=True)
        t = np.linspace(-1, 1, 33)
        self.t = t
        self.lips = self._lips(t)

    def turn(self, points: Sequence[Any] | Array, depth: float = 0.0) -> Array:
        """Where points of the face lie after yaw and pitch; `depth` lifts them off the ellipsoid (the nose)."""
        p = _f32(points)
        flat = np.maximum(1 - p * p @ _f32([1 / 0.85**2, 1 / 1.3**2]), 0)
        z = np.sqrt(flat) * np.float32(0.55) + np.float32(depth)
        return p + z[..., None] * _f32([self.yaw, self.pitch])

    def _lips(self, t: Array) -> dict[str, Array]:
        """Contours [33, 2] from the left to the right corner: outer and inner edge of the upper and the lower lip."""
        p, u = self.person, self.units
        smile, press = u.lip_corner_puller, u.lip_tightener
        half = 0.25 * p.mouth_width * (1 + 0.34 * smile + 0.28 * u.lip_stretcher - 0.24 * u.jaw_drop * (1 - smile))
        half *= 1 - 0.12 * press + 0.05 * u.lip_corner_depressor
        corner = -0.12 * smile + 0.085 * u.lip_corner_depressor + 0.035 * u.lip_stretcher
        sneer = 1 + 0.45 * u.nose_wrinkler * p.sneer * np.tanh(3 * t)  # one side pulls harder
        # The levator pulls beside the middle of the lip: a snarl is square.
        lobes = sneer * np.exp(-(((np.abs(t) - 0.4) / 0.4) ** 2))
        middle = self.mouth_y + corner * np.abs(t) ** 1.7
        middle -= (0.05 * u.chin_raiser * (1 - t**2) + 0.045 * u.upper_lip_raiser * lobes) * (1 - 0.4 * u.lips_part)
        gape = (1 - t**2) ** (0.62 - 0.14 * u.jaw_drop)
        up = (0.035 * u.lips_part + 0.03 * u.jaw_drop) * gape
        up += 0.055 * u.upper_lip_raiser * u.lips_part * sneer * (0.6 * lobes + (1 - t**4))
        low = (0.045 * u.lips_part + 0.24 * u.jaw_drop + 0.04 * smile * u.lips_part) * gape
        low += 0.045 * u.lip_stretcher * u.lips_part * (1 - t**6)
        thin = (1 - 0.3 * smile) * (1 - 0.6 * press) * (1 - 0.2 * u.lip_stretcher) * p.lip_fullness
        bow = (1 - np.abs(t) ** 2.2) * (1 - 0.2 * np.exp(-((t / 0.13) ** 2))) + 0.06 * (1 - t**4)
        upper = thin * 0.062 * bow * (1 - 0.25 * u.upper_lip_raiser)
        lower = thin * 0.088 * (1 - np.abs(t) ** 2.6) * (1 + 0.15 * u.chin_raiser)
        edges = {
            "upper": middle - up - upper,
            "roof": middle - up,
            "floor": middle + low,
            "lower": middle + low + lower,
        }
        return {k: self.turn(np.stack([half * t, y], -1), 0.05) for k, y in edges.items()}

    def lids(self, side: int) -> tuple[Array, Array]:
        """Upper and lower lid edge of the eye at `side` (-1 left of the picture, 1 right), inner to outer: [25, 2]."""
        p, u = self.person, self.units
        t = np.linspace(-1, 1, 25)
        close = 0.45 * u.lid_tightener + 0.32 * u.cheek_raiser + 0.35 * u.nose_wrinkler
        up = 0.066 * (1 + 0.75 * u.upper_lid_raiser - min(close, 0.62) - 0.42 * u.lid_droop)
        low = 0.046 * (1 + 0.15 * u.upper_lid_raiser - min(1.1 * close, 0.8))
        x = side * (self.eye_x + p.eye_width * t)
        base = -p.eye_tilt * t - 0.02 * u.cheek_raiser + 0.03 * u.lid_droop * t
        upper = base - up * (1 - np.abs(t) ** 2.3) * (1 - 0.12 * t)
        lower = base + low * (1 - np.abs(t) ** 2.2) * (1 + 0.15 * t)
        return self.turn(np.stack([x, upper], -1)), self.turn(np.stack([x, lower], -1))

    def brow(self, side: int) -> tuple[Array, Array]:
        """Upper and lower edge of a brow, inner to outer: [21, 2]."""
        p, u = self.person, self.units
        t = np.linspace(0, 1, 21)
        x = (0.115 - 0.04 * u.brow_lowerer * (1 - t)) * p.eye_gap + 0.42 * p.eye_gap * t
        y = -0.17 - p.brow_height - 0.055 * np.sin(np.pi * np.minimum(t * 0.85, 1)) + 0.03 * t**3
        y -= 0.12 * u.inner_brow_raiser * (1 - t) ** 1.2 + 0.12 * u.outer_brow_raiser * np.sin(np.pi * (0.15 + 0.6 * t))
        y += u.brow_lowerer * (0.1 * (1 - t) ** 1.1 + 0.025) * (1 - 0.75 * u.inner_brow_raiser)
        y += 0.05 * u.inner_brow_raiser * u.brow_lowerer * t + 0.03 * u.nose_wrinkler + 0.015 * u.brow_lowerer
        half = p.brow_thickness * 0.5 * (0.55 + 0.45 * np.sin(np.pi * np.minimum(0.2 + t * 0.9, 1))) * (1 - 0.75 * t**4)
        edge = np.stack([side * x, y], -1)
        thick = np.stack([0 * t, half], -1)
        return self.turn(edge - thick), self.turn(edge + thick)

    def creases(self) -> list[tuple[float, Array]]:
        """Folds of the skin as (depth 0..1, line)."""
        p, u = self.person, self.units
        found: list[tuple[float, Any]] = []
        raised = max(u.inner_brow_raiser, u.outer_brow_raiser)
        for k, y in enumerate((-0.62, -0.53, -0.44)):
            y -= 0.03 * raised
            wave = 0.03 * (u.inner_brow_raiser - u.outer_brow_raiser)
            reach = 0.2 + 0.22 * max(u.outer_brow_raiser, p.age * 0.8) - 0.03 * k
            line = [(-reach, y + 0.03), (-reach / 2, y), (0, y + 0.012 - wave), (reach / 2, y), (reach, y + 0.03)]
            found.append((raised * (0.45 + 0.4 * p.age) + 0.35 * max(p.age - 0.35, 0), line))
        for s in (-1, 1):
            frown = u.brow_lowerer * (1 - 0.5 * u.inner_brow_raiser)
            inner = [(s * 0.05, -0.3), (s * 0.043, -0.22), (s * 0.055, -0.12), (s * 0.075, -0.07)]
            found.append((0.95 * frown, inner))
            for k in range(3):  # wrinkles across the root of the nose
                y = -0.06 + 0.06 * k
                line = [(0, y - 0.005), (s * 0.05, y + 0.012), (s * 0.1, y + 0.05)]
                found.append((u.nose_wrinkler * (1.3 - 0.1 * k), line))
            pull = u.lip_corner_puller
            fold = max(0.8 * pull, 1.2 * u.nose_wrinkler, 0.7 * u.upper_lip_raiser, 0.55 * p.age, 0.12)
            out = 0.25 * p.mouth_width * (1.12 + 0.34 * pull + 0.15 * u.lip_stretcher) + 0.03
            top = 0.36 - 0.03 * max(u.nose_wrinkler, u.upper_lip_raiser)
            line = [(s * 0.16 * p.nose_width, top), (s * (0.2 + 0.06 * pull), 0.45), (s * out, 0.62 - 0.04 * pull)]
            found.append((fold, line))
            bag = 0.25 + 0.45 * p.age + 0.4 * max(u.cheek_raiser, u.lid_tightener)
            x, w = self.eye_x, p.eye_width
            found.append((bag * 0.6, [(s * (x - w), 0.06), (s * x, 0.115), (s * (x + w * 0.8), 0.075)]))
            for k in range(3):  # crow's feet
                y = -0.03 + 0.045 * k
                line = [(s * (x + w * 1.15), y), (s * (x + w * 1.6), y + 0.035 * (k - 1))]
                found.append((u.cheek_raiser * (0.35 + 0.5 * p.age) + 0.3 * max(p.age - 0.4, 0), line))
            droop = max(u.lip_corner_depressor, 0.5 * p.age) * 0.6
            y = self.mouth_y + 0.085 * u.lip_corner_depressor
            found.append((droop, [(s * 0.265 * p.mouth_width, y), (s * 0.29 * p.mouth_width, y + 0.14)]))
        y = 0.86 + self.drop - 0.03 * u.chin_raiser
        found.append((0.3 + 0.5 * u.chin_raiser, [(-0.11, y + 0.02), (0, y - 0.005), (0.11, y + 0.02)]))
        return [(min(d, 1.0), self.turn(spline(line, steps=6))) for d, line in found if d > 0.05]


def _relief(face: Face, n: int) -> tuple[Array, Array, Array]:
    """Crease depth and slopes along x and y of the head on an n x n grid over the field: three float32 [n, n]."""
    p, u = face.person, face.units
    smile, drop, x = u.lip_corner_puller, face.drop, face.eye_x
    ball = 0.05 + 0.02 * u.upper_lid_raiser
    nose = p.nose_width
    rows = [  # x, y, sigma x, sigma y, height, both sides?
        (0, 0.03, 0.05, 0.17, 0.05, 0),
        (0, 0.25, 0.06 * nose, 0.13, 0.1, 0),
        (0, 0.36, 0.075 * nose, 0.065, 0.12, 0),
        (0.11 * nose, 0.4 - 0.02 * u.nose_wrinkler, 0.045, 0.04, 0.045, 1),
        (x - 0.04, -0.02, 0.15, 0.1, -0.1, 1),
        (x, 0.0, 0.1, 0.065, ball, 1),
        (0.28, -0.2, 0.18, 0.05, 0.03 + 0.015 * u.brow_lowerer, 1),
        (0.08, -0.2, 0.04, 0.06, 0.03 * u.brow_lowerer, 1),
        (0.4, 0.29 - 0.07 * smile, 0.14, 0.11, 0.05 + 0.06 * max(smile, 0.6 * u.cheek_raiser), 1),
        (0.42, 0.62, 0.1, 0.14, -0.03, 1),
        (0, 0.53, 0.022, 0.05, -0.012, 0),
        (0, 0.68 + drop / 2, 0.2 * p.mouth_width, 0.12, 0.05, 0),
        (0, 0.86 + drop, 0.12, 0.03, -0.03, 0),
        (0, 0.96 + drop, 0.12 * p.chin, 0.07, 0.05 + 0.02 * u.chin_raiser, 0),
        (0.6, -0.2, 0.1, 0.2, -0.05, 1),
        (0.2, -0.5, 0.2, 0.14, 0.02, 1),
    ]
    bumps = [(s * r[0], *r[1:5]) for r in rows for s in ((1, -1) if r[5] else (1,))]
    axis = _axis(n)
    height = _spots(face, n, bumps)
    a, b = 0.86 * p.width, 1.2 + drop / 2
    inside = 1 - (axis / a)[None] ** 2 - ((axis + 0.02 - drop / 2) / b)[:, None] ** 2
    height += 0.62 * np.sqrt(np.maximum(inside, 0.02))
    grid = Canvas(np.zeros((n, n, 1), np.uint8))
    crease = np.zeros((n, n), np.uint8)
    for depth, line in face.creases():
        cv2.polylines(crease, grid.pixels([line]), False, round(255 * depth), max(1, n // 160), cv2.LINE_AA, _SHIFT)
    depth_map = cv2.GaussianBlur(crease, (0, 0), n / 170).astype(np.float32) / 255
    height -= 0.026 * depth_map
    kernel = _f32([[-1, 0, 1]]) * np.float32(n / FIELD / 2)
    return depth_map, cv2.filter2D(height, -1, kernel), cv2.filter2D(height, -1, kernel.T)


def _axis(n: int) -> Array:
    return ((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) * np.float32(FIELD)


def _spots(face: Face, n: int, spots: Sequence[Sequence[float]]) -> Array:
    """Sum of Gaussians (x, y, sigma x, sigma y, height) on the turned face: float32 [n, n]."""
    values = _f32(spots)
    at, axis = face.turn(values[:, :2]), _axis(n)
    gx = np.exp(-0.5 * ((axis - at[:, :1]) / values[:, 2:3]) ** 2)
    gy = np.exp(-0.5 * ((axis - at[:, 1:]) / values[:, 3:4]) ** 2)
    total: Array = np.einsum("ky,kx->yx", gy * values[:, 4:], gx)  # not BLAS: the same sum on any number of threads
    return total


def _lit_skin(face: Face, light: Light, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Skin colour of the whole field under the light, and the light's strength for hair: [n, n, 3], [n, n]."""
    p, u = face.person, face.units
    crease, dx, dy = _relief(face, n)
    direction = _f32(light.direction) / np.float32(np.linalg.norm(light.direction))
    half = direction + _f32([0, 0, 1])
    half /= np.float32(np.linalg.norm(half))
    norm = 1 / np.sqrt(1 + dx * dx + dy * dy)
    dot = (direction[2] - dx * direction[0] - dy * direction[1]) * norm
    gloss = np.maximum((half[2] - dx * half[0] - dy * half[1]) * norm, 0)
    for _ in range(5):
        gloss *= gloss  # Blinn's highlight with exponent 32
    luma = float(np.dot(p.skin, (0.299, 0.587, 0.114)))
    x = face.eye_x
    blush = (0.1 + 0.06 * u.lip_corner_puller) * min(luma / 160, 1)
    red = _spots(
        face, n, [(x + 0.1, 0.3, 0.14, 0.11, blush), (-x - 0.1, 0.3, 0.14, 0.11, blush), (0, 0.36, 0.1, 0.07, blush)]
    )
    socket = 0.16 + 0.08 * p.age
    dim = [(s * (x - 0.03), 0.03, 0.15, 0.08, socket) for s in (-1, 1)]
    dim += [(0, 0.48, 0.12 * p.nose_width, 0.035, 0.28), (0, _CHIN_Y + face.drop + 0.05, 0.4, 0.07, 0.3)]
    strength = 1 - np.clip(_spots(face, n, dim) + 0.5 * crease, 0, 0.8)
    texture = cv2.GaussianBlur(rng.standard_normal((n, n), dtype=np.float32), (0, 0), 0.8)
    strength += (0.02 + 0.015 * p.age) * texture
    if p.freckles:
        spots = cv2.GaussianBlur((rng.random((n, n), dtype=np.float32) > 0.975).astype(np.float32), (0, 0), 0.7)
        spots *= _spots(face, n, [(s * 0.27, 0.24, 0.18, 0.11, 0.3) for s in (-1, 1)])
        strength -= spots
        red += spots
    planes = []
    for channel, (wrap, redden) in enumerate(((0.4, 0.1), (0.25, 1.0), (0.2, 0.9))):
        color = light.color[channel] / 255  # light travels under the skin, red the farthest: it wraps around most
        diffuse = np.maximum((dot + wrap) / (1 + wrap), 0)
        plane = (light.fill + (1.08 - light.fill) * color * diffuse) * strength * (1 - redden * red) * p.skin[channel]
        planes.append(plane + gloss * (color * (40 - 12 * luma / 255)))
    return np.clip(cv2.merge(planes), 0, 255), np.clip(0.35 + 0.75 * np.maximum(dot, 0), 0, 1.2)


def draw(face: Face, light: Light, backdrop: Array, rng: np.random.Generator) -> Array:
    """Draw the face over `backdrop` uint8 RGB [n, n, 3]: uint8 RGB [n, n, 3]."""
    canvas = Canvas(backdrop)
    p, n = face.person, backdrop.shape[0]
    small = min(3 * n // 8, 176)  # shading is smooth: most of the arithmetic needs no more
    skin, strength = _lit_skin(face, light, rng, small)
    tint = _shade(_mix((255, 255, 255), light.color, 0.7), 1 / 255)
    hair = cv2.merge([np.clip(strength * v, 0, 255) for v in _tinted(p.hair, tint)])
    skin_image, hair_image = (
        cv2.resize(m.astype(np.uint8), (n, n), interpolation=cv2.INTER_LINEAR) for m in (skin, hair)
    )
    style = _Hair(face, hair_image, tint)
    style.behind(canvas, rng)
    _body(canvas, face, light)
    shapes = [ellipse(s * 0.755 * p.width - face.yaw * 0.1, 0.16, 0.085, 0.2, 2.3) for s in (-1, 1)]
    for side, ear in zip((-1, 1), shapes, strict=True):
        _paste(canvas, ear, skin_image, 0.92)
        inner = spline([(side * 0.76 * p.width, 0.02), (side * 0.81 * p.width, 0.08), (side * 0.77 * p.width, 0.28)])
        canvas.stroke([inner - _f32([face.yaw * 0.1, 0])], _shade(p.skin, 0.35), 0.03, 0.5, 0.012)
    _paste(canvas, face.contour, skin_image)
    _beard(canvas, face, rng, tint)
    for side in (-1, 1):
        _eye(canvas, face, side, light)
    _nostrils(canvas, face)
    _mouth(canvas, face, tint, light)
    for side in (-1, 1):
        _brow(canvas, face, side, rng, tint)
    if p.glasses != "none":
        _glasses(canvas, face)
    style.front(canvas, rng)
    return canvas.image


def _paste(canvas: Canvas, shape: Array, source: Array, factor: float = 1.0) -> None:
    """Show the part of a full-size image inside a contour."""
    window = canvas.window(shape)
    image = source[window] if factor == 1.0 else cv2.convertScaleAbs(source[window], alpha=factor)
    canvas.blend(window, canvas.mask([shape], window), image)


def _body(canvas: Canvas, face: Face, light: Light) -> None:
    p = face.person
    w = 0.44 * p.width * (0.7 + 0.3 * p.jaw)
    top, bottom = 0.55, 1.28
    neck = spline([(-w, top), (-w, 1.05), (-w * 1.15, bottom), (-w * 1.6, 1.42)])
    neck = mirror(np.concatenate([neck, _f32([(-w * 1.6, 1.6)])]))
    window = canvas.window(neck)
    x = np.linspace(-1, 1, window[1].stop - window[1].start, dtype=np.float32)
    round_ = np.clip(0.75 - 0.35 * x**2 + 0.25 * light.direction[0] * x, 0.1, 1)
    column = np.clip(np.linspace(0.5, 0.95, window[0].stop - window[0].start, dtype=np.float32), 0, 1)
    tone = _f32(p.skin) * (_f32(light.color) / 255) * (column[:, None] * round_[None])[..., None]
    canvas.blend(window, canvas.mask([neck], window), np.clip(tone, 0, 255).astype(np.uint8))
    shirt = spline([(-1.62, 1.35), (-1.1, 1.3), (-w * 1.5, 1.22), (-w * 0.9, 1.36), (0, 1.44)])[:-1]
    shirt = mirror(np.concatenate([_f32([(-1.62, 1.62)]), shirt]))
    canvas.fill(shirt, p.clothes)
    canvas.stroke([mirror(spline([(-w * 1.5, 1.22), (-w * 0.9, 1.36), (0, 1.44)]))], _shade(p.clothes, 0.6), 0.02)


def _step(distance: Array, soft: float) -> Array:
    return np.clip(0.5 - distance / soft, 0, 1)


def _eye(canvas: Canvas, face: Face, side: int, light: Light) -> None:
    p, u = face.person, face.units
    upper, lower = face.lids(side)
    shape = np.concatenate([upper, lower[::-1]])
    dark = _shade(p.skin, 0.3)
    lid = _f32([0, -0.036 - 0.012 * u.upper_lid_raiser + 0.014 * u.brow_lowerer - 0.01 * (1 - p.age)])
    canvas.stroke([upper[1:-1] + lid], dark, 0.016, 0.62, 0.008)
    canvas.fill(shape + _f32([0, -0.012]), dark, 0.45, 0.012)
    window = canvas.window(shape)
    rows, columns = window
    y, x = np.mgrid[rows, columns].astype(np.float32)
    x, y = (x + 0.5) / canvas.scale - FIELD / 2, (y + 0.5) / canvas.scale - FIELD / 2
    middle = face.turn((side * face.eye_x, -0.008 + 0.012 * u.lid_droop)) + _f32([0.12 * face.yaw, 0.1 * face.pitch])
    r = np.hypot(x - middle[0], y - middle[1])
    soft, radius = 1.5 / canvas.scale, 0.4 * p.eye_width
    brightness = float(np.mean(light.color)) / 255
    ball = 1 - 0.3 * ((x - upper[12, 0]) / p.eye_width) ** 2
    white = _f32([232, 226, 222]) * (ball * brightness)[..., None]
    glow = 0.75 + 0.6 * np.clip((y - middle[1]) / radius, -0.6, 1)
    iris = _f32(p.iris) * (glow * (1.15 - 0.75 * np.clip((r / radius - 0.6) / 0.4, 0, 1) ** 2))[..., None]
    cover = _step(r - radius, soft)[..., None]
    image = white * (1 - cover) + iris * cover
    image *= 1 - 0.95 * _step(r - radius * 0.44, soft)[..., None]
    lid_y = np.interp(x[0] * side, upper[:, 0] * side, upper[:, 1]).astype(np.float32)
    image *= (1 - 0.6 * np.exp(-np.maximum(y - lid_y[None], 0) / 0.018))[..., None]  # the shadow of the upper lid
    spark = middle + _f32(light.direction[:2]) * 0.35 * radius - _f32([0, 0.25 * radius])
    shine = _step(np.hypot(x - spark[0], y - spark[1]) - 0.2 * radius, soft) * 0.9
    image += (245 - image) * shine[..., None]
    canvas.blend(window, canvas.mask([shape], window), np.clip(image, 0, 255).astype(np.uint8))
    corner = (upper[0] * 0.88 + upper[5] * 0.06 + lower[5] * 0.06).tolist()
    canvas.fill(ellipse(corner[0], corner[1], 0.017, 0.013), (190, 110, 105), 0.6, 0.006)
    canvas.stroke([lower], _mix(p.skin, (84, 42, 42), 0.6), 0.012, 0.5, 0.005)
    line = 0.008 + 0.016 * p.lash
    wing = np.concatenate([upper, upper[-1:] + _f32([[side * 0.03 * p.lash, -0.015 * p.lash]])])
    weight = _f32([[0, 1]]) * (line * np.clip(np.linspace(0.4, 1.3, len(wing)), 0, 1))[:, None]
    canvas.fill(np.concatenate([wing - weight, (wing + 0.25 * weight)[::-1]]), (26, 18, 16), 0.92, 0.004)
    if p.lash > 0.6:
        root = upper[8::2]
        out = np.linspace(0.1, 0.8, len(root), dtype=np.float32)
        tip = root + np.stack([side * 0.05 * out, -0.045 + 0.01 * out], -1).astype(np.float32)
        canvas.stroke(np.stack([root, tip], 1), (26, 18, 16), 0.004)


def _brow(canvas: Canvas, face: Face, side: int, rng: np.random.Generator, tint: Color) -> None:
    p = face.person
    upper, lower = face.brow(side)
    color = _tinted(_shade(_mix(p.hair, (40, 28, 22), 0.45), 0.75), tint)
    canvas.fill(np.concatenate([upper, lower[::-1]]), color, 0.72, 0.009)
    root = rng.random((46, 1)).astype(np.float32)
    at = rng.uniform(0, 17, 46)
    index = at.astype(int)
    start = lower[index] * (1 - root) + upper[index] * root
    along = upper[index + 3] - upper[index]
    tip = start + along * 0.85 - _f32([0, 0.028]) * (1 - at / 14)[:, None].clip(-0.3, 1).astype(np.float32)
    canvas.stroke(np.stack([start, tip], 1), _shade(color, 0.8), 0.004)


def _nostrils(canvas: Canvas, face: Face) -> None:
    p, u = face.person, face.units
    dark = _shade(p.skin, 0.25)
    lift = -0.025 * max(u.nose_wrinkler, 0.5 * u.upper_lip_raiser)
    flare = p.nose_width * (1 + 0.16 * u.nose_wrinkler + 0.06 * u.lip_corner_puller)
    for s in (-1, 1):
        at = face.turn((s * 0.066 * flare, _NOSE_Y + lift), 0.1)
        canvas.fill(ellipse(at[0], at[1], 0.034 * flare, 0.016), _shade(dark, 0.7), 0.85, 0.008)
        wing = [(0.125, 0.345), (0.152, 0.39), (0.142, 0.43), (0.1, 0.445)]
        wing_at = spline(_f32(wing) * _f32([s * flare, 1]) + _f32([0, lift]))
        canvas.stroke([face.turn(wing_at, 0.06)], dark, 0.016, 0.5, 0.008)
    base = [(-0.03, _NOSE_Y + 0.012 + lift), (0, _NOSE_Y + 0.022 + lift), (0.03, _NOSE_Y + 0.012 + lift)]
    canvas.stroke([face.turn(spline(base), 0.1)], dark, 0.014, 0.45, 0.007)


def _mouth(canvas: Canvas, face: Face, tint: Color, light: Light) -> None:
    p, lips = face.person, face.lips
    bright = float(np.mean(light.color)) / 255
    lip = _mix(_shade(p.skin, 0.82), (176, 62, 70), 0.3 + 0.45 * p.lip_tint)
    lip = _tinted(lip, tint)
    window = canvas.window(np.concatenate([lips["upper"], lips["lower"]]), 0.04)
    gape = float(np.max(lips["floor"][:, 1] - lips["roof"][:, 1]))
    if gape > 0.012:
        _inside(canvas, face, window, gape, bright)
    for key, edge, factor in (("upper", "roof", 0.8), ("lower", "floor", 1.0)):
        outline = np.concatenate([lips[key], lips[edge][::-1]])
        canvas.blend(window, canvas.mask([outline], window, 0.006), _shade(lip, factor), 0.85)
    lower, floor = lips["lower"], lips["floor"]
    shine = (floor * 0.6 + lower * 0.4)[8:25]
    thick = float(np.max(lower[:, 1] - floor[:, 1]))
    canvas.stroke([shine], _mix(lip, (255, 255, 255), 0.45), thick * 0.3, 0.5, 0.018)
    canvas.stroke([lower[6:27] + _f32([0, 0.012])], _shade(p.skin, 0.4), 0.02, 0.3, 0.014)
    seam = _shade(lip, 0.28)
    if gape <= 0.02:
        canvas.stroke([(lips["roof"] + floor) / 2], seam, 0.011, 0.75, 0.005)
    for end in (0, -1):
        canvas.fill(ellipse(floor[end, 0], floor[end, 1], 0.018, 0.014), seam, 0.55, 0.009)


def _inside(canvas: Canvas, face: Face, window: tuple[slice, slice], gape: float, bright: float) -> None:
    """Teeth, tongue and the dark of an open mouth."""
    u, roof, floor = face.units, face.lips["roof"], face.lips["floor"]
    hole = np.concatenate([roof, floor[::-1]])
    patch = Canvas(np.empty_like(canvas.image))
    patch.image[window] = (46, 16, 18)
    across = _f32([1, 0])
    if u.jaw_drop > 0.25:
        tongue = floor * across + (floor * 0.72 + roof * 0.28) * _f32([0, 1])
        inset = _f32([np.mean(floor[:, 0]), 0])
        tongue = (tongue - inset) * _f32([0.7, 1]) + inset + _f32([0, 0.02])
        patch.fill(np.concatenate([tongue, floor[::-1] + _f32([0, 0.03])]), _shade((150, 66, 68), bright), 0.95, 0.014)
    show = 0.085 * max(u.lip_corner_puller, u.upper_lip_raiser, 0.8 * u.lip_stretcher, 0.45 * u.jaw_drop, 0.4)
    tooth = _shade((232, 224, 208), bright)
    arch = (1 - np.abs(face.t) ** 4)[:, None].astype(np.float32)
    edge = roof + _f32([0, 1]) * np.minimum(show * arch, np.maximum(floor - roof, 0)[:, 1:] * 0.97)
    patch.fill(np.concatenate([roof - _f32([0, 0.02]), edge[::-1]]), tooth, 0.96, 0.004)
    if u.lip_stretcher > 0.4 or (u.lip_tightener > 0.4 and gape > 0.05):  # the lower lip is pulled down as well
        edge = floor - _f32([0, 1]) * np.minimum(0.05 * arch, np.maximum(floor - roof, 0)[:, 1:] * 0.45)
        patch.fill(np.concatenate([edge, floor[::-1] + _f32([0, 0.02])]), _shade(tooth, 0.85), 0.95, 0.004)
    gaps = [np.stack([roof[i], roof[i] + _f32([0, show])]) for i in range(4, 30, 3)]
    patch.stroke(gaps, (120, 92, 84), 0.004, 0.35, 0.003)
    shade = 1 - 0.75 * np.abs(np.linspace(-1, 1, window[1].stop - window[1].start, dtype=np.float32)) ** 3
    canvas.blend(window, canvas.mask([hole], window), (patch.image[window] * shade[None, :, None]).astype(np.uint8))
    canvas.stroke([roof], (40, 14, 14), 0.012, 0.6, 0.007)


def _glasses(canvas: Canvas, face: Face) -> None:
    p = face.person
    color: Color = {"dark": (28, 26, 28), "metal": (150, 140, 120), "brown": (84, 52, 34)}[p.glasses]
    width = 0.013 if p.glasses == "metal" else 0.032
    lenses = [face.turn(ellipse(s * face.eye_x, 0.035, 0.215, 0.165, 2.6), 0.06) for s in (-1, 1)]
    for side, lens in zip((-1, 1), lenses, strict=True):
        canvas.stroke([lens[[*range(48), 0]] + _f32([0.01, 0.02])], _shade(p.skin, 0.4), width, 0.3, 0.012)
        canvas.fill(lens, (235, 240, 248), 0.07)
        outer = lens[0] if side > 0 else lens[24]
        canvas.stroke([np.stack([outer, _f32([side * 0.76 * p.width, 0.0])])], color, width)
        canvas.stroke([lens[[*range(48), 0]]], color, width)
    over = (lenses[0][0] + lenses[1][24]) / 2 - _f32([0, 0.04])
    bridge = [lenses[0][-3], over, lenses[1][27]]
    canvas.stroke([spline(bridge)], color, width)


def _beard(canvas: Canvas, face: Face, rng: np.random.Generator, tint: Color) -> None:
    p, lips = face.person, face.lips
    if p.beard == "none":
        return
    color = _tinted(_shade(_mix(p.hair, (40, 30, 26), 0.25), 0.8), tint)
    upper = lips["upper"]
    left, right = upper[0], upper[-1]
    nose = face.turn([(-0.14, 0.5), (0, 0.475), (0.14, 0.5)], 0.05)
    tache = np.concatenate([[left + _f32([-0.03, 0.05])], nose, [right + _f32([0.03, 0.05])], upper[::-1]])
    contour = face.contour[face.contour[:, 1] > 0.22]
    middle = contour[:, 0].mean()
    turn = np.arctan2(contour[:, 0] - middle, contour[:, 1] - 0.2)
    contour = contour[np.argsort(turn)]  # from the left ear round the chin to the right
    inner = face.turn([(0.6 * p.width, 0.3), (0.52, 0.46), (0.33, 0.56)])
    inner_left = face.turn([(-0.33, 0.56), (-0.52, 0.46), (-0.6 * p.width, 0.3)])
    full = np.concatenate([contour, inner, [right], upper[::-1], [left], inner_left])
    chin = face.turn(ellipse(0, 0.97 + face.drop, 0.2, 0.13, 2.5))
    if p.beard == "stubble":
        for shape in (full, tache):
            canvas.fill(shape, color, 0.2, 0.04)
        return
    shapes = {"full": (full, tache), "moustache": (tache,), "goatee": (chin, tache)}[p.beard]
    for shape in shapes:
        canvas.fill(shape, color, 0.9, 0.016)
        low, high = shape.min(axis=0), shape.max(axis=0)
        root = (low + (high - low) * rng.random((260, 2))).astype(np.float32)
        window = canvas.window(shape)
        mask = canvas.mask([shape], window)
        at = ((root + FIELD / 2) * canvas.scale).astype(int) - [window[1].start, window[0].start]
        root = root[mask[np.clip(at[:, 1], 0, mask.shape[0] - 1), np.clip(at[:, 0], 0, mask.shape[1] - 1)] > 128]
        lean = np.stack([0.05 * (root[:, 0] - middle), 0.035 + 0 * root[:, 0]], -1)
        lean += rng.normal(0, 0.012, lean.shape)
        lines = np.stack([root, root + lean.astype(np.float32)], 1)
        for part, factor in ((0, 0.8), (1, 1.2)):
            if len(lines) > part:
                canvas.stroke(lines[part::2], _shade(color, factor), 0.005)


class _Hair:
    """Hair as locks: the area between two guide curves, with strands running along it."""

    def __init__(self, face: Face, image: Array, tint: Color) -> None:
        self.face, self.image = face, image
        self.style = face.person.hairstyle
        self.color = _tinted(face.person.hair, tint)
        self.w = face.person.width

    def _arc(self, grow: float, low: float = -8) -> Array:
        """Silhouette from the left ear over the crown to the right ear, `grow` outside the skull: [49, 2]."""
        angle = np.radians(np.linspace(180 - low, low, 49))
        around = np.arctan2(-0.2 - self.face.contour[:, 1], self.face.contour[:, 0])
        order = np.argsort(around)
        skull = np.hypot(self.face.contour[:, 0], self.face.contour[:, 1] + 0.2)[order]
        reach = np.interp(angle, around[order], skull, period=2 * np.pi) + grow
        return np.stack([reach * np.cos(angle), -0.2 - reach * np.sin(angle)], -1).astype(np.float32)

    def _hairline(self, part: float, low: float = 0.0) -> Array:
        """Edge of the hair on the face, left to right, highest at `part`: [49, 2]."""
        w = 0.73 * self.w
        line = [(-w, 0.02), (-w * 0.965, -0.2), (-w * 0.83, -0.46), (part - 0.36, -0.64 + low), (part, -0.7 + low)]
        line += [(part + 0.36, -0.64 + low), (w * 0.83, -0.46), (w * 0.965, -0.2), (w, 0.02)]
        line = [(float(np.clip(x, -w, w)), y) for x, y in line]
        return self.face.turn(spline(line, steps=6))

    def _strands(self, canvas: Canvas, a: Array, b: Array, count: int, rng: np.random.Generator, wave: float) -> None:
        share = rng.random((count, 1, 1), dtype=np.float32)
        a, b = a[::2], b[::2]
        k = np.linspace(0, 1, len(a), dtype=np.float32)
        lines = a[None] * (1 - share) + b[None] * share
        phase = rng.uniform(0, 6.3, (count, 1)).astype(np.float32)
        lines += np.float32(wave) * np.sin(7 * k + phase)[..., None] * _f32([1, 0.4])
        lines += rng.standard_normal((count, 1, 2), dtype=np.float32) * np.float32(0.012)
        for part, factor in enumerate((0.5, 1.15, 0.75)):
            canvas.stroke(lines[part::3], _shade(self.color, factor, 5), 0.004)

    def _lock(
        self, canvas: Canvas, a: Array, b: Array, rng: np.random.Generator, count: int = 60, wave: float = 0.006
    ) -> None:
        shape = np.concatenate([a, b[::-1]])
        _paste(canvas, shape, self.image)
        self._strands(canvas, a, b, count, rng, wave)

    def behind(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """What the head hides: long hair, a bun, curls."""
        dark = _shade(self.color, 0.45)
        if self.style in ("long", "wavy"):
            back = spline([(0, -1.12), (-0.7, -0.85), (-0.93, -0.2), (-0.98, 0.6), (-0.95, 1.6)])
            canvas.fill(mirror(back), dark)
        elif self.style == "bob":
            back = spline([(0, -1.12), (-0.7, -0.85), (-0.92, -0.2), (-0.9, 0.45), (-0.62, 0.72)])
            canvas.fill(mirror(back), dark)
        elif self.style == "bun":
            bun = ellipse(0, -1.18, 0.27, 0.22)
            _paste(canvas, bun, self.image, 0.8)
            self._strands(canvas, bun[:24], bun[:23:-1], 30, rng, 0.01)
        elif self.style == "afro":
            self._curls(canvas, self._arc(0.25, -48), _f32([[-0.3, 0.6], [0.3, 0.6]]), rng, 0.5)

    def _curls(self, canvas: Canvas, outer: Array, inner: Array, rng: np.random.Generator, factor: float) -> None:
        bumps = outer[::2] + rng.normal(0, 0.018, (25, 2)).astype(np.float32)
        shape = np.concatenate([spline(bumps, steps=5), inner[::-1]])
        _paste(canvas, shape, self.image, factor)
        share = rng.random((240, 1)).astype(np.float32)
        index = rng.integers(2, len(outer) - 2, 240)
        other = inner[(index * len(inner)) // len(outer)]
        at = outer[index] * (1 - share * 0.97) + other * share * 0.97
        ring = ellipse(0, 0, 0.024, 0.02)[::4]
        rings = at[:, None] + ring[None] * rng.uniform(0.6, 1.2, (240, 1, 1)).astype(np.float32)
        rings = rings[:, :9]
        canvas.stroke(rings[::2], _shade(self.color, 0.55 * factor), 0.008)
        canvas.stroke(rings[1::2], _shade(self.color, 1.05 * factor, 4), 0.005)

    def front(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Everything in front of the forehead and the ears."""
        style = self.style
        side = 1 if rng.random() < 0.5 else -1
        if style == "bald":
            return
        if style == "scarf":
            self._scarf(canvas)
        elif style == "buzz":
            line = self._hairline(0)
            shape = np.concatenate([self._arc(0.02), line[::-1]])
            window = canvas.window(shape, 0.05)
            canvas.blend(window, canvas.mask([shape], window, 0.018), self.image[window], 0.82)
        elif style == "afro":
            self._curls(canvas, self._arc(0.2, -2), self._hairline(0, 0.06), rng, 1.0)
        elif style == "fringe":
            self._parted(canvas, rng, 0.05 * side, 0.09, -14)
            ends = np.linspace(-0.56, 0.56, 5)
            for x0, x1 in zip(ends[:-1] - 0.03, ends[1:] + 0.03, strict=True):
                y = -0.38 - 0.12 * abs(x0 + x1) / 2 + rng.uniform(-0.02, 0.02)
                a, b = (
                    spline([(0.55 * x, -1.08), (0.85 * x, -0.8), (x + 0.02 * side, y - 0.08 + 0.03 * k)])
                    for k, x in enumerate((x0, x1))
                )
                self._lock(canvas, a, b, rng, 30)
        elif style == "bun":
            line, outer = self._hairline(0), self._arc(0.03)
            _paste(canvas, np.concatenate([outer, line[::-1]]), self.image)
            crown = _f32([0, -1.1]) + _f32([0.1, 0]) * np.linspace(-1, 1, len(line))[:, None].astype(np.float32)
            index = rng.integers(0, len(line), 110)
            k = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
            bend = outer[(index + 24) // 2] * np.float32(1.04)
            lines = [
                (1 - k) ** 2 * line[i] + 2 * k * (1 - k) * b + k**2 * crown[i] for i, b in zip(index, bend, strict=True)
            ]
            canvas.stroke(lines[::2], _shade(self.color, 0.5), 0.004)
            canvas.stroke(lines[1::2], _shade(self.color, 1.05, 5), 0.004)
        elif style == "short":
            self._parted(canvas, rng, 0.3 * side, 0.08, -4)
        else:  # long, wavy, bob: parted, the ends fall past the ears
            wave = 0.03 if style == "wavy" else 0.006
            self._parted(canvas, rng, rng.uniform(0.05, 0.3) * side, 0.1, -10)
            end = 0.68 if style == "bob" else 1.6
            for s in (-1, 1):
                a = spline(
                    [(s * 0.6 * self.w, -0.52), (s * 0.7 * self.w, -0.1), (s * 0.72 * self.w, 0.35), (s * 0.7, end)]
                )
                b = spline([(s * 0.7 * self.w, -0.75), (s * 0.93, -0.1), (s * 0.97, 0.4), (s * 0.93, end - 0.08)])
                self._lock(canvas, a, b, rng, 70, wave)

    def _parted(self, canvas: Canvas, rng: np.random.Generator, part: float, grow: float, low: float) -> None:
        """Two locks that fall to the sides from a parting."""
        line, outer = self._hairline(part), self._arc(grow, low)
        k = int(np.argmin(np.abs(line[:, 0] - part)))
        crown = int(np.argmin(np.abs(outer[:, 0] - part)))
        fine = np.linspace(0, 1, 24)

        def resample(curve: Array) -> Array:
            at = np.linspace(0, 1, len(curve))
            return np.stack([np.interp(fine, at, curve[:, i]) for i in (0, 1)], -1).astype(np.float32)

        for low_edge, high_edge in ((line[k::-1], outer[crown::-1]), (line[k:], outer[crown:])):
            self._lock(canvas, resample(low_edge), resample(high_edge), rng, 75)

    def _scarf(self, canvas: Canvas) -> None:
        outer = spline([(0, -1.16), (-0.6, -1.0), (-0.88, -0.4), (-0.86, 0.4), (-0.8, 0.95), (-1.1, 1.6)])
        w, drop = self.w, self.face.drop
        half = [(0, -0.66), (-0.42, -0.6), (-0.64 * w, -0.3), (-0.675 * w, 0.2)]
        half += [(-0.56 * w, 0.66 + drop / 2), (-0.3 * w, 0.95 + drop), (-0.001, 1.03 + drop)]
        hole = self.face.turn(mirror(spline(half)))
        color = self.face.person.clothes
        window = canvas.window(mirror(outer))
        shade = self.image[window].astype(np.float32).mean(axis=-1, keepdims=True)
        shade = 0.55 + 0.55 * shade / max(float(shade.max()), 1)
        cloth = np.clip(_f32(color) * shade, 0, 255).astype(np.uint8)
        canvas.blend(window, canvas.mask([mirror(outer), hole], window), cloth)  # even-odd: the hole stays open
        for grow in (1.08, 1.17, 1.26):
            fold = (hole - _f32([0, 0.2])) * _f32([grow, grow]) + _f32([0, 0.2])
            canvas.stroke([fold[6:-6]], _shade(color, 0.5), 0.015, 0.45, 0.012)
