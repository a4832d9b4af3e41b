"""The ONNX graph that an engine is built from. TensorRT 11 knows no other place for precision, and 10 is used alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgefer.export.onnx_graph import to_onnx
from edgefer.export.quantize import calibration_probe, quantize
from edgefer.export.targets import Request


def make_graph(
    request: Request, batch: tuple[int, ...], calibration: Path | None
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the graph in the precision asked for, and what else it was made with: {"calibration": "128 faces"}.

    fp32 is ours as it is. fp16 has the network in half, with means in float32. int8 has explicit pairs around every
    product, and float32 between.
    """
    fixed = batch if len(batch) == 1 else None
    if request.precision == "int8":
        probe = calibration_probe(calibration)
        model = to_onnx(replace(request, precision="fp32", batch=fixed))
        return quantize(model, probe.faces(request.preprocess)), {"calibration": probe.source}
    model = to_onnx(replace(request, batch=fixed))
    if request.precision == "fp16":
        float_means(model)
    return model, {}


def float_means(model: onnx.ModelProto) -> None:
    """Compute means of half-precision maps in float32: the sum of a 28x28 map leaves half's range at a mean of 84."""
    nodes, halves = [], _half_tensors(model)
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or node.input[0] not in halves:
            nodes.append(node)
            continue
        source, target = node.input[0], node.output[0]
        node.input[0], node.output[0] = f"{target}_source", f"{target}_float"
        up = helper.make_node("Cast", [source], [node.input[0]], f"{node.name}_up", to=TensorProto.FLOAT)
        down = helper.make_node("Cast", [node.output[0]], [target], f"{node.name}_down", to=TensorProto.FLOAT16)
        nodes += [up, node, down]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.checker.check_model(model, full_check=True)


def _half_tensors(model: onnx.ModelProto) -> set[str]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = inferred.graph.value_info
    return {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
