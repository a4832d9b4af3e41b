"""Seven classes that a tiny network learns in seconds: a bright stripe whose place is the class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefer.model.resemotenet import Architecture
from edgefer.preprocess import Preprocess
from edgefer.train.config import TrainConfig
from edgefer.train.recipe import Recipe

SMALL = Architecture(stem=(8, 8, 16), stages=(16, 16, 16), head=(32, 32, 16))


def make_packed(n: int = 140, size: int = 16, channels: int = 1, seed: int = 0) -> Any:
    """A packed set: 5/7 of it training, 1/7 validation, 1/7 test; with votes and clean."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 7
    images = rng.integers(60, 120, (n, size, size, channels), dtype=np.uint8)
    for row, label in enumerate(labels):
        at = 1 + label * (size - 2) // 7
        images[row, :, at : at + 2] += 130
    splits = np.zeros(n, np.uint8)
    splits[n * 5 // 7 : n * 6 // 7], splits[n * 6 // 7 :] = 1, 2
    votes = np.zeros((n, 7), np.float32)
    votes[np.arange(n), labels] = 0.7
    votes[np.arange(n), (labels + 1) % 7] = 0.2
    votes[0] = 0
    meta = {"dataset": "stripes", "source_sha256": "ab" * 32, "preprocess": Preprocess(size).to_dict()}
    clean = (splits == 2) & (np.arange(n) % 2 == 0)
    return SimpleNamespace(
        images=images, labels=labels.astype(np.int64), splits=splits, votes=votes, clean=clean, meta=meta
    )


@pytest.fixture
def packed() -> Any:
    return make_packed()


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the curves out: a picture takes longer than these trainings."""
    monkeypatch.setattr("edgefer.train.logs.pictures.curves", lambda *_: None)


@pytest.fixture
def config(packed: Any, tmp_path: Path) -> TrainConfig:
    """Three epochs of six steps with everything a recipe can do switched on."""
    recipe = Recipe(
        name="test",
        epochs=3,
        batch_size=16,
        optimizer="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        decay_norms=False,
        schedule="cosine",
        warmup_epochs=0.5,
        class_weights="balanced",
        label_smoothing=0.05,
        votes=0.3,
        init="kaiming",
        rotate=5.0,
        scale=0.05,
        shift=0.02,
        brightness=0.1,
        contrast=0.1,
        erase=0.2,
        mixup=0.2,
        ema=0.9,
    )
    return TrainConfig(packed, tmp_path / "out", recipe, SMALL, accelerator="cpu", progress=False)


@pytest.fixture
def packed_of() -> Callable[..., Any]:
    return make_packed
