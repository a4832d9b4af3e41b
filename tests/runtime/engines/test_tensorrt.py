"""The TensorRT engine: what it refuses before it deserialises, and its calls against the bindings of two versions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefer
from edgefer.artifact import MANIFEST, PARITY, Artifact, dump, open_artifact, sha256_path
from edgefer.errors import ArtifactError, EdgeferError, UnavailableError, UsageError
from edgefer.runtime.engines import _cuda, open_engine
from edgefer.runtime.engines._cuda import Device
from edgefer.runtime.engines._tensorrt import open_with, refuse_mismatch, system
from tests.export import tensorrt_double
from tests.runtime.engines import cuda_double

ROOT = Path(__file__).parent.parent.parent.parent
BUILT = {
    "module": "tensorrt",
    "version": "10.16.1.11",
    "system": system(),
    "compute_capability": ["8.9"],
    "gpu": "Fake RTX",
    "version_compatible": False,
    "hardware_compatible": False,
}
ADA = Device("Fake RTX", "8.9")


@pytest.fixture
def make(tiny_artifact: Artifact, tmp_path: Path) -> Callable[..., Artifact]:
    """An artifact of the target tensorrt whose "engine" is the ONNX file of another."""

    def call(batch: tuple[int, ...] = (1, 4, 4), **built: Any) -> Artifact:
        place = tmp_path / "artifact"
        shutil.copytree(tiny_artifact.path, place)
        (place / "model.onnx").rename(place / "model.engine")
        files = {name: sha256_path(place / name) for name in ("model.engine", PARITY)}
        manifest = replace(
            tiny_artifact.manifest, target="tensorrt", batch=batch, device={**BUILT, **built}, files=files
        )
        (place / MANIFEST).write_bytes(dump(manifest.to_dict()))
        return open_artifact(place)

    return call


@pytest.mark.parametrize(
    ("built", "here", "version", "words"),
    [
        ({"system": "Plan9 mips"}, ADA, "10.16.1.11", "was built for Plan9 mips, this is"),
        ({}, ADA, "10.15.0.1", "was built with TensorRT 10.16.1.11, this is 10.15.0.1"),
        ({}, ADA, "10.17.0.1", "was built with TensorRT 10.16.1.11, this is 10.17.0.1"),
        ({"version_compatible": True}, ADA, "11.4.0.106", "was built with TensorRT 10.16.1.11"),
        ({"version_compatible": True}, ADA, "10.9.0.1", "was built with TensorRT 10.16.1.11"),
        ({}, Device("Orin", "8.7"), "10.16.1.11", "compute capability 8.9; Orin has 8.7"),
        ({"hardware_compatible": True}, Device("T4", "7.5"), "10.16.1.11", "compute capability 8.9; T4 has 7.5"),
        ({"compute_capability": ["8.6", "12.0"]}, ADA, "10.16.1.11", "compute capability 8.6, 12.0"),
    ],
)
def test_engines_for_something_else_are_refused_with_the_command_that_rebuilds(
    make: Callable[..., Artifact], built: dict[str, Any], here: Device, version: str, words: str
) -> None:
    with pytest.raises(UnavailableError) as caught:
        refuse_mismatch(make(**built), version, here)
    assert words in str(caught.value)
    assert "edgefer export CHECKPOINT --target tensorrt --precision" in caught.value.hint


@pytest.mark.parametrize(
    ("built", "here", "version"),
    [
        ({}, ADA, "10.16.1.11"),
        ({"version_compatible": True}, ADA, "10.17.0.1"),
        ({"hardware_compatible": True}, Device("H100", "9.0"), "10.16.1.11"),
        ({"compute_capability": ["8.6", "8.9"]}, ADA, "10.16.1.11"),
    ],
)
def test_engines_for_this_machine_are_taken(
    make: Callable[..., Artifact], built: dict[str, Any], here: Device, version: str
) -> None:
    refuse_mismatch(make(**built), version, here)


def test_a_manifest_that_does_not_say_what_for_is_refused(make: Callable[..., Artifact]) -> None:
    with pytest.raises(ArtifactError, match="does not say for which version"):
        refuse_mismatch(make(version=""), "10.16.1.11", ADA)


def test_without_the_module_the_install_command_is_given(
    make: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "tensorrt")
    with pytest.raises(UnavailableError, match="needs tensorrt") as caught:
        open_engine(make())
    assert caught.value.hint == 'pip install "edgefer[tensorrt]"'


def test_a_provider_means_nothing_here(make: Callable[..., Artifact]) -> None:
    with pytest.raises(UsageError, match="no provider cpu"):
        open_with("tensorrt", make(), "cpu", None)


def test_without_a_gpu_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "api", lambda: cuda_double.FakeCuda(devices=0))
    with pytest.raises(UnavailableError, match="no NVIDIA GPU with a working driver") as caught:
        _cuda.device()
    assert "cudaErrorInsufficientDriver" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_failed_cuda_call_is_an_error_with_its_name() -> None:
    with pytest.raises(EdgeferError, match="could not pin host memory: cudaErrorInsufficientDriver"):
        _cuda.checked((cuda_double.Failure(35), None), "pin host memory")
    assert _cuda.checked((cuda_double.OK,), "wait") == ()
    assert _cuda.checked((cuda_double.OK, 5), "count") == 5


def test_every_call_exists_in_the_real_module() -> None:
    """Where NVIDIA's cuda-python is installed, the names that the double and the engine use are those it has."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    for name in vars(cuda_double.FakeCuda):
        if name.startswith("cuda"):
            assert hasattr(runtime, name), name
    for kind in ("cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"):
        assert hasattr(runtime.cudaMemcpyKind, kind)


@pytest.mark.parametrize("batch", [(1, 4, 4), (2,)], ids=["profile", "fixed"])
@pytest.mark.parametrize("version", tensorrt_double.VERSIONS)
def test_the_engine_on_the_real_bindings(
    make: Callable[..., Artifact], tiny_artifact: Artifact, tmp_path: Path, version: str, batch: tuple[int, ...]
) -> None:
    """Every name and argument is the real one, and what comes out is what ONNX Runtime computes."""
    reason = tensorrt_double.why_not(version)
    if reason:
        pytest.skip(reason)
    bindings = tensorrt_double.prepare(version, tmp_path / "bindings")
    artifact = make(batch, version=version)
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.engines.tensorrt_checks", bindings, artifact.path, tiny_artifact.path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["name"] == f"tensorrt {version}, Fake RTX"
    faces = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    expected = edgefer.load(tiny_artifact.path).probabilities(faces)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(found["timed"], expected[: batch[-1]], atol=1e-6)
    assert "has the tensors logits, image" in found["refusal"]
