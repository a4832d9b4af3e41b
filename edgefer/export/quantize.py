"""int8 as explicit QuantizeLinear/DequantizeLinear pairs around every product of a float ONNX graph.

The form TensorRT asks for: symmetric (every zero point is 0), weights per output channel and stored as int8, inputs of
products per tensor with a scale from calibration, biases and everything that is no product in float. Outputs stay as
they are: a pair between a convolution and its ReLU would cost a rounding and keep the two from being fused. Ranges are
the 99.999th percentile of what the calibration faces produce; on the model that ships no label more was lost with it
than with 99.9, 99.99 or the maximum.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from edgefer.errors import EdgeferError
from edgefer.export.onnx_graph import normalise
from edgefer.imageset import ImageSet, from_folder
from edgefer.optional import require
from edgefer.samples import encoded

PRODUCTS = ("Conv", "Gemm", "MatMul")
FACES, SEED = 256, 1000  # of the drawn faces; the proof draws its own from seed 0
PERCENTILE = 99.999
_BATCH = 16


def calibration_probe(folder: Path | None) -> ImageSet:
    """The images to calibrate on: those below `folder`, or drawn faces.

    Raises:
        ImageError: the folder holds none, or an unreadable one.
    """
    if folder is None:
        return ImageSet(encoded(FACES, SEED), f"{FACES} rendered faces, seed {SEED}")
    return from_folder(folder, "--calibration")


def quantize(model: onnx.ModelProto, faces: np.ndarray) -> onnx.ModelProto:
    """Return `model` (float32, our graph contract) with int8 products, calibrated on `faces`.

    Args:
        model: a graph from `edgefer.export.onnx_graph.to_onnx` in float32.
        faces: uint8 RGB [N, size, size, 3].

    Raises:
        UnavailableError: ONNX Runtime, which calibrates, is not installed.
        EdgeferError: a product was left in float, or a zero point is not 0.
    """
    require(("onnxruntime",), "cpu", "calibrating int8")
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    options = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "CalibPercentile": PERCENTILE,
        "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
    }
    with tempfile.TemporaryDirectory() as folder, _silenced():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)  # handed over in memory, ONNX Runtime writes it in a form that onnx refuses to read
        quantize_static(
            source,
            target,
            _Reader(faces, model.graph.input[0].type.tensor_type.shape.dim[0].dim_value),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options=options,
        )
        quantized = onnx.load(target)
    _check(quantized)
    normalise(quantized, model.graph.input[0].type.tensor_type.shape.dim[0].dim_param or None)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


class _Reader:
    """Hands out the faces in batches, as ONNX Runtime's `CalibrationDataReader` does."""

    def __init__(self, faces: np.ndarray, fixed: int) -> None:
        step = fixed or min(_BATCH, len(faces))
        whole = -(-len(faces) // step) * step
        faces = np.resize(faces, (whole, *faces.shape[1:]))  # the last batch is filled up from the front
        self._batches: Iterator[np.ndarray] = iter(faces.reshape(-1, step, *faces.shape[1:]))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep away what the calibrator prints about its histograms, and its advice to optimise the graph first."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _check(model: onnx.ModelProto) -> None:
    """Refuse a graph that a symmetric int8 engine cannot take."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            sources = [producers.get(name) for name in node.input[:2]]
            if not all(source and source.op_type == "DequantizeLinear" for source in sources):
                raise EdgeferError(f"the product {node.name} was left in float.", "report this with the checkpoint.")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constants[node.input[2]]
            if zero.data_type != onnx.TensorProto.INT8 or onnx.numpy_helper.to_array(zero).any():
                raise EdgeferError(f"{node.name} is not symmetric int8.", "report this with the checkpoint.")
