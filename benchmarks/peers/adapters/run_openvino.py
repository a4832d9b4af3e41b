"""OpenVINO on an ONNX file: one that torch.onnx exports, or one of edgefer's."""

from __future__ import annotations

import numpy as np
import openvino
from imagenet import normalised


class OpenVino:
    """Call: the model's input -> probabilities. A float model's preprocessing happens in `prepare`, untimed."""

    def __init__(self, path: str, threads: int, batch: int) -> None:
        core = openvino.Core()
        model = core.read_model(path)
        shape = model.inputs[0].partial_shape
        shape[0] = batch
        model.reshape(shape)  # a fixed shape lets it choose its kernels once
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            "INFERENCE_PRECISION_HINT": "f32",  # on some processors it would choose bfloat16
        }
        compiled = core.compile_model(model, "CPU", options)
        self.request = compiled.create_infer_request()
        self.raw = compiled.inputs[0].element_type == openvino.Type.u8

    def prepare(self, faces: np.ndarray) -> np.ndarray:
        return faces if self.raw else normalised(faces)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        return self.request.infer([inputs], share_inputs=True)[0]

    def about(self) -> dict[str, str]:
        return {"engine": f"openvino {openvino.__version__.split('-')[0]}"}


def open(boundary: str, threads: int, batch: int, path: str) -> OpenVino:
    """Open an ONNX file with one input, float NCHW or uint8 NHWC; inputs are in place when the clock starts."""
    return OpenVino(path, threads, batch)
