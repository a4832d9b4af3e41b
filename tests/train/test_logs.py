from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgefer.train import logs as module
from edgefer.train.logs import Logs

KEYS = ("epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "images_per_second", "seconds")
HISTORY = [dict(zip(KEYS, (e, 0.1, 1.0 / e, 0.5, 1.1, 0.4, 100.0, 3.0), strict=True)) for e in (1, 2)]


def test_history_table_and_curves_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed", lambda name: name != "tensorboard")
    logs = Logs(tmp_path / "new")
    logs.write(HISTORY[:1])
    logs.write(HISTORY)
    logs.close()
    assert json.loads((tmp_path / "new" / "history.json").read_text()) == HISTORY
    with (tmp_path / "new" / "metrics.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows == HISTORY
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["curves.png", "history.json", "metrics.csv"]
    assert len(logs.notes) == 1
    assert "pip install tensorboard" in logs.notes[0]


def test_without_matplotlib_the_rest_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed", lambda name: False)
    logs = Logs(tmp_path)
    logs.write(HISTORY)
    logs.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.json", "metrics.csv"]
    assert any("matplotlib" in note for note in logs.notes)


def test_with_tensorboard_events_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through torch's SummaryWriter; a stand-in records the calls, since the package is optional."""
    calls: list[Any] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int) -> None:
            calls.append((folder, purge_step))

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            calls.append((tag, value, step))

        def flush(self) -> None:
            calls.append("flush")

        def close(self) -> None:
            calls.append("close")

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr(module, "installed", lambda name: name == "tensorboard")
    logs = Logs(tmp_path)
    logs.write(HISTORY)
    logs.close()
    assert calls[0] == (str(tmp_path / "events"), 2)
    assert ("loss/val", 1.1, 2) in calls
    assert ("accuracy/train", 0.5, 2) in calls
    assert calls[-2:] == ["flush", "close"]


def test_with_the_real_tensorboard(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logs = Logs(tmp_path)
    logs.write(HISTORY[:1])
    logs.write(HISTORY)
    logs.close()
    events = reader.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [e.value for e in events.Scalars("loss/train")] == pytest.approx([1.0, 0.5])
