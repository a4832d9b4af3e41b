"""A picture of pairs of faces, side by side, with labels and correlation under each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

PAIRS = 24  # a section
_COLUMNS = 6
_SIDE = 104  # of a face, in pixels
_GAP, _MARGIN = 4, 14
_CELL_WIDTH = 2 * _SIDE + _GAP + _MARGIN
_CELL_HEIGHT = _SIDE + 44
_TITLE = 40
_BLACK, _GRAY, _RED = (30, 30, 30), (110, 110, 110), (40, 40, 200)  # BGR


class Pair(NamedTuple):
    """Two faces uint8 [H, W, 1 or 3] RGB, a caption for each, their correlation, and whether the labels differ."""

    faces: tuple[np.ndarray, np.ndarray]
    captions: tuple[str, str]
    correlation: float
    conflict: bool


Section = tuple[str, list[Pair]]


def write(path: Path, sections: list[Section]) -> None:
    """Draw the sections, one under the other, and write a PNG."""
    drawn = np.concatenate([_section(title, pairs[:PAIRS]) for title, pairs in sections])
    encoded = cv2.imencode(".png", drawn)[1]
    path.write_bytes(encoded.tobytes())


def _section(title: str, pairs: list[Pair]) -> np.ndarray:
    rows = -(-len(pairs) // _COLUMNS)
    sheet = np.full((_TITLE + rows * _CELL_HEIGHT, _COLUMNS * _CELL_WIDTH + _MARGIN, 3), 255, np.uint8)
    _text(sheet, title, _MARGIN, 27, _BLACK, 0.62)
    for at, pair in enumerate(pairs):
        top, left = _TITLE + at // _COLUMNS * _CELL_HEIGHT, _MARGIN + at % _COLUMNS * _CELL_WIDTH
        for side, (face, caption) in enumerate(zip(pair.faces, pair.captions, strict=True)):
            x = left + side * (_SIDE + _GAP)
            sheet[top : top + _SIDE, x : x + _SIDE] = _enlarged(face)
            _text(sheet, caption, x, top + _SIDE + 14, _RED if pair.conflict else _BLACK, 0.38)
        _text(sheet, f"correlation {pair.correlation:.3f}", left, top + _SIDE + 30, _GRAY, 0.38)
    return sheet


def _enlarged(face: np.ndarray) -> np.ndarray:
    bgr = np.repeat(face, 3, axis=2) if face.shape[2] == 1 else face[:, :, ::-1]
    shrinks = face.shape[0] > _SIDE
    return cv2.resize(
        np.ascontiguousarray(bgr), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


def _text(sheet: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int], scale: float) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
