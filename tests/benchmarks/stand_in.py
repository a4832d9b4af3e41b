"""A stand-in for a package: run by path in a worker, needs numpy alone."""

from __future__ import annotations

import time

import numpy as np


class StandIn:
    """Puts all its belief in the class that the first pixel of a face names."""

    def __init__(self, delay: float) -> None:
        self.delay = delay

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        time.sleep(self.delay)
        return np.eye(7, dtype=np.float32)[faces[:, 0, 0, 0] % 7]

    def about(self) -> dict[str, str]:
        return {"engine": "stand-in 1.0"}


def open(boundary: str, threads: int, batch: int, delay: float = 0.0, broken: bool = False) -> StandIn:
    """Open it, or fail."""
    if broken:
        raise RuntimeError("this package is broken")
    return StandIn(delay)
