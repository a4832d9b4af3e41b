"""The ONNX graph that the `onnx` target writes and others start from: traced, checked, simplified, normalised."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnxsim
import torch

from edgefer.errors import EdgeferError
from edgefer.export.graph import Deployed, stage_names
from edgefer.export.targets import Request

OPSET = 20


@torch.no_grad()
def to_onnx(request: Request) -> onnx.ModelProto:
    """Return the checked, simplified, normalised graph for a request."""
    module = Deployed(request.checkpoint, request.preprocess, request.specialized, request.precision == "fp16").eval()
    size = request.preprocess.size
    stages = stage_names(request.checkpoint)
    # A traced batch of 1 would be taken for a constant.
    example = torch.zeros((request.batch[0] if request.batch else 2, size, size, 3), dtype=torch.uint8)
    shapes = None if request.batch else ({0: torch.export.Dim("batch", min=1, max=2**16)},)
    model = _trace(module, example, shapes, ["probabilities", *stages])
    normalise(model, None if request.batch else "N")
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


def normalise(model: onnx.ModelProto, batch: str | None) -> None:
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
    normalise(simple, model.graph.input[0].type.tensor_type.shape.dim[0].dim_param or None)
    onnx.checker.check_model(simple, full_check=True)
    return simple
