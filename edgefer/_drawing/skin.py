"""Skin under a light: the relief of the head, its folds, and what they do to the colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgefer._drawing.canvas import FIELD, SHIFT, Array, Canvas, Color, f32
from edgefer._drawing.face import CHIN_Y, Face


@dataclass(frozen=True)
class Light:
    """Where the light comes from (x right, y down, z to the viewer), its colour, and how much fills the shadows."""

    direction: tuple[float, float, float]
    color: Color
    fill: float


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
        cv2.polylines(crease, grid.pixels([line]), False, round(255 * depth), max(1, n // 160), cv2.LINE_AA, SHIFT)
    depth_map = cv2.GaussianBlur(crease, (0, 0), n / 170).astype(np.float32) / 255
    height -= 0.026 * depth_map
    kernel = f32([[-1, 0, 1]]) * np.float32(n / FIELD / 2)
    return depth_map, cv2.filter2D(height, -1, kernel), cv2.filter2D(height, -1, kernel.T)


def _axis(n: int) -> Array:
    return ((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) * np.float32(FIELD)


def _spots(face: Face, n: int, spots: Sequence[Sequence[float]]) -> Array:
    """Sum of Gaussians (x, y, sigma x, sigma y, height) on the turned face: float32 [n, n]."""
    values = f32(spots)
    at, axis = face.turn(values[:, :2]), _axis(n)
    gx = np.exp(-0.5 * ((axis - at[:, :1]) / values[:, 2:3]) ** 2)
    gy = np.exp(-0.5 * ((axis - at[:, 1:]) / values[:, 3:4]) ** 2)
    total: Array = np.einsum("ky,kx->yx", gy * values[:, 4:], gx)  # not BLAS: the same sum on any number of threads
    return total


def lit_skin(face: Face, light: Light, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Skin colour of the whole field under the light, and the light's strength for hair: [n, n, 3], [n, n]."""
    p, u = face.person, face.units
    crease, dx, dy = _relief(face, n)
    direction = f32(light.direction) / np.float32(np.linalg.norm(light.direction))
    half = direction + f32([0, 0, 1])
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
    dim += [(0, 0.48, 0.12 * p.nose_width, 0.035, 0.28), (0, CHIN_Y + face.drop + 0.05, 0.4, 0.07, 0.3)]
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
