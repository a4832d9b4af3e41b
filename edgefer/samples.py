"""Drawn faces with known expressions: a probe set that can be shipped, unlike photographs.

Every face is a function of (seed, emotion): the seed picks the person, both together the intensity of the expression,
the light and the camera. The pictures are for comparing two builds of one model and for examples. They are drawings:
accuracy measured on them says nothing about people.

The bytes are the same on every call with the same OpenCV, NumPy and processor; another may round a pixel differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgefer._drawing import FIELD, ActionUnits, Face, Light, Person, draw
from edgefer.emotions import EMOTIONS

MIN_SIZE, MAX_SIZE = 16, 1024
_SMALLEST, _LARGEST = 40, 400  # of the encoded probes

# The ten tones of the Monk Skin Tone scale (E. Monk, 2022, skintone.google).
_SKIN = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
_HAIR = ("17120f", "2b1d15", "3d2719", "5a3a22", "7d5531", "a9804c", "c9a877", "8a3f1f", "9a9896", "d4d2ce")
_IRIS = ("4a2f1b", "5d3d22", "33221a", "6f7a4c", "5f7f95", "7d8f9b", "836539")
_STYLES = ("short", "buzz", "bald", "afro", "fringe", "long", "wavy", "bob", "bun", "scarf")


@dataclass(frozen=True)
class Sample:
    """One drawn face: `image` is uint8 RGB [size, size, 3], `emotion` the expression it was drawn with."""

    name: str
    emotion: str
    image: np.ndarray


def render(emotion: str, seed: int, size: int = 224) -> np.ndarray:
    """Draw one face: uint8 RGB [size, size, 3].

    Args:
        emotion: one of `edgefer.EMOTIONS`.
        seed: not negative. The same seed is the same person in all seven expressions.
        size: height and width in pixels, 16 to 1024.

    Raises:
        ValueError: an unknown emotion, a negative seed or a size out of range.
    """
    units = action_units(emotion, seed)
    _check_whole("size", size, MIN_SIZE, MAX_SIZE)
    rng = _generator(seed, EMOTIONS.index(emotion), 1)
    face = Face(_person(seed), units, rng.normal(0, 0.14), rng.normal(0, 0.05))
    n = max(160, int(size * 1.5) // 8 * 8)
    side = rng.uniform(-0.75, 0.75)
    warmth = rng.uniform(-0.6, 1.4)
    level = rng.uniform(0.86, 1.0)
    color = (min(255, 255 + 6 * warmth) * level, 250 * level, (244 - 12 * warmth) * level)
    light = Light((side, rng.uniform(-0.75, -0.15), 0.9), color, rng.uniform(0.22, 0.5))
    image = draw(face, light, _backdrop(rng, n), rng)
    return _photograph(image, rng, size)


def action_units(emotion: str, seed: int) -> ActionUnits:
    """FACS action units of one face, after EMFACS (Friesen and Ekman, 1983), with varied intensity.

    Raises:
        ValueError: an unknown emotion or a negative seed.
    """
    if emotion not in EMOTIONS:
        raise ValueError(f"emotion must be one of {', '.join(EMOTIONS)}, not {emotion!r}")
    _check_whole("seed", seed, 0)
    rng = _generator(seed, EMOTIONS.index(emotion), 0)
    k = float(rng.uniform(0.72, 1.0))
    open_ = float(rng.random())
    variants: dict[str, dict[str, float]] = {
        "neutral": {"lips_part": 0.25 if open_ > 0.85 else 0.0},
        "happiness": {
            "lip_corner_puller": 1.0,
            "cheek_raiser": 0.85,
            "lips_part": 1.0 if open_ > 0.2 else 0.0,
            "jaw_drop": 0.45 * open_ if open_ > 0.5 else 0.0,
        },
        "sadness": {
            "inner_brow_raiser": 1.0,
            "brow_lowerer": 0.5,
            "lip_corner_depressor": 1.0,
            "chin_raiser": 0.75,
            "lid_droop": 0.75,
        },
        "surprise": {
            "inner_brow_raiser": 1.0,
            "outer_brow_raiser": 1.0,
            "upper_lid_raiser": 0.85,
            "lips_part": 0.6,
            "jaw_drop": 0.75 + 0.25 * open_,
        },
        "fear": {
            "inner_brow_raiser": 0.95,
            "outer_brow_raiser": 0.3,
            "brow_lowerer": 0.6,
            "upper_lid_raiser": 1.0,
            "lip_stretcher": 1.0,
            "lips_part": 1.0,
            "jaw_drop": 0.15 + 0.2 * open_,
        },
        "anger": {
            "brow_lowerer": 1.0,
            "upper_lid_raiser": 0.35,
            "lid_tightener": 0.7,
            "lip_tightener": 0.9,
            "chin_raiser": 0.25,
            "lip_corner_depressor": 0.35,
        },
        "disgust": {
            "nose_wrinkler": 1.0,
            "upper_lip_raiser": 1.0,
            "brow_lowerer": 0.35,
            "lid_tightener": 0.45,
            "lip_corner_depressor": 0.3,
            "chin_raiser": 0.3,
            "lips_part": 0.55 if open_ > 0.4 else 0.0,
        },
    }
    if open_ > 0.6:  # bared teeth instead of pressed lips
        variants["anger"].update(lips_part=1.0, upper_lip_raiser=0.5, lip_tightener=0.5, lip_stretcher=0.35)
    chosen = {unit: value * k for unit, value in variants[emotion].items()}
    jitter = {unit: float(rng.uniform(0, 0.08)) for unit in ("outer_brow_raiser", "brow_lowerer", "lip_corner_puller")}
    for unit, value in jitter.items():
        chosen[unit] = min(chosen.get(unit, 0.0) + value, 1.0)
    return replace(ActionUnits(), **chosen)


def faces(count: int, seed: int = 0, size: int = 224) -> list[Sample]:
    """Draw `count` different people who go through the seven expressions in turn.

    Raises:
        ValueError: a negative count or seed, or a size out of range.
    """
    _check_whole("count", count, 0)
    _check_whole("seed", seed, 0)
    samples = []
    for index in range(count):
        emotion = EMOTIONS[index % len(EMOTIONS)]
        samples.append(Sample(f"{index:04d}-{emotion}", emotion, render(emotion, _nth_seed(seed, index), size)))
    return samples


def encoded(count: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """Draw the probe set that parity feeds: `count` pairs of file name and encoded image.

    As images come in life: PNG and JPEG (quality 90), 40 to 400 pixels, small ones more often, a third not square,
    one in seven gray with a single channel. All follow from `seed`.

    Raises:
        ValueError: a negative count or seed.
    """
    _check_whole("count", count, 0)
    _check_whole("seed", seed, 0)
    files = []
    for index in range(count):
        emotion = EMOTIONS[index % len(EMOTIONS)]
        rng = _generator(seed, index, 2)
        size = round(_SMALLEST * (_LARGEST / _SMALLEST) ** rng.random())
        image = render(emotion, _nth_seed(seed, index), size)
        if rng.random() < 1 / 3:
            short = max(_SMALLEST, round(size * rng.uniform(0.75, 0.95)))
            start = int(rng.integers(0, size - short + 1))
            image = image[start : start + short] if rng.random() < 0.5 else image[:, start : start + short]
        gray = rng.random() < 1 / 7
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if gray else cv2.COLOR_RGB2BGR)
        suffix = ".png" if rng.random() < 0.5 else ".jpg"
        options = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
        done, data = cv2.imencode(suffix, pixels, options)
        if not done:
            raise RuntimeError(f"OpenCV could not encode a {suffix[1:].upper()} image")
        files.append((f"{index:04d}-{emotion}{suffix}", data.tobytes()))
    return files


def contact_sheet(
    samples: Sequence[Sample], columns: int, labels: Sequence[str] | None = None, tile: int = 112
) -> np.ndarray:
    """Lay faces out in a grid with a caption under each: uint8 RGB [H, W, 3].

    Args:
        samples: the faces, filled in row by row.
        columns: faces in a row.
        labels: a caption each, ASCII, of one line or several; the expressions by default. What is too wide is cut.
        tile: height and width of a face in pixels, at least 48.

    Raises:
        ValueError: no samples, another number of labels than samples, or a number out of range.
    """
    _check_whole("columns", columns, 1)
    _check_whole("tile", tile, 48, 2048)
    if not samples:
        raise ValueError("a contact sheet needs at least one sample")
    captions = [sample.emotion for sample in samples] if labels is None else list(labels)
    if len(captions) != len(samples):
        raise ValueError(f"{len(samples)} samples need as many labels, not {len(captions)}")
    lines = [caption.split("\n") if caption else [] for caption in captions]
    gap, line_height = max(6, tile // 10), max(13, round(tile * 0.15))
    below = line_height * max(map(len, lines)) + (line_height // 4 if any(lines) else 0)
    rows = -(-len(samples) // columns)
    columns = min(columns, len(samples))
    sheet = np.full((gap + rows * (tile + below + gap), gap + columns * (tile + gap), 3), 255, np.uint8)
    for index, (sample, caption) in enumerate(zip(samples, lines, strict=True)):
        y = gap + index // columns * (tile + below + gap)
        x = gap + index % columns * (tile + gap)
        how = cv2.INTER_AREA if min(sample.image.shape[:2]) >= tile else cv2.INTER_CUBIC
        sheet[y : y + tile, x : x + tile] = cv2.resize(sample.image, (tile, tile), interpolation=how)
        for number, text in enumerate(caption):
            top = y + tile + line_height // 4 + number * line_height
            _write(sheet[top : top + line_height, x : x + tile], text, 30 if number == 0 else 110)
    return sheet


def _write(box: np.ndarray, text: str, ink: int) -> None:
    """Write one line at the left of `box`, a white uint8 view [h, w, 3]; four times too large, then shrunk, for smooth
    edges at small sizes.
    """
    height, width = (4 * side for side in box.shape[:2])
    font, weight = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(height / 20))
    scale = 0.56 * height / 22  # capitals of this font are 22 pixels high at scale 1
    shown = text
    while shown and cv2.getTextSize(shown, font, scale, weight)[0][0] > width:
        text = text[:-1]
        shown = f"{text.rstrip()}.." if text else ""
    page = np.full((height, width), 255, np.uint8)
    cv2.putText(page, shown, (weight, round(height * 0.74)), font, scale, ink, weight, cv2.LINE_AA)
    box[...] = cv2.resize(page, box.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]


def _check_whole(name: str, value: int, low: int, high: int | None = None) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be a whole number {limits}, not {value!r}")


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def _nth_seed(seed: int, index: int) -> int:
    """A person for the index-th picture: another seed shares none."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0])


def _rgb(code: str) -> np.ndarray:
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float64)


def _color(rgb: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = rgb.tolist()  # Python floats: NumPy's would turn float32 pictures into float64
    return red, green, blue


def _person(seed: int) -> Person:
    rng = _generator(seed, len(EMOTIONS))
    tone = rng.uniform(0.5, len(_SKIN) - 1.8)
    low = int(tone)
    skin = _rgb(_SKIN[low]) * (1 - tone + low) + _rgb(_SKIN[low + 1]) * (tone - low)
    skin *= np.array([0.98, 0.88, 0.82]) if tone < 4 else np.array([1.32, 1.12, 1.0])  # cameras expose for the face
    feminine = bool(rng.random() < 0.5)
    age = float(rng.beta(1.2, 1.8))
    dark = tone > 4.5
    shade = int(rng.integers(0, 3 if dark else 8))
    if age > 0.6 and rng.random() < 0.7:
        shade = int(rng.integers(8, 10))
    weights = (
        np.array([2, 1, 0.3, 2, 2, 5, 4, 4, 3, 1.6]) if feminine else np.array([8, 3, 2.5, 1.6, 1.2, 0.7, 0.5, 0, 0, 0])
    )
    if not dark:
        weights[_STYLES.index("afro")] *= 0.3
    style = str(rng.choice(_STYLES, p=weights / weights.sum()))
    beards = ("none", "stubble", "full", "moustache", "goatee")
    beard = "none" if feminine else str(rng.choice(beards, p=(0.45, 0.2, 0.18, 0.08, 0.09)))
    glasses = str(rng.choice(("none", "dark", "metal", "brown"), p=(0.78, 0.1, 0.07, 0.05)))
    clothes = np.clip(rng.uniform(50, 190) + rng.normal(0, 32, 3), 15, 235)
    iris = _rgb(_IRIS[int(rng.integers(0, 3))] if dark else str(rng.choice(_IRIS)))
    hair = _rgb(_HAIR[shade]) * rng.uniform(0.85, 1.15)

    def vary(center: float, spread: float) -> float:
        return float(center + spread * np.clip(rng.normal(), -2, 2))

    return Person(
        skin=_color(skin),
        hair=_color(hair),
        iris=_color(iris),
        clothes=_color(clothes),
        age=age,
        width=vary(0.97 if feminine else 1.01, 0.03),
        jaw=vary(0.94 if feminine else 1.04, 0.04),
        chin=vary(0.85 if feminine else 1.1, 0.08),
        eye_gap=vary(1.0, 0.03),
        eye_width=vary(0.152 if feminine else 0.145, 0.006),
        eye_tilt=vary(0.012, 0.008),
        nose_width=vary(1.12 if dark else 0.98, 0.08) * (0.95 if feminine else 1.05),
        mouth_width=vary(1.0, 0.05),
        lip_fullness=vary(1.08 if feminine else 0.88, 0.1) * (1.2 if dark else 1.0),
        brow_thickness=vary(0.048 if feminine else 0.066, 0.007),
        brow_height=vary(0.022 if feminine else 0.0, 0.01),
        sneer=float(rng.uniform(-1, 1)),
        lash=vary(0.75, 0.12) if feminine else vary(0.2, 0.08),
        lip_tint=float(rng.uniform(0.2, 1.0)) if feminine else float(rng.uniform(0, 0.2)),
        hairstyle=style,
        beard=beard,
        glasses=glasses,
        freckles=bool(tone < 3.5 and rng.random() < 0.25),
    )


def _backdrop(rng: np.random.Generator, n: int) -> np.ndarray:
    """A defocused room: uint8 RGB [n, n, 3]."""
    base = rng.uniform(50, 205) + rng.normal(0, 9, 3)
    small = base + rng.normal(0, rng.uniform(4, 34), (5, 5, 1)) + rng.normal(0, 5, (5, 5, 3))
    image = cv2.resize(np.clip(small, 12, 245).astype(np.uint8), (n // 4, n // 4), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(image, (n, n), interpolation=cv2.INTER_LINEAR)


def _photograph(canvas: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Frame, focus, expose and digitise: uint8 RGB [n, n, 3] -> [size, size, 3]."""
    n = canvas.shape[0]
    angle = float(np.clip(rng.normal(0, 6), -15, 15))
    view = rng.uniform(1.04, 1.26)  # half the width of the picture in face units
    center = (np.array([rng.normal(0, 0.04), 0.06 + rng.normal(0, 0.04)]) / FIELD + 0.5) * n
    inner = round(n / FIELD * 2 * view)  # first turn at the scale of the drawing, then shrink by area
    inner = size if inner < 1.5 * size else inner  # what is antialiased survives that much
    matrix = cv2.getRotationMatrix2D((float(center[0]), float(center[1])), angle, inner / (2 * view / FIELD * n))
    matrix[:, 2] += inner / 2 - center
    image = cv2.warpAffine(canvas, matrix, (inner, inner), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if inner > size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    blur = max(0.0, rng.normal(0.3, 0.5)) * size / 224
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    contrast, gain, grain = rng.uniform(0.9, 1.15), rng.uniform(0.88, 1.12), rng.uniform(0.5, 4)
    table = (np.arange(256) * gain - 118) * contrast + 118
    image = cv2.LUT(image, np.clip(table + 0.5, 0, 255).astype(np.uint8))
    noise = rng.standard_normal((size, size), dtype=np.float32) * np.float32(grain)
    return np.asarray(cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U))
