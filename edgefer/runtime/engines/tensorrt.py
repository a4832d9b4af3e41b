"""TensorRT: runs the `tensorrt` target on NVIDIA GPUs, from Jetson to the data centre."""

from __future__ import annotations

from edgefer.artifact import Artifact
from edgefer.runtime.engines._tensorrt import TensorRTEngine, open_with


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> TensorRTEngine:
    """Open a `tensorrt` artifact; see `edgefer.runtime.engines._tensorrt.open_with`."""
    return open_with("tensorrt", artifact, provider, threads)
