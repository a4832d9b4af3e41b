"""The whole picture, from the back to the front."""

from __future__ import annotations

import cv2
import numpy as np

from edgefer._drawing.canvas import Array, Canvas, ellipse, f32, mixed, paste, shaded, spline, tinted
from edgefer._drawing.face import Face
from edgefer._drawing.features import draw_body, draw_brow, draw_eye, draw_glasses, draw_mouth, draw_nostrils
from edgefer._drawing.hair import Hair, draw_beard
from edgefer._drawing.skin import Light, lit_skin


def draw(face: Face, light: Light, backdrop: Array, rng: np.random.Generator) -> Array:
    """Draw the face over `backdrop` uint8 RGB [n, n, 3]: uint8 RGB [n, n, 3]."""
    canvas = Canvas(backdrop)
    p, n = face.person, backdrop.shape[0]
    small = min(3 * n // 8, 176)  # shading is smooth: most of the arithmetic needs no more
    skin, strength = lit_skin(face, light, rng, small)
    tint = shaded(mixed((255, 255, 255), light.color, 0.7), 1 / 255)
    hair = cv2.merge([np.clip(strength * v, 0, 255) for v in tinted(p.hair, tint)])
    skin_image, hair_image = (
        cv2.resize(m.astype(np.uint8), (n, n), interpolation=cv2.INTER_LINEAR) for m in (skin, hair)
    )
    style = Hair(face, hair_image, tint)
    style.behind(canvas, rng)
    draw_body(canvas, face, light)
    shapes = [ellipse(s * 0.755 * p.width - face.yaw * 0.1, 0.16, 0.085, 0.2, 2.3) for s in (-1, 1)]
    for side, ear in zip((-1, 1), shapes, strict=True):
        paste(canvas, ear, skin_image, 0.92)
        inner = spline([(side * 0.76 * p.width, 0.02), (side * 0.81 * p.width, 0.08), (side * 0.77 * p.width, 0.28)])
        canvas.stroke([inner - f32([face.yaw * 0.1, 0])], shaded(p.skin, 0.35), 0.03, 0.5, 0.012)
    paste(canvas, face.contour, skin_image)
    draw_beard(canvas, face, rng, tint)
    for side in (-1, 1):
        draw_eye(canvas, face, side, light)
    draw_nostrils(canvas, face)
    draw_mouth(canvas, face, tint, light)
    for side in (-1, 1):
        draw_brow(canvas, face, side, rng, tint)
    if p.glasses != "none":
        draw_glasses(canvas, face)
    style.front(canvas, rng)
    return canvas.image
