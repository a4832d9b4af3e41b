"""The geometry of a face: who it is, which muscles it moves, and where its contours lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer._drawing.canvas import Array, Color, f32, mirror, spline

_EYE_X, _MOUTH_Y = 0.315, 0.66
NOSE_Y, CHIN_Y = 0.43, 1.05


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


class Face:
    """The geometry of one person making one expression, turned by `yaw` and `pitch` (radians, small)."""

    def __init__(self, person: Person, units: ActionUnits, yaw: float, pitch: float) -> None:
        self.person, self.units, self.yaw, self.pitch = person, units, yaw, pitch
        p, u = person, units
        self.eye_x = _EYE_X * p.eye_gap
        self.drop = 0.2 * u.jaw_drop
        self.mouth_y = _MOUTH_Y + 0.03 * u.jaw_drop
        half = [(0, -1.05), (-0.38, -0.98), (-0.635, -0.72), (-0.745, -0.2), (-0.725, 0.2)]
        half += [(-0.615 * p.jaw, 0.58), (-0.43 * p.jaw, 0.86), (-0.2 * p.chin, 1.03), (-0.001, CHIN_Y)]
        contour = mirror(f32(half) * f32([p.width, 1]))[:-1]
        low = np.clip((contour[:, 1] - 0.2) / 0.85, 0, 1)
        contour[:, 1] += self.drop * low
        contour[:, 0] *= 1 + 0.05 * u.lip_corner_puller * low * (1 - low) * 4
        self.contour = spline(contour, closed=True)
        t = np.linspace(-1, 1, 33)
        self.t = t
        self.lips = self._lips(t)

    def turn(self, points: Sequence[Any] | Array, depth: float = 0.0) -> Array:
        """Where points of the face lie after yaw and pitch; `depth` lifts them off the ellipsoid (the nose)."""
        p = f32(points)
        flat = np.maximum(1 - p * p @ f32([1 / 0.85**2, 1 / 1.3**2]), 0)
        z = np.sqrt(flat) * np.float32(0.55) + np.float32(depth)
        return p + z[..., None] * f32([self.yaw, self.pitch])

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
