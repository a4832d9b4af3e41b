"""edgefer: facial expression recognition on the edge, proven to predict as its PyTorch checkpoint does.

import cv2, edgefer

fer = edgefer.load("build/fer")
print(fer(cv2.imread("face.jpg")).label)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgefer.emotions import EMOTIONS
from edgefer.errors import (
    ArtifactError,
    CheckpointError,
    DataError,
    EdgeferError,
    ImageError,
    ParityError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    from edgefer.runtime.recognizer import Prediction, Recognizer, load

__version__ = "0.1.0"

__all__ = [
    "EMOTIONS",
    "ArtifactError",
    "CheckpointError",
    "DataError",
    "EdgeferError",
    "ImageError",
    "ParityError",
    "Prediction",
    "Recognizer",
    "UnavailableError",
    "UsageError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> object:
    """Import the runtime, and with it numpy and OpenCV, on first use: `import edgefer` itself costs milliseconds."""
    if name in ("Prediction", "Recognizer", "load"):
        from edgefer.runtime import recognizer

        return getattr(recognizer, name)
    raise AttributeError(f"module 'edgefer' has no attribute {name!r}")
