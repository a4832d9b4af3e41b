from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from edgefer.errors import CheckpointError, UsageError
from edgefer.train import state as states
from edgefer.train.state import read_state, write_state

IDENTITY = {"recipe": {"epochs": 3, "flip": 0.5}, "model": "quarter", "seed": 0}


def test_round_trip_without_pickled_code(tmp_path: Path) -> None:
    values = {"network": {"w": torch.arange(3.0)}, "epoch": 2, "history": [{"loss": 0.25}]}
    write_state(tmp_path / "state.pt", IDENTITY, values)
    read = read_state(tmp_path / "state.pt", dict(IDENTITY))
    assert torch.equal(read["network"]["w"], torch.arange(3.0))
    assert (read["epoch"], read["history"]) == (2, [{"loss": 0.25}])
    torch.load(tmp_path / "state.pt", weights_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({**IDENTITY, "seed": 1}, "seed 0, not 1"),
        ({**IDENTITY, "recipe": {"epochs": 5, "flip": 0.5}}, r"recipe\.epochs 3, not 5"),
        ({**IDENTITY, "model": {"stem": [1, 2, 3]}}, r"model\.stem None"),
    ],
)
def test_another_trainings_state_is_refused(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    write_state(tmp_path / "state.pt", IDENTITY, {})
    with pytest.raises(UsageError, match=says):
        read_state(tmp_path / "state.pt", changed)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "state.pt"
    write_state(path, IDENTITY, {"w": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(CheckpointError, match="not a whole training state"):
        read_state(path, IDENTITY)


def test_another_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "SCHEMA", 99)
    write_state(tmp_path / "state.pt", IDENTITY, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="schema 99; this version reads 1"):
        read_state(tmp_path / "state.pt", IDENTITY)


def test_a_failed_write_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_state(path, IDENTITY, {"epoch": 1})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        write_state(path, IDENTITY, {"epoch": lambda: 2})
    assert read_state(path, IDENTITY) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
