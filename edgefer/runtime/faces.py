"""Find faces with YuNet, OpenCV's own detector (Wu et al. 2023; MIT licence, opencv_zoo)."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgefer.errors import ArtifactError, UnavailableError
from edgefer.files import replace_file, sha256_file

YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_NAME}"
YUNET_BYTES = 232_589
# The network was trained on faces of 10 to 300 pixels; larger pictures are scaled down for it, which is faster too.
MAX_SIDE = 640
# The box YuNet gives reaches from brow to chin; the crops in FER2013 show some of forehead and jaw.
MARGIN = 0.1


@dataclass(frozen=True)
class Face:
    """A face in a picture: its box in pixels (x, y, width, height), within the picture, and the detector's score."""

    x: int
    y: int
    width: int
    height: int
    score: float

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The part of `image` [H, W, C] that shows the face."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


class FaceDetector:
    """YuNet. Not thread-safe: OpenCV keeps the input size in the detector; make one per thread.

    Args:
        model: path of the YuNet file; None takes the cached one, or downloads it (233 kB) and checks its hash.
        score: faces below this score, 0 to 1, are left out.
    """

    def __init__(self, model: str | os.PathLike[str] | None = None, score: float = 0.7) -> None:
        path = Path(model) if model is not None else _cached()
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist.", "pass the YuNet file, or leave it out to download it.")
        if sha256_file(path) != YUNET_SHA256:
            raise ArtifactError(f"{path} is not {YUNET_NAME}: its hash differs.", f"get it from {YUNET_URL}")
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 prints a remark
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score, 0.3, 5000)
        finally:
            cv2.utils.logging.setLogLevel(level)

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Find faces in a uint8 RGB array [H, W, 3]: square boxes with a margin, largest first."""
        height, width = image.shape[:2]
        scale = min(1.0, MAX_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        self._net.setInputSize(size)
        _, found = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = [] if found is None else found
        faces = [_square(row[:4] / scale, float(row[14]), width, height) for row in rows]
        return sorted((f for f in faces if f.width > 0 and f.height > 0), key=lambda f: -f.width * f.height)


def _square(box: np.ndarray, score: float, width: int, height: int) -> Face:
    x, y, w, h = map(float, box)
    side = max(w, h) * (1 + 2 * MARGIN)
    left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
    x0, y0 = max(0, round(left)), max(0, round(top))
    x1, y1 = min(width, round(left + side)), min(height, round(top + side))
    return Face(x0, y0, x1 - x0, y1 - y0, score)


def _cached() -> Path:
    path = cache_folder() / YUNET_NAME
    if not path.is_file():
        _download(path)
    return path


def cache_folder() -> Path:
    """Where downloads are kept: $EDGEFER_CACHE, or the system's folder for caches."""
    if "EDGEFER_CACHE" in os.environ:
        return Path(os.environ["EDGEFER_CACHE"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "edgefer"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgefer"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgefer"


def _download(path: Path) -> None:
    try:
        with urllib.request.urlopen(YUNET_URL, timeout=20) as answer:
            data = answer.read(YUNET_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:  # OSError: URLError and timeouts are some
        raise UnavailableError(
            f"the face detector could not be downloaded: {getattr(error, 'reason', error)}.",
            f"--faces none takes each picture as one face; or get {YUNET_URL} and pass it with --face-model.",
        ) from None
    with replace_file(path) as partial:
        partial.write_bytes(data)
        if sha256_file(partial) != YUNET_SHA256:
            raise UnavailableError(
                "the downloaded face detector is not the file expected: its hash differs.",
                f"get {YUNET_NAME} elsewhere and pass it with --face-model.",
            )
