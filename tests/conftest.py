"""Fixtures: small networks, exported artifacts, and the real data where it lies beside the repository."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgefer.artifact import Artifact
from edgefer.export.run import Options, export
from edgefer.imageset import ImageSet
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.model.resemotenet import Architecture, seeded
from edgefer.samples import encoded

# The tests run in several processes at once; one thread each keeps them from waiting for one another.
torch.set_num_threads(1)
cv2.setNumThreads(1)

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
TINY = Architecture(stem=(8, 16, 16), stages=(16, 24, 32), head=(24, 16, 16))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real face data beside the repository; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the real face data (../shared/data) is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def fer2013_mini(shared: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A few hundred real faces: uint8 [N, 48, 48], and arrays of a value a row (y, usage, ...)."""
    if not (shared / "fer2013_mini.zip").is_file():
        pytest.skip("fer2013_mini.zip is not in ../shared/data")
    spec = importlib.util.spec_from_file_location("unpack", shared / "unpack.py")
    assert spec is not None
    assert spec.loader is not None
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    images, meta = unpack.load(shared / "fer2013_mini.zip")
    return images, meta


@pytest.fixture(scope="session")
def tiny() -> Checkpoint:
    """An untrained network of a few thousand weights, in the authors' class order."""
    return Checkpoint(seeded(TINY, seed=1), name="tiny.pth", origin="seeded")


@pytest.fixture(scope="session")
def tiny_file(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network as the authors save theirs."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    torch.save({"model_state_dict": tiny.network.state_dict(), "epoch": 3}, path)
    return path


@pytest.fixture(scope="session")
def probe() -> ImageSet:
    """Twenty rendered faces."""
    return ImageSet(encoded(20), "20 rendered faces")


@pytest.fixture(scope="session")
def tiny_artifact(tiny_file: Path, probe: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The tiny network exported to ONNX fp32. Read only: copy it before changing anything."""
    out = tmp_path_factory.mktemp("artifact") / "tiny"
    return export(checkpoints.load(tiny_file), out, probe, Options())


@pytest.fixture
def face() -> np.ndarray:
    """A colour picture, uint8 RGB [120, 100, 3], with structure at every scale."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (100, 120), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command line in this process: (exit code, stdout, stderr)."""
    from edgefer.cli import run

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
