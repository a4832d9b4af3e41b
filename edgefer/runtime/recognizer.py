"""The public API: `load` an artifact, call it with images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from edgefer.artifact import Artifact, open_artifact
from edgefer.emotions import EMOTIONS
from edgefer.errors import ImageError, UsageError
from edgefer.images import Source, read
from edgefer.preprocess import Preprocess
from edgefer.runtime.engines import Engine, open_engine
from edgefer.weights import ARTIFACT, shipped


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one face shows.

    Attributes:
        label: the most probable class, one of `EMOTIONS`.
        confidence: its probability, 0 to 1.
        probabilities: float32 [7] in the order of `EMOTIONS`, summing to 1; read-only.
    """

    label: str
    confidence: float
    probabilities: np.ndarray

    def __repr__(self) -> str:
        return f"Prediction({self.label} {self.confidence:.2f})"


class Recognizer:
    """A loaded artifact. Calls are thread-safe and keep no state.

    Attributes:
        artifact: path and manifest.
        preprocess: what happens to an image before the engine sees it.
        engine: the loaded model; `engine.name` says what runs it.
        batch: images given to the engine at once.
    """

    def __init__(self, artifact: Artifact, engine: Engine, batch: int = 32) -> None:
        self.artifact = artifact
        self.engine = engine
        self.preprocess: Preprocess = artifact.manifest.preprocess
        fixed = artifact.manifest.batch
        self.batch = min(batch, fixed[-1]) if fixed else batch
        self._least = fixed[0] if fixed else 1

    @overload
    def __call__(self, image: list[Source] | tuple[Source, ...], channels: str = "bgr") -> list[Prediction]: ...
    @overload
    def __call__(self, image: Source, channels: str = "bgr") -> Prediction: ...
    def __call__(self, image: Source, channels: str = "bgr") -> Prediction | list[Prediction]:
        """Predict one face crop, or a list of them.

        Args:
            image: an array [H, W], [H, W, 3] or [H, W, 4] (uint8, uint16, or float in 0..1), a PIL image, a path, the
                bytes of a JPEG, PNG, WebP or BMP file, or a list of any of these. It should show one face, filling
                most of the picture; `edgefer.runtime.faces` finds faces in larger pictures.
            channels: "bgr" (OpenCV's, the default) or "rgb": the order in arrays. Ignored by everything else, which
                knows its own.

        Returns:
            a `Prediction`, or a list of them for a list, in the same order.

        Raises:
            ImageError: an image cannot be used; in a list, the message gives its position.
        """
        if not isinstance(image, (list, tuple)):
            return self._predict([self.preprocess(read(image, channels))])[0]
        faces = []
        for position, one in enumerate(image):
            try:
                faces.append(self.preprocess(read(one, channels)))
            except ImageError as error:
                raise ImageError(f"image {position} of the list: {error}", error.hint) from None
        return self._predict(faces)

    def probabilities(self, faces: np.ndarray) -> np.ndarray:
        """Preprocessed faces, uint8 RGB [N, size, size, 3] -> probabilities float32 [N, 7]."""
        size = self.preprocess.size
        if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (size, size, 3):
            raise ImageError(
                f"faces are {faces.dtype} {list(faces.shape)}.",
                f"pass uint8 [N, {size}, {size}, 3]; calling the recognizer itself takes any image.",
            )
        if not len(faces):
            return np.empty((0, len(EMOTIONS)), np.float32)
        parts = [self._run(faces[at : at + self.batch]) for at in range(0, len(faces), self.batch)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, faces: np.ndarray) -> np.ndarray:
        missing = self._least - len(faces)
        if missing <= 0:
            return self.engine(np.ascontiguousarray(faces))
        padding = np.zeros((missing, *faces.shape[1:]), np.uint8)
        return self.engine(np.concatenate([faces, padding]))[: len(faces)]

    def _predict(self, faces: Sequence[np.ndarray]) -> list[Prediction]:
        if not faces:
            return []
        probabilities = self.probabilities(np.stack(faces))
        probabilities.setflags(write=False)
        best = probabilities.argmax(axis=1)
        return [Prediction(EMOTIONS[i], float(row[i]), row) for i, row in zip(best, probabilities, strict=True)]

    def __repr__(self) -> str:
        manifest = self.artifact.manifest
        return f"Recognizer({self.artifact.path}, {manifest.target} {manifest.precision}, {self.engine.name})"


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    provider: str | None = None,
    threads: int | None = None,
    batch: int = 32,
) -> Recognizer:
    """Load an artifact and return a `Recognizer`.

    Args:
        path: the directory that `edgefer export` wrote, or an exported .onnx file or .mlpackage by itself; None for the
            model that ships with the package.
        provider: what should run it: "cpu" (the default), "cuda", "tensorrt", "coreml", "openvino" for ONNX files;
            "ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE" for Core ML (default: what the export was told). One that is
            not there is refused, never replaced.
        threads: number of CPU threads; None lets the engine choose (all physical cores).
        batch: images given to the engine at once when called with a list.

    Raises:
        ArtifactError: the artifact is damaged, was edited, or is not ours; or no model ships with this version.
        UnavailableError: the engine or provider is not available on this machine.
        UsageError: `threads` or `batch` is below 1.
    """
    if batch < 1 or (threads is not None and threads < 1):
        raise UsageError(f"batch={batch}, threads={threads} cannot be.", "both are at least 1.")
    if path is None:
        path = shipped(ARTIFACT)
    artifact = open_artifact(path)
    return Recognizer(artifact, open_engine(artifact, provider, threads), batch)
