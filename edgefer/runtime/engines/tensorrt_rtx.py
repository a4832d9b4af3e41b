"""Runs `tensorrt-rtx` engines, on PC GPUs of the kinds that they were built for."""

from __future__ import annotations

from edgefer.artifact import Artifact
from edgefer.runtime.engines.trt.engine import TensorRTEngine
from edgefer.runtime.engines.trt.flavor import RTX


def open_engine(artifact: Artifact, provider: str | None, threads: int | None) -> TensorRTEngine:
    """Open a `tensorrt-rtx` artifact; see `TensorRTEngine`."""
    return TensorRTEngine(RTX, artifact, provider, threads)
