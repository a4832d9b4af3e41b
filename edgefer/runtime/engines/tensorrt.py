"""Runs `tensorrt` engines, on the GPU that they were built on."""

from __future__ import annotations

from edgefer.artifact import Artifact
from edgefer.runtime.engines.trt.engine import TensorRTEngine
from edgefer.runtime.engines.trt.flavor import TENSORRT


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> TensorRTEngine:
    """Open a `tensorrt` artifact; see `TensorRTEngine`."""
    return TensorRTEngine(TENSORRT, artifact, provider, threads)
