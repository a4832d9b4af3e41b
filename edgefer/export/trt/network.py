"""An ONNX graph -> TensorRT's network: parse it, say what is wrong with it, read back what it computes in."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgefer.errors import EdgeferError
from edgefer.runtime.engines.trt.flavor import Flavor
from edgefer.runtime.engines.trt.inspect import PRODUCTS

_NAMES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}
_HINT = "report this with the checkpoint."


def make_network(trt: Any, flavor: Flavor, builder: Any, log: Any, payload: bytes) -> tuple[Any, Any]:
    """Parse an ONNX file's bytes into a strongly typed network; returns it and the parser, which must outlive it.

    Raises:
        EdgeferError: the parser refuses the graph; names operator, node and reason.
    """
    # Bit 0 in TensorRT 11, bit 1 in 10: the enum knows. In 11 every network is strongly typed; asking is harmless.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if network is None:
        raise EdgeferError(f"{flavor.title} could not create a network: {log.cause}.", _HINT)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(payload):
        raise _refusal(trt, flavor, parser)
    return network, parser


def _refusal(trt: Any, flavor: Flavor, parser: Any) -> EdgeferError:
    if not parser.num_errors:
        return EdgeferError(f"{flavor.title} {trt.__version__} cannot read the graph, and gives no reason.", _HINT)
    error = parser.get_error(0)
    where = f"{error.node_operator()} '{error.node_name()}'" if error.node_operator() else "the file"
    code = getattr(error.code(), "name", str(error.code()))
    hint = f"upgrade {flavor.title}: this version does not take the operator." if "UNSUPPORTED" in code else _HINT
    return EdgeferError(f"{flavor.title} {trt.__version__} refuses {where}: {error.desc()} ({code}).", hint)


def network_types(network: Any) -> dict[str, dict[str, int]]:
    """Kinds of layer with the number types they compute in: {"CONVOLUTION": {"int8": 6}, "SOFTMAX": {"fp32": 1}}.

    A product computes in the type of its operands; behind a DEQUANTIZE that is what went into it. What computes in no
    number type (shapes, indices) is left out, and so are constants and the pairs themselves.
    """
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    producers = {layer.get_output(i).name: layer for layer in layers for i in range(layer.num_outputs)}
    found: dict[str, Counter[str]] = {}
    for layer in layers:
        kind = layer.type.name
        if kind in ("CONSTANT", "QUANTIZE", "DEQUANTIZE", "SHAPE"):
            continue
        name = _product_type(layer, producers) if kind in PRODUCTS else _NAMES.get(layer.get_output(0).dtype.name)
        if name:
            found.setdefault(kind, Counter())[name] += 1
    return {kind: dict(sorted(counts.items())) for kind, counts in sorted(found.items())}


def _product_type(layer: Any, producers: dict[str, Any]) -> str:
    """int8 where all operands were dequantised from int8, else the operands' own type."""
    operands = [layer.get_input(i) for i in range(layer.num_inputs)]
    origins = {_origin(tensor, producers) for tensor in operands[:2] if tensor is not None}
    return "int8" if origins == {"INT8"} else _NAMES.get(operands[0].dtype.name, operands[0].dtype.name)


def _origin(tensor: Any, producers: dict[str, Any]) -> str:
    """The type that a tensor was dequantised from, or its own. The parser reshapes operands on their way."""
    layer = producers.get(tensor.name)
    while layer is not None and layer.type.name == "SHUFFLE":
        tensor = layer.get_input(0)
        layer = producers.get(tensor.name)
    if layer is not None and layer.type.name == "DEQUANTIZE":
        tensor = layer.get_input(0)
    return str(tensor.dtype.name)
