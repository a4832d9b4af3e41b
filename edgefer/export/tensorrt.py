"""The `tensorrt` target: an engine for the GPU of the machine that builds it, Jetson to data centre."""

from __future__ import annotations

from pathlib import Path

from edgefer.export.targets import Built, Request
from edgefer.export.trt import builder
from edgefer.runtime.engines.trt.flavor import TENSORRT

PRECISIONS = builder.PRECISIONS


def build(request: Request, folder: Path) -> Built:
    """Write `model.engine` to `folder`; see `edgefer.export.trt.builder.build`."""
    return builder.build(TENSORRT, request, folder)
