"""Small faces and the real FER2013, for the tests of this room."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"

WriteImage = Callable[..., np.ndarray]


@pytest.fixture
def write_image() -> WriteImage:
    """Return a function that writes a random image file (by Pillow) and returns its pixels as Pillow decodes them."""
    rng = np.random.default_rng(7)

    def write(path: Path, height: int = 20, width: int = 24, gray: bool = False) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (height, width) if gray else (height, width, 3)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        return np.asarray(Image.open(path).convert("RGB"))

    return write


@pytest.fixture(scope="session")
def fer2013_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The complete FER2013 as an npz, from the development data beside the repository."""
    zipped, script = SHARED / "fer2013_compact.zip", SHARED / "unpack.py"
    if not zipped.is_file() or not script.is_file():
        pytest.skip(f"needs the development data: {zipped} and unpack.py beside it")
    spec = importlib.util.spec_from_file_location("unpack", script)
    assert spec is not None
    assert spec.loader is not None
    unpack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unpack)
    images, meta = unpack.load(zipped)
    out = tmp_path_factory.mktemp("fer2013") / "fer2013.npz"
    np.savez(out, images=images, **meta)
    return out
