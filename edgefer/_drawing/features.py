"""What is drawn on the skin: eyes, brows, nostrils, mouth, glasses; and neck and shirt below."""

from __future__ import annotations

import numpy as np

from edgefer._drawing.canvas import FIELD, Array, Canvas, Color, ellipse, f32, mirror, mixed, shaded, spline, tinted
from edgefer._drawing.face import NOSE_Y, Face
from edgefer._drawing.skin import Light


def draw_body(canvas: Canvas, face: Face, light: Light) -> None:
    p = face.person
    w = 0.44 * p.width * (0.7 + 0.3 * p.jaw)
    top, bottom = 0.55, 1.28
    neck = spline([(-w, top), (-w, 1.05), (-w * 1.15, bottom), (-w * 1.6, 1.42)])
    neck = mirror(np.concatenate([neck, f32([(-w * 1.6, 1.6)])]))
    window = canvas.window(neck)
    x = np.linspace(-1, 1, window[1].stop - window[1].start, dtype=np.float32)
    round_ = np.clip(0.75 - 0.35 * x**2 + 0.25 * light.direction[0] * x, 0.1, 1)
    column = np.clip(np.linspace(0.5, 0.95, window[0].stop - window[0].start, dtype=np.float32), 0, 1)
    tone = f32(p.skin) * (f32(light.color) / 255) * (column[:, None] * round_[None])[..., None]
    canvas.blend(window, canvas.mask([neck], window), np.clip(tone, 0, 255).astype(np.uint8))
    shirt = spline([(-1.62, 1.35), (-1.1, 1.3), (-w * 1.5, 1.22), (-w * 0.9, 1.36), (0, 1.44)])[:-1]
    shirt = mirror(np.concatenate([f32([(-1.62, 1.62)]), shirt]))
    canvas.fill(shirt, p.clothes)
    canvas.stroke([mirror(spline([(-w * 1.5, 1.22), (-w * 0.9, 1.36), (0, 1.44)]))], shaded(p.clothes, 0.6), 0.02)


def _step(distance: Array, soft: float) -> Array:
    return np.clip(0.5 - distance / soft, 0, 1)


def draw_eye(canvas: Canvas, face: Face, side: int, light: Light) -> None:
    p, u = face.person, face.units
    upper, lower = face.lids(side)
    shape = np.concatenate([upper, lower[::-1]])
    dark = shaded(p.skin, 0.3)
    lid = f32([0, -0.036 - 0.012 * u.upper_lid_raiser + 0.014 * u.brow_lowerer - 0.01 * (1 - p.age)])
    canvas.stroke([upper[1:-1] + lid], dark, 0.016, 0.62, 0.008)
    canvas.fill(shape + f32([0, -0.012]), dark, 0.45, 0.012)
    window = canvas.window(shape)
    rows, columns = window
    y, x = np.mgrid[rows, columns].astype(np.float32)
    x, y = (x + 0.5) / canvas.scale - FIELD / 2, (y + 0.5) / canvas.scale - FIELD / 2
    middle = face.turn((side * face.eye_x, -0.008 + 0.012 * u.lid_droop)) + f32([0.12 * face.yaw, 0.1 * face.pitch])
    r = np.hypot(x - middle[0], y - middle[1])
    soft, radius = 1.5 / canvas.scale, 0.4 * p.eye_width
    brightness = float(np.mean(light.color)) / 255
    ball = 1 - 0.3 * ((x - upper[12, 0]) / p.eye_width) ** 2
    white = f32([232, 226, 222]) * (ball * brightness)[..., None]
    glow = 0.75 + 0.6 * np.clip((y - middle[1]) / radius, -0.6, 1)
    iris = f32(p.iris) * (glow * (1.15 - 0.75 * np.clip((r / radius - 0.6) / 0.4, 0, 1) ** 2))[..., None]
    cover = _step(r - radius, soft)[..., None]
    image = white * (1 - cover) + iris * cover
    image *= 1 - 0.95 * _step(r - radius * 0.44, soft)[..., None]
    lid_y = np.interp(x[0] * side, upper[:, 0] * side, upper[:, 1]).astype(np.float32)
    image *= (1 - 0.6 * np.exp(-np.maximum(y - lid_y[None], 0) / 0.018))[..., None]  # the shadow of the upper lid
    spark = middle + f32(light.direction[:2]) * 0.35 * radius - f32([0, 0.25 * radius])
    shine = _step(np.hypot(x - spark[0], y - spark[1]) - 0.2 * radius, soft) * 0.9
    image += (245 - image) * shine[..., None]
    canvas.blend(window, canvas.mask([shape], window), np.clip(image, 0, 255).astype(np.uint8))
    corner = (upper[0] * 0.88 + upper[5] * 0.06 + lower[5] * 0.06).tolist()
    canvas.fill(ellipse(corner[0], corner[1], 0.017, 0.013), (190, 110, 105), 0.6, 0.006)
    canvas.stroke([lower], mixed(p.skin, (84, 42, 42), 0.6), 0.012, 0.5, 0.005)
    line = 0.008 + 0.016 * p.lash
    wing = np.concatenate([upper, upper[-1:] + f32([[side * 0.03 * p.lash, -0.015 * p.lash]])])
    weight = f32([[0, 1]]) * (line * np.clip(np.linspace(0.4, 1.3, len(wing)), 0, 1))[:, None]
    canvas.fill(np.concatenate([wing - weight, (wing + 0.25 * weight)[::-1]]), (26, 18, 16), 0.92, 0.004)
    if p.lash > 0.6:
        root = upper[8::2]
        out = np.linspace(0.1, 0.8, len(root), dtype=np.float32)
        tip = root + np.stack([side * 0.05 * out, -0.045 + 0.01 * out], -1).astype(np.float32)
        canvas.stroke(np.stack([root, tip], 1), (26, 18, 16), 0.004)


def draw_brow(canvas: Canvas, face: Face, side: int, rng: np.random.Generator, tint: Color) -> None:
    p = face.person
    upper, lower = face.brow(side)
    color = tinted(shaded(mixed(p.hair, (40, 28, 22), 0.45), 0.75), tint)
    canvas.fill(np.concatenate([upper, lower[::-1]]), color, 0.72, 0.009)
    root = rng.random((46, 1)).astype(np.float32)
    at = rng.uniform(0, 17, 46)
    index = at.astype(int)
    start = lower[index] * (1 - root) + upper[index] * root
    along = upper[index + 3] - upper[index]
    tip = start + along * 0.85 - f32([0, 0.028]) * (1 - at / 14)[:, None].clip(-0.3, 1).astype(np.float32)
    canvas.stroke(np.stack([start, tip], 1), shaded(color, 0.8), 0.004)


def draw_nostrils(canvas: Canvas, face: Face) -> None:
    p, u = face.person, face.units
    dark = shaded(p.skin, 0.25)
    lift = -0.025 * max(u.nose_wrinkler, 0.5 * u.upper_lip_raiser)
    flare = p.nose_width * (1 + 0.16 * u.nose_wrinkler + 0.06 * u.lip_corner_puller)
    for s in (-1, 1):
        at = face.turn((s * 0.066 * flare, NOSE_Y + lift), 0.1)
        canvas.fill(ellipse(at[0], at[1], 0.034 * flare, 0.016), shaded(dark, 0.7), 0.85, 0.008)
        wing = [(0.125, 0.345), (0.152, 0.39), (0.142, 0.43), (0.1, 0.445)]
        wing_at = spline(f32(wing) * f32([s * flare, 1]) + f32([0, lift]))
        canvas.stroke([face.turn(wing_at, 0.06)], dark, 0.016, 0.5, 0.008)
    base = [(-0.03, NOSE_Y + 0.012 + lift), (0, NOSE_Y + 0.022 + lift), (0.03, NOSE_Y + 0.012 + lift)]
    canvas.stroke([face.turn(spline(base), 0.1)], dark, 0.014, 0.45, 0.007)


def draw_mouth(canvas: Canvas, face: Face, tint: Color, light: Light) -> None:
    p, lips = face.person, face.lips
    bright = float(np.mean(light.color)) / 255
    lip = mixed(shaded(p.skin, 0.82), (176, 62, 70), 0.3 + 0.45 * p.lip_tint)
    lip = tinted(lip, tint)
    window = canvas.window(np.concatenate([lips["upper"], lips["lower"]]), 0.04)
    gape = float(np.max(lips["floor"][:, 1] - lips["roof"][:, 1]))
    if gape > 0.012:
        _inside(canvas, face, window, gape, bright)
    for key, edge, factor in (("upper", "roof", 0.8), ("lower", "floor", 1.0)):
        outline = np.concatenate([lips[key], lips[edge][::-1]])
        canvas.blend(window, canvas.mask([outline], window, 0.006), shaded(lip, factor), 0.85)
    lower, floor = lips["lower"], lips["floor"]
    shine = (floor * 0.6 + lower * 0.4)[8:25]
    thick = float(np.max(lower[:, 1] - floor[:, 1]))
    canvas.stroke([shine], mixed(lip, (255, 255, 255), 0.45), thick * 0.3, 0.5, 0.018)
    canvas.stroke([lower[6:27] + f32([0, 0.012])], shaded(p.skin, 0.4), 0.02, 0.3, 0.014)
    seam = shaded(lip, 0.28)
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
    across = f32([1, 0])
    if u.jaw_drop > 0.25:
        tongue = floor * across + (floor * 0.72 + roof * 0.28) * f32([0, 1])
        inset = f32([np.mean(floor[:, 0]), 0])
        tongue = (tongue - inset) * f32([0.7, 1]) + inset + f32([0, 0.02])
        patch.fill(np.concatenate([tongue, floor[::-1] + f32([0, 0.03])]), shaded((150, 66, 68), bright), 0.95, 0.014)
    show = 0.085 * max(u.lip_corner_puller, u.upper_lip_raiser, 0.8 * u.lip_stretcher, 0.45 * u.jaw_drop, 0.4)
    tooth = shaded((232, 224, 208), bright)
    arch = (1 - np.abs(face.t) ** 4)[:, None].astype(np.float32)
    edge = roof + f32([0, 1]) * np.minimum(show * arch, np.maximum(floor - roof, 0)[:, 1:] * 0.97)
    patch.fill(np.concatenate([roof - f32([0, 0.02]), edge[::-1]]), tooth, 0.96, 0.004)
    if u.lip_stretcher > 0.4 or (u.lip_tightener > 0.4 and gape > 0.05):  # the lower lip is pulled down as well
        edge = floor - f32([0, 1]) * np.minimum(0.05 * arch, np.maximum(floor - roof, 0)[:, 1:] * 0.45)
        patch.fill(np.concatenate([edge, floor[::-1] + f32([0, 0.02])]), shaded(tooth, 0.85), 0.95, 0.004)
    gaps = [np.stack([roof[i], roof[i] + f32([0, show])]) for i in range(4, 30, 3)]
    patch.stroke(gaps, (120, 92, 84), 0.004, 0.35, 0.003)
    shade = 1 - 0.75 * np.abs(np.linspace(-1, 1, window[1].stop - window[1].start, dtype=np.float32)) ** 3
    canvas.blend(window, canvas.mask([hole], window), (patch.image[window] * shade[None, :, None]).astype(np.uint8))
    canvas.stroke([roof], (40, 14, 14), 0.012, 0.6, 0.007)


def draw_glasses(canvas: Canvas, face: Face) -> None:
    p = face.person
    color: Color = {"dark": (28, 26, 28), "metal": (150, 140, 120), "brown": (84, 52, 34)}[p.glasses]
    width = 0.013 if p.glasses == "metal" else 0.032
    lenses = [face.turn(ellipse(s * face.eye_x, 0.035, 0.215, 0.165, 2.6), 0.06) for s in (-1, 1)]
    for side, lens in zip((-1, 1), lenses, strict=True):
        canvas.stroke([lens[[*range(48), 0]] + f32([0.01, 0.02])], shaded(p.skin, 0.4), width, 0.3, 0.012)
        canvas.fill(lens, (235, 240, 248), 0.07)
        outer = lens[0] if side > 0 else lens[24]
        canvas.stroke([np.stack([outer, f32([side * 0.76 * p.width, 0.0])])], color, width)
        canvas.stroke([lens[[*range(48), 0]]], color, width)
    over = (lenses[0][0] + lenses[1][24]) / 2 - f32([0, 0.04])
    bridge = [lenses[0][-3], over, lenses[1][27]]
    canvas.stroke([spline(bridge)], color, width)
