"""ONNX Runtime: the provider that was asked for, or a refusal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgefer.artifact import Artifact
from edgefer.errors import ArtifactError, EdgeferError, UnavailableError
from edgefer.runtime.engines import ENGINES, Bindable, open_engine
from edgefer.runtime.engines.onnxruntime import PROVIDERS


def refused(call: Callable[[], object], kind: type[EdgeferError]) -> EdgeferError:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("provider", [None, "cpu", "CPU", "CPUExecutionProvider"])
def test_the_cpu_under_all_its_names(tiny_artifact: Artifact, provider: str | None) -> None:
    engine = open_engine(tiny_artifact, provider, 1)
    assert engine.name == f"onnxruntime {onnxruntime.__version__}, CPUExecutionProvider"
    faces = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tiny_artifact.model.read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": faces})[0]
    assert np.abs(engine(faces) - expected).max() < 1e-6


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "coreml", "openvino", "dml", "abacus"])
def test_a_provider_that_is_not_there_is_refused(tiny_artifact: Artifact, provider: str) -> None:
    if PROVIDERS.get(provider) in onnxruntime.get_available_providers():
        pytest.skip(f"this machine has {provider}")
    error = refused(lambda: open_engine(tiny_artifact, provider), UnavailableError)
    assert provider in str(error)
    assert "CPUExecutionProvider" in str(error)  # what there is instead
    assert error.exit_code == 4


def test_a_provider_that_is_listed_but_does_not_start_is_refused(
    tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without CUDA's libraries ONNX Runtime lists the provider, prints a line and runs on the CPU instead."""
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)

    class FallenBack:
        def __init__(self, path: str, options: object, providers: list[str]) -> None:
            assert providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", FallenBack)
    error = refused(lambda: open_engine(tiny_artifact, "cuda"), UnavailableError)
    assert "fell back to CPUExecutionProvider" in str(error)


def test_tensorrt_leaves_the_rest_to_cuda_and_neither_computes_in_tf32(
    tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    asked: list[object] = []

    class Session:
        def __init__(self, path: str, options: object, providers: list[object]) -> None:
            asked.append(providers)

        def get_providers(self) -> list[str]:
            return listed

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    for available, rest in ((listed, [("CUDAExecutionProvider", {"use_tf32": "0"})]), (listed[:1], [])):
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda available=available: available)
        assert "TensorrtExecutionProvider" in open_engine(tiny_artifact, "tensorrt").name
        assert asked.pop() == ["TensorrtExecutionProvider", *rest]


@pytest.mark.parametrize(("threads", "expected"), [(None, 0), (1, 1), (3, 3)])
def test_the_number_of_threads_reaches_the_session(
    tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch, threads: int | None, expected: int
) -> None:
    seen: list[int] = []
    session = onnxruntime.InferenceSession

    def spy(path: str, options: onnxruntime.SessionOptions, providers: list[str]) -> onnxruntime.InferenceSession:
        seen.append(options.intra_op_num_threads)
        return session(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    open_engine(tiny_artifact, "cpu", threads)
    assert seen == [expected]  # 0 lets ONNX Runtime choose


def test_a_file_that_onnxruntime_cannot_load(tiny_artifact: Artifact, tmp_path: Path) -> None:
    """Its hash may be right and the operator too new for the installed version: no private exception, but ours."""
    folder = Path(shutil.copytree(tiny_artifact.path, tmp_path / "tiny"))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("FromTheFuture", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), folder / "model.onnx")
    error = refused(lambda: open_engine(replace(tiny_artifact, path=folder)), ArtifactError)
    assert str(folder / "model.onnx") in str(error)
    assert onnxruntime.__version__ in str(error)


def test_the_registry_names_modules_that_exist() -> None:
    from importlib import import_module

    for target, row in ENGINES.items():
        assert row.needs, target
        assert row.module.startswith("edgefer.runtime.engines.")
    assert callable(import_module(ENGINES["onnx"].module).open_engine)


def test_bound_inputs_and_outputs(tiny_artifact: Artifact) -> None:
    """What the compute boundary of the bench times: the same answers, without a copy, each with buffers of its own."""
    engine = open_engine(tiny_artifact, "cpu", 1)
    assert isinstance(engine, Bindable)
    rng = np.random.default_rng(1)
    faces = [rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8) for n in (1, 4)]
    bound = [engine.bound(some) for some in faces]
    for one in bound:
        assert one() is None  # no clock of its own on the CPU
    for some, one in zip(faces, bound, strict=True):
        assert np.abs(one.probabilities() - engine(some)).max() < 1e-6
        assert one.probabilities().dtype == np.float32
