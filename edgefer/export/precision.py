"""Which precision a built file really has: read from its weights, not from what was asked for."""

from __future__ import annotations

from collections import Counter

import onnx

from edgefer.errors import EdgeferError

_NAMES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
}


def onnx_precision(model: onnx.ModelProto) -> str:
    """The type that holds the most weights of an ONNX model: "fp32", "fp16" or "int8".

    Raises:
        EdgeferError: there are no weights, or they are of another type.
    """
    sizes: Counter[int] = Counter()
    for tensor in model.graph.initializer:
        count = 1
        for dim in tensor.dims:
            count *= dim
        sizes[tensor.data_type] += count
    if not sizes or sizes.most_common(1)[0][0] not in _NAMES:
        raise EdgeferError("the built file holds no weights of a type we know.", "report this with the checkpoint.")
    return _NAMES[sizes.most_common(1)[0][0]]
