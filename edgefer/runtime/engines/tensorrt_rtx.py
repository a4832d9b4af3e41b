"""TensorRT for RTX: runs the `tensorrt-rtx` target on GeForce and RTX GPUs; the first load finishes the engine."""

from __future__ import annotations

from edgefer.artifact import Artifact
from edgefer.runtime.engines._tensorrt import TensorRTEngine, open_with


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> TensorRTEngine:
    """Open a `tensorrt-rtx` artifact; see `edgefer.runtime.engines._tensorrt.open_with`."""
    return open_with("tensorrt_rtx", artifact, provider, threads)
