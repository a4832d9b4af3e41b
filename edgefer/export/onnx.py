"""The `onnx` target: one self-contained .onnx file, the same bytes from every process."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from edgefer.artifact import Manifest, append_manifest
from edgefer.errors import EdgeferError, UsageError
from edgefer.export.onnx_graph import OPSET, to_onnx
from edgefer.export.precision import onnx_precision
from edgefer.export.targets import Built, Request

PRECISIONS = ("fp32", "fp16")
MODEL = "model.onnx"
EXTERNAL_DATA_ABOVE = 2**31 - 1  # protobuf's limit for one message; ResEmoteNet never comes near it


def build(request: Request, folder: Path) -> Built:
    """Write `model.onnx` to `folder`.

    Raises:
        UsageError: an optimisation profile was asked for, which ONNX files do not have.
        EdgeferError: a checker refuses the graph, or its precision is not the one asked for.
    """
    if request.batch and len(request.batch) != 1:
        raise UsageError(
            "an ONNX file has no optimisation profile.", "pass one batch size, or leave --batch out: any goes."
        )
    model = to_onnx(request)
    payload = model.SerializeToString(deterministic=True)
    if len(payload) > EXTERNAL_DATA_ABOVE:
        raise EdgeferError(
            f"the model is {len(payload) / 1e9:.1f} GB.", "an ONNX file ends at 2 GB; use --precision fp16."
        )
    precision = onnx_precision(model)
    if precision != request.precision:
        raise EdgeferError(
            f"the built file is {precision}, not {request.precision}.", "report this with the checkpoint."
        )
    path = folder / MODEL
    path.write_bytes(payload)

    def seal(manifest: Manifest) -> None:
        path.write_bytes(append_manifest(payload, manifest))

    batch = f"batch {request.batch[0]}" if request.batch else "batch 1..N"
    return Built(
        model=MODEL,
        precision=precision,
        content_sha256=hashlib.sha256(payload).hexdigest(),
        summary=f"ONNX opset {OPSET}, {precision}, {batch}",
        tools={name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxsim")},
        seal=seal,
    )
