"""The package facex (1.1): its TensorFlow Lite model, fed as its own code feeds it.

Its code wants the whole of TensorFlow for an interpreter that ai-edge-litert has alone; the file is the same. As in its
`detect_emotion`, after it has found and cropped a face: gray by OpenCV, scikit-image's `resize` to 200x200x3, in 0..1,
one face a call.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from skimage.transform import resize

SIZE = 200


class FaceX:
    """Call: uint8 RGB [N, H, W, 3] -> probabilities [N, 7]; its class order is the canonical one."""

    def __init__(self, path: Path, threads: int) -> None:
        cv2.setNumThreads(threads)
        self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        answers = []
        for face in faces:
            image = resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (SIZE, SIZE, 3))[None]
            if np.max(image) > 1:
                image = image / 255.0
            self.interpreter.set_tensor(self.input, np.array(image, np.float32))
            self.interpreter.invoke()
            answers.append(self.interpreter.get_tensor(self.output)[0])
        return np.array(answers)

    def about(self) -> dict[str, str]:
        return {"engine": f"facex {version('facex')}, ai-edge-litert {version('ai-edge-litert')}"}


def model() -> Path:
    """The model file inside the installed package, which is not imported."""
    spec = find_spec("facex")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("facex is not installed")
    return Path(spec.submodule_search_locations[0], "assets", "model_optimized.tflite")


def open(boundary: str, threads: int, batch: int) -> FaceX:
    """Open the classifier of the installed package."""
    return FaceX(model(), threads)
