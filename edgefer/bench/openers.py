"""How the worker opens our own candidates. Runs in the worker's process; the contract is in `edgefer.bench.worker`."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgefer.artifact import open_artifact
from edgefer.errors import UnavailableError, UsageError
from edgefer.runtime.engines import ENGINES, Bindable, Bound, open_engine
from edgefer.runtime.recognizer import Recognizer
from edgefer.weights import ARTIFACT, shipped


def artifact(boundary: str, threads: int, batch: int, path: str | None, provider: str | None = None) -> Any:
    """An artifact of any target, through the runtime; None for the model that ships."""
    cv2.setNumThreads(threads)
    opened = open_artifact(path or shipped(ARTIFACT))
    row = ENGINES.get(opened.manifest.target)
    own = threads if row is None or row.threads else None
    recognizer = Recognizer(opened, open_engine(opened, provider, own), batch)
    fixed = recognizer.artifact.manifest.batch
    if boundary == "compute" and fixed and not fixed[0] <= batch <= fixed[-1]:
        raise UsageError(
            f"it was built for batches of {' to '.join(map(str, dict.fromkeys((fixed[0], fixed[-1]))))}, not {batch}.",
            "measure that batch; at the other boundaries the runtime splits and fills batches up.",
        )
    kinds = {"compute": _Compute, "host": _Host, "end_to_end": _EndToEnd}
    return kinds[boundary](recognizer)


class _Host:
    """uint8 faces -> probabilities, as an app with faces at hand calls it."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer

    def __call__(self, faces: Any) -> Any:
        return self.recognizer.probabilities(faces)

    def about(self) -> dict[str, Any]:
        manifest = self.recognizer.artifact.manifest
        return {"engine": self.recognizer.engine.name, "target": manifest.target, "precision": manifest.precision}


class _EndToEnd(_Host):
    """Encoded images -> predictions with labels."""

    def __call__(self, images: Any) -> Any:
        return self.recognizer(images)

    def collect(self, predictions: Any) -> Any:
        return np.stack([prediction.probabilities for prediction in predictions])


class _Compute(_Host):
    """The engine alone, with input and output in place."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__(recognizer)
        if not isinstance(recognizer.engine, Bindable):
            raise UnavailableError(
                f"{recognizer.engine.name} cannot be timed without its copies.", "measure --boundary host instead."
            )
        self.engine: Bindable = recognizer.engine
        self.last_ns: int | None = None

    def prepare(self, faces: np.ndarray) -> Any:
        return self.engine.bound(faces)

    def __call__(self, bound: Bound) -> Any:
        self.last_ns = bound()
        return bound

    def device_ns(self) -> int | None:
        return self.last_ns

    def collect(self, bound: Bound) -> np.ndarray:
        return bound.probabilities()
