from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric

from edgefer.errors import UnavailableError, UsageError
from edgefer.train import launch
from edgefer.train.config import TrainConfig


def world(fabric: Fabric, config: TrainConfig) -> tuple[int, str, Any]:
    return fabric.world_size, fabric.device.type, config.packed


def test_one_process_runs_here(config: TrainConfig) -> None:
    assert launch.run(config, world) == (1, "cpu", config.packed)
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    assert launch.run(replace(config, accelerator="auto"), world) == (1, kind, config.packed)


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"precision": "64"}, UsageError, "'64' is not a precision"),
        ({"precision": "16-mixed"}, UnavailableError, "16-mixed needs an NVIDIA GPU"),
        ({"accelerator": "mps"}, UnavailableError, "Apple's GPU is not supported"),
        ({"accelerator": "abacus"}, UnavailableError, "accelerator abacus"),
        ({"devices": 0}, UnavailableError, "devices 0"),
        ({"devices": "many"}, UnavailableError, "devices many"),
    ],
)
def test_what_is_not_there(config: TrainConfig, changes: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        launch.run(replace(config, **changes), world)
    assert caught.value.hint  # type: ignore[attr-defined]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(config: TrainConfig) -> None:
    with pytest.raises(UnavailableError, match="accelerator cuda"):
        launch.run(replace(config, accelerator="cuda"), world)


def test_compiling_without_a_compiler(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match=r"needs a C\+\+ compiler"):
        launch.run(replace(config, compile=True), world)


def test_a_packed_file_travels_as_its_path(config: TrainConfig) -> None:
    class File(SimpleNamespace):
        @classmethod
        def open(cls, path: Path) -> File:
            return cls(path=path, opened=True)

    portable = launch._portable(File(path=Path("x")))
    assert portable().opened
    assert portable().path == Path("x")
    assert launch._portable(config.packed) is config.packed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_is_pythons(number: signal.Signals) -> None:
    asked: list[int] = []
    before = signal.getsignal(number)

    def default(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(number, default)
    try:
        with launch.interruptible(lambda: asked.append(1)):
            os.kill(os.getpid(), number)
            assert asked == [1]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is default
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("environment", "outside"),
    [({}, False), ({"TORCHELASTIC_RUN_ID": "x"}, True), ({"SLURM_NTASKS": "1"}, False), ({"SLURM_NTASKS": "8"}, True)],
)
def test_torchrun_and_slurm_are_recognised(
    environment: dict[str, str], outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launch._started_from_outside() is outside
