"""What a network trained with PIL and ImageNet statistics is fed. Beside the adapters, which find it on their path."""

from __future__ import annotations

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def normalised(faces: np.ndarray) -> np.ndarray:
    """uint8 RGB [N, H, W, 3] -> float32 [N, 3, H, W]: Pillow's gray on three channels, scaled to 0..1, normalised."""
    r, g, b = (faces[..., channel].astype(np.uint32) for channel in range(3))
    gray = (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16  # Pillow's convert("L"), bit for bit
    scaled = gray.astype(np.float32)[..., None] / np.float32(255)
    return np.ascontiguousarray(((scaled - MEAN) / STD).transpose(0, 3, 1, 2))
