"""LiteRT (TensorFlow Lite) on a model that litert-torch converted for one batch size."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from imagenet import normalised


class LiteRt:
    """Call: float32 [N, 64, 64, 3] -> probabilities. Preprocessing happens in `prepare`, untimed."""

    def __init__(self, path: str, threads: int) -> None:
        self.interpreter = Interpreter(model_path=path, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def prepare(self, faces: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(normalised(faces).transpose(0, 2, 3, 1))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.input, inputs)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)

    def about(self) -> dict[str, str]:
        return {"engine": f"ai-edge-litert {version('ai-edge-litert')}"}


def open(boundary: str, threads: int, batch: int, paths: dict[str, str]) -> LiteRt:
    """Open the model made for `batch`, a key of `paths`; inputs are in place when the clock starts."""
    return LiteRt(paths[str(batch)], threads)
