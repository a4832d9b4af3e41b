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
from edgefer.errors import UnavailableError, UsageError
from edgefer.runtime import cuda
from edgefer.runtime.cuda import Gpu
from edgefer.runtime.engines import open_engine
from edgefer.runtime.engines.trt.checks import check_machine, this_platform
from edgefer.runtime.engines.trt.flavor import TENSORRT
from tests.export import tensorrt_double
from tests.runtime.engines import cuda_double

ROOT = Path(__file__).parent.parent.parent.parent
VERSION = "10.16.1.11"
BUILT = {"compute_capability": "8.9", "gpu": "Fake RTX", "multiprocessors": 46, "platform": this_platform()}
ADA = Gpu(0, "Fake RTX", "8.9", 46, 8 << 30, "13.0")


@pytest.fixture
def make(tiny_artifact: Artifact, tmp_path: Path) -> Callable[..., Artifact]:
    """An artifact of the target tensorrt whose "engine" is the ONNX file of another."""

    def call(batch: tuple[int, ...] = (1, 4, 4), version: str = VERSION, **built: Any) -> Artifact:
        place = tmp_path / "artifact"
        shutil.copytree(tiny_artifact.path, place)
        (place / "model.onnx").rename(place / "model.engine")
        files = {name: sha256_path(place / name) for name in ("model.engine", PARITY)}
        manifest = replace(
            tiny_artifact.manifest,
            target="tensorrt",
            batch=batch,
            device={**BUILT, **built},
            files=files,
            tools={"tensorrt": version},
        )
        (place / MANIFEST).write_bytes(dump(manifest.to_dict()))
        return open_artifact(place)

    return call


@pytest.mark.parametrize(
    ("built", "here", "version", "words"),
    [
        ({"platform": "Plan9 mips"}, {}, VERSION, "on Plan9 mips; this is Fake RTX"),
        ({}, {}, "10.15.0.1", "with TensorRT 10.16.1.11"),
        ({}, {}, "10.17.0.1", "with TensorRT 10.17.0.1"),
        ({"version_compatible": True}, {}, "11.4.0.106", "with TensorRT 11.4.0.106"),
        ({"version_compatible": True}, {}, "10.9.0.1", "with TensorRT 10.9.0.1"),
        ({}, {"name": "Orin", "capability": "8.7"}, VERSION, "this is Orin, compute capability 8.7"),
        ({"hardware_compatible": True}, {"name": "T4", "capability": "7.5"}, VERSION, "this is T4"),
        ({"compute_capability": "8.6,12.0"}, {}, VERSION, "compute capability 8.6,12.0"),
        ({}, {"multiprocessors": 58}, VERSION, "(46 multiprocessors)"),
        ({"compute_capability": ""}, {}, VERSION, "compute capability unknown"),
    ],
)
def test_engines_for_something_else_are_refused_with_the_command_that_rebuilds(
    make: Callable[..., Artifact], built: dict[str, Any], here: dict[str, Any], version: str, words: str
) -> None:
    with pytest.raises(UnavailableError) as caught:
        check_machine(TENSORRT, make(**built), version, replace(ADA, **here))
    assert words in str(caught.value)
    assert "was built for" in str(caught.value)
    assert "edgefer export CHECKPOINT --target tensorrt --precision fp32 --size 64 --batch 1:4:4" in caught.value.hint


@pytest.mark.parametrize(
    ("built", "here", "version"),
    [
        ({}, {}, VERSION),
        ({}, {}, "10.16.1.99"),
        ({"version_compatible": True}, {}, "10.17.0.1"),
        ({"hardware_compatible": True}, {"name": "H100", "capability": "9.0", "multiprocessors": 132}, VERSION),
        ({"compute_capability": "8.6,8.9"}, {}, VERSION),
    ],
)
def test_engines_for_this_machine_are_taken(
    make: Callable[..., Artifact], built: dict[str, Any], here: dict[str, Any], version: str
) -> None:
    check_machine(TENSORRT, make(**built), version, replace(ADA, **here))


def test_without_the_module_the_install_command_is_given(
    make: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "tensorrt")
    with pytest.raises(UnavailableError, match="needs tensorrt") as caught:
        open_engine(make())
    assert caught.value.hint == 'pip install "edgefer[tensorrt]"'


def test_a_provider_means_nothing_here(make: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: True)
    with pytest.raises(UsageError, match="runs on the GPU it was built for"):
        open_engine(make(), "cpu")


def test_nor_do_threads(make: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: True)
    with pytest.raises(UsageError, match="uses no CPU threads"):
        open_engine(make(), threads=2)


@pytest.mark.parametrize(
    ("fake", "words", "hint"),
    [
        (cuda_double.FakeCuda(devices=0, driver=0), "no NVIDIA driver", "machine with an NVIDIA GPU"),
        (cuda_double.FakeCuda(devices=0), "no NVIDIA GPU", "machine with an NVIDIA GPU"),
        (cuda_double.FakeCuda(devices=0, driver=12040, failure=35), "driver is for CUDA 12.4", "cuda-bindings<13"),
        (cuda_double.FakeCuda(devices=0, failure=2), "out of memory", "nvidia-smi"),
    ],
)
def test_without_a_gpu_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, fake: cuda_double.FakeCuda, words: str, hint: str
) -> None:
    monkeypatch.setattr(cuda, "bindings", lambda: fake)
    with pytest.raises(UnavailableError, match=words) as caught:
        cuda.gpu()
    assert hint in caught.value.hint
    assert caught.value.exit_code == 4
    assert cuda.find_gpu() is None


def test_the_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "bindings", cuda_double.FakeCuda)
    assert cuda.gpu() == ADA == cuda.find_gpu()
    monkeypatch.setattr(cuda, "installed", lambda module: False)
    assert cuda.find_gpu() is None


def test_a_failed_cuda_call_is_an_error_with_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "bindings", cuda_double.FakeCuda)
    with pytest.raises(UnavailableError, match="the GPU reports out of memory"):
        cuda.check((cuda_double.Failure(2), None))
    assert cuda.check((cuda_double.OK,)) is None
    assert cuda.check((cuda_double.OK, 5)) == 5


def test_memory_is_freed_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = cuda_double.FakeCuda()
    monkeypatch.setattr(cuda, "bindings", lambda: fake)
    device, host = cuda.DeviceMemory(64), cuda.HostMemory(32)
    assert sorted(fake.memory) == sorted([device.address, host.address])
    assert host.array.shape == (32,)
    del device, host
    assert not fake.memory


def test_every_call_exists_in_the_real_module() -> None:
    """Where NVIDIA's cuda-bindings is installed, what the double and the engine use is there, and takes as much."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    for name, ours in vars(cuda_double.FakeCuda).items():
        if not name.startswith("cuda"):
            continue
        real = getattr(runtime, name)
        if callable(ours):
            text = (real.__doc__ or "").split("\n")[0]
            inside = text[text.index("(") + 1 : text.rindex(")")]
            taken = len([part for part in inside.split(",") if part.strip()])
            assert taken == ours.__code__.co_argcount - 1, text
    for kind in ("cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"):
        assert hasattr(runtime.cudaMemcpyKind, kind)
    assert hasattr(runtime.cudaStreamCaptureMode, "cudaStreamCaptureModeThreadLocal")
    for field in ("name", "major", "minor", "multiProcessorCount", "totalGlobalMem"):
        assert hasattr(runtime.cudaDeviceProp, field)
    assert int(runtime.cudaError_t.cudaErrorNoDevice) == cuda._NO_DEVICE
    assert int(runtime.cudaError_t.cudaErrorInsufficientDriver) == cuda._OLD_DRIVER


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
    graph = ", CUDA graph" if len(batch) == 1 else ""
    assert found["name"] == f"tensorrt {version}, Fake RTX{graph}"
    faces = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    expected = edgefer.load(tiny_artifact.path).probabilities(faces)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(found["timed"], expected[: batch[-1]], atol=1e-6)
    assert "is not the engine of its manifest: it has logits DataType.FLOAT [-1, 7]" in found["refusal"].replace(
        "[2,", "[-1,"
    )
