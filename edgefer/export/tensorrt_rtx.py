"""The `tensorrt-rtx` target: an engine for PC GPUs, built on any machine, for several kinds of GPU at once."""

from __future__ import annotations

from pathlib import Path

from edgefer.export.targets import Built, Request
from edgefer.export.trt import builder
from edgefer.runtime.engines.trt.flavor import RTX

PRECISIONS = builder.PRECISIONS


def build(request: Request, folder: Path) -> Built:
    """Write `model.engine` to `folder`; see `edgefer.export.trt.builder.build`."""
    return builder.build(RTX, request, folder)
