"""Hair, beards and a scarf."""

from __future__ import annotations

import numpy as np

from edgefer._drawing.canvas import (
    FIELD,
    Array,
    Canvas,
    Color,
    ellipse,
    f32,
    mirror,
    mixed,
    paste,
    shaded,
    spline,
    tinted,
)
from edgefer._drawing.face import Face


def draw_beard(canvas: Canvas, face: Face, rng: np.random.Generator, tint: Color) -> None:
    p, lips = face.person, face.lips
    if p.beard == "none":
        return
    color = tinted(shaded(mixed(p.hair, (40, 30, 26), 0.25), 0.8), tint)
    upper = lips["upper"]
    left, right = upper[0], upper[-1]
    nose = face.turn([(-0.14, 0.5), (0, 0.475), (0.14, 0.5)], 0.05)
    tache = np.concatenate([[left + f32([-0.03, 0.05])], nose, [right + f32([0.03, 0.05])], upper[::-1]])
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
                canvas.stroke(lines[part::2], shaded(color, factor), 0.005)


class Hair:
    """Hair as locks: the area between two guide curves, with strands running along it."""

    def __init__(self, face: Face, image: Array, tint: Color) -> None:
        self.face, self.image = face, image
        self.style = face.person.hairstyle
        self.color = tinted(face.person.hair, tint)
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
        lines += np.float32(wave) * np.sin(7 * k + phase)[..., None] * f32([1, 0.4])
        lines += rng.standard_normal((count, 1, 2), dtype=np.float32) * np.float32(0.012)
        for part, factor in enumerate((0.5, 1.15, 0.75)):
            canvas.stroke(lines[part::3], shaded(self.color, factor, 5), 0.004)

    def _lock(
        self, canvas: Canvas, a: Array, b: Array, rng: np.random.Generator, count: int = 60, wave: float = 0.006
    ) -> None:
        shape = np.concatenate([a, b[::-1]])
        paste(canvas, shape, self.image)
        self._strands(canvas, a, b, count, rng, wave)

    def behind(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """What the head hides: long hair, a bun, curls."""
        dark = shaded(self.color, 0.45)
        if self.style in ("long", "wavy"):
            back = spline([(0, -1.12), (-0.7, -0.85), (-0.93, -0.2), (-0.98, 0.6), (-0.95, 1.6)])
            canvas.fill(mirror(back), dark)
        elif self.style == "bob":
            back = spline([(0, -1.12), (-0.7, -0.85), (-0.92, -0.2), (-0.9, 0.45), (-0.62, 0.72)])
            canvas.fill(mirror(back), dark)
        elif self.style == "bun":
            bun = ellipse(0, -1.18, 0.27, 0.22)
            paste(canvas, bun, self.image, 0.8)
            self._strands(canvas, bun[:24], bun[:23:-1], 30, rng, 0.01)
        elif self.style == "afro":
            self._curls(canvas, self._arc(0.25, -48), f32([[-0.3, 0.6], [0.3, 0.6]]), rng, 0.5)

    def _curls(self, canvas: Canvas, outer: Array, inner: Array, rng: np.random.Generator, factor: float) -> None:
        bumps = outer[::2] + rng.normal(0, 0.018, (25, 2)).astype(np.float32)
        shape = np.concatenate([spline(bumps, steps=5), inner[::-1]])
        paste(canvas, shape, self.image, factor)
        share = rng.random((240, 1)).astype(np.float32)
        index = rng.integers(2, len(outer) - 2, 240)
        other = inner[(index * len(inner)) // len(outer)]
        at = outer[index] * (1 - share * 0.97) + other * share * 0.97
        ring = ellipse(0, 0, 0.024, 0.02)[::4]
        rings = at[:, None] + ring[None] * rng.uniform(0.6, 1.2, (240, 1, 1)).astype(np.float32)
        rings = rings[:, :9]
        canvas.stroke(rings[::2], shaded(self.color, 0.55 * factor), 0.008)
        canvas.stroke(rings[1::2], shaded(self.color, 1.05 * factor, 4), 0.005)

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
            paste(canvas, np.concatenate([outer, line[::-1]]), self.image)
            crown = f32([0, -1.1]) + f32([0.1, 0]) * np.linspace(-1, 1, len(line))[:, None].astype(np.float32)
            index = rng.integers(0, len(line), 110)
            k = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
            bend = outer[(index + 24) // 2] * np.float32(1.04)
            lines = [
                (1 - k) ** 2 * line[i] + 2 * k * (1 - k) * b + k**2 * crown[i] for i, b in zip(index, bend, strict=True)
            ]
            canvas.stroke(lines[::2], shaded(self.color, 0.5), 0.004)
            canvas.stroke(lines[1::2], shaded(self.color, 1.05, 5), 0.004)
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
        cloth = np.clip(f32(color) * shade, 0, 255).astype(np.uint8)
        canvas.blend(window, canvas.mask([mirror(outer), hole], window), cloth)  # even-odd: the hole stays open
        for grow in (1.08, 1.17, 1.26):
            fold = (hole - f32([0, 0.2])) * f32([grow, grow]) + f32([0, 0.2])
            canvas.stroke([fold[6:-6]], shaded(color, 0.5), 0.015, 0.45, 0.012)
