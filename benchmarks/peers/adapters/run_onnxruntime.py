"""ONNX Runtime on an ONNX file as torch.onnx exports it."""

from __future__ import annotations

import numpy as np
import onnxruntime
from imagenet import normalised


class OnnxRuntime:
    """Call: float32 [N, 3, 64, 64] -> probabilities. Preprocessing happens in `prepare`, untimed."""

    def __init__(self, path: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def prepare(self, faces: np.ndarray) -> np.ndarray:
        return normalised(faces)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.name: inputs})[0]

    def about(self) -> dict[str, str]:
        return {"engine": f"onnxruntime {onnxruntime.__version__}"}


def open(boundary: str, threads: int, batch: int, path: str) -> OnnxRuntime:
    """Open an ONNX file with one float input; inputs are in place when the clock starts."""
    return OnnxRuntime(path, threads)
