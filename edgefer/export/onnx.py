"""The `onnx` target: one self-contained .onnx file, the same bytes from every process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxsim
import torch

from edgefer.artifact import Manifest, append_manifest
from edgefer.errors import EdgeferError, UsageError
from edgefer.export.graph import Deployed, stage_names
from edgefer.export.precision import onnx_precision
from edgefer.export.targets import Built, Request

PRECISIONS = ("fp32", "fp16")
OPSET = 20
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


@torch.no_grad()
def to_onnx(request: Request) -> onnx.ModelProto:
    """Return the checked, simplified, normalised graph for a request. Other targets start from it too."""
    module = Deployed(request.checkpoint, request.preprocess, request.specialized, request.precision == "fp16").eval()
    size = request.preprocess.size
    stages = stage_names(request.checkpoint)
    # A traced batch of 1 would be taken for a constant.
    example = torch.zeros((request.batch[0] if request.batch else 2, size, size, 3), dtype=torch.uint8)
    shapes = None if request.batch else ({0: torch.export.Dim("batch", min=1, max=2**16)},)
    model = _trace(module, example, shapes, ["probabilities", *stages])
    _normalise(model, None if request.batch else "N")
    # The stages were outputs so that their tensors got names; under those names they can be made outputs again.
    del model.graph.output[1:]
    onnx.checker.check_model(model, full_check=True)
    return _simplify(model, example.numpy(), request.precision)


def _trace(module: Deployed, example: torch.Tensor, shapes: Any, outputs: list[str]) -> onnx.ModelProto:
    """Run torch's exporter, without its remarks: it misses torchvision, and deprecates its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["image"],
                output_names=outputs,
                opset_version=OPSET,
                verbose=False,
                external_data=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    return program.model_proto


def _normalise(model: onnx.ModelProto, batch: str | None) -> None:
    """Strip what depends on the machine or the moment: stack traces, paths, tool versions, symbol names."""
    graph = model.graph
    for item in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, graph, model):
        del item.metadata_props[:]
        if hasattr(item, "doc_string"):
            item.doc_string = ""
    model.producer_name, model.producer_version, model.domain = "edgefer", "", ""
    graph.name = "ResEmoteNet"
    del graph.value_info[:]  # inferred again by whoever needs them; they hold the exporter's symbol names
    for value in (*graph.input, *graph.output):
        if batch:
            value.type.tensor_type.shape.dim[0].dim_param = batch


def _simplify(model: onnx.ModelProto, example: np.ndarray, precision: str) -> onnx.ModelProto:
    """Simplify with onnxsim, which runs both graphs on a random image and compares."""
    image = np.random.default_rng(0).integers(0, 256, example.shape, dtype=np.uint8)
    tolerance = 1e-4 if precision == "fp32" else 1e-2
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        simple, same = onnxsim.simplify(
            model, check_n=1, input_data={"image": image}, check_rtol=tolerance, check_atol=tolerance
        )
    if not same:
        raise EdgeferError("onnxsim's simplified graph computes something else.", "report this with the checkpoint.")
    _normalise(simple, model.graph.input[0].type.tensor_type.shape.dim[0].dim_param or None)
    onnx.checker.check_model(simple, full_check=True)
    return simple
