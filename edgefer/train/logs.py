"""The story of a training on disk: history as JSON and CSV, TensorBoard events, and the curves as a picture."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgefer.files import replace_file
from edgefer.optional import installed
from edgefer.train import pictures

HISTORY, TABLE, CURVES, EVENTS = "history.json", "metrics.csv", "curves.png", "events"
_DRAW_EVERY = 30.0  # seconds: a picture takes a good part of one
_TAGS = {
    "loss": "loss/train",
    "val_loss": "loss/val",
    "accuracy": "accuracy/train",
    "val_accuracy": "accuracy/val",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}


class Logs:
    """Writes the outputs of the first process. Files are replaced whole, so a killed training leaves readable ones.

    Attributes:
        notes: what is not written, and what would change that.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.notes: list[str] = []
        self._events: Any = None
        self._history: Sequence[dict[str, Any]] = ()
        self._drawn = time.monotonic()
        self._with_events = installed("tensorboard")
        if not self._with_events:
            self.notes.append(f"no TensorBoard events, only {TABLE}: pip install tensorboard")
        if not installed("matplotlib"):
            self.notes.append(f"no {CURVES}: pip install matplotlib")

    def write(self, history: Sequence[dict[str, Any]]) -> None:
        """Write everything up to the last epoch in `history`."""
        with replace_file(self.out / HISTORY) as partial:
            partial.write_text(json.dumps(list(history), indent=1) + "\n", "utf-8")
        with replace_file(self.out / TABLE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(history[0]))
            table.writeheader()
            table.writerows(history)
        if self._with_events:
            self._add_events(history[-1])
        self._history = history
        if time.monotonic() - self._drawn > _DRAW_EVERY:
            self._draw()

    def close(self) -> None:
        """Draw the last curves, and flush what is buffered."""
        self._draw()
        if self._events is not None:
            self._events.close()

    def _draw(self) -> None:
        if self._history and installed("matplotlib"):
            pictures.curves(self._history, self.out / CURVES)
        self._drawn = time.monotonic()

    def _add_events(self, row: dict[str, Any]) -> None:
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            # After a resume, events of epochs that are about to be repeated are dropped by TensorBoard.
            self._events = SummaryWriter(str(self.out / EVENTS), purge_step=row["epoch"])
        for key, tag in _TAGS.items():
            self._events.add_scalar(tag, row[key], row["epoch"])
        self._events.flush()
