"""Draw predictions into pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgefer.runtime.faces import Face
from edgefer.runtime.recognizer import Prediction

_INK, _PAPER = (255, 255, 255), (34, 34, 34)


def annotate(image: np.ndarray, faces: Sequence[Face], predictions: Sequence[Prediction]) -> np.ndarray:
    """Return a copy of a uint8 RGB picture [H, W, 3] with a box and "label 0.93" at every face."""
    picture = image.copy()
    side = min(picture.shape[:2])
    thickness = max(1, round(side / 300))
    for face, prediction in zip(faces, predictions, strict=True):
        corner = (face.x + face.width - 1, face.y + face.height - 1)
        cv2.rectangle(picture, (face.x, face.y), corner, _INK, thickness + 2)
        cv2.rectangle(picture, (face.x, face.y), corner, _PAPER, thickness)
        _label(picture, f"{prediction.label} {prediction.confidence:.2f}", face)
    return picture


def _label(picture: np.ndarray, text: str, face: Face) -> None:
    """Write on a dark tag above the box, or inside it where there is no room above."""
    scale = max(0.4, min(1.2, face.width / 220))
    thickness = 2 if scale > 0.8 else 1
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    tag = height + baseline + 6
    top = face.y - tag if face.y >= tag else face.y
    left = max(0, min(face.x, picture.shape[1] - width - 6))
    cv2.rectangle(picture, (left, top), (left + width + 6, top + tag), _PAPER, cv2.FILLED)
    origin = (left + 3, top + height + 3)
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, thickness, cv2.LINE_AA)
