"""What a training shows while it runs, on stderr: a bar on a terminal, a line an epoch everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

_REFRESH = 0.5  # seconds between two looks at the figures: reading them waits for the device
_MEMORY = 30.0  # seconds over which images/s is averaged


class Progress:
    """Loss, accuracy, images/s and time left.

    Args:
        enabled: false shows nothing (and every process but the first should).
        epochs, steps: of the whole training, and of one epoch.
        images: a step, over all devices.
        console: where to, for tests; stderr otherwise.
    """

    def __init__(self, enabled: bool, epochs: int, steps: int, images: int, console: Console | None = None) -> None:
        self.enabled, self.epochs, self.steps, self.images = enabled, epochs, steps, images
        self.console = console or Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[figures]}"))
        self.bar = Bar(
            *columns, console=self.console, transient=True, disable=not (enabled and self.console.is_terminal)
        )
        self.task = self.bar.add_task("train", total=epochs * steps, figures="")
        self.shown = self.counted_from = time.monotonic()
        self.since = 0  # steps since then
        self.rate = 0.0

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(self, epoch: int, step: int, figures: Callable[[], tuple[float, float]]) -> None:
        """A step is done; `figures` gives the epoch's loss and accuracy so far, and is called only when shown."""
        self.since += 1
        now = time.monotonic()
        if self.bar.disable or now - self.shown < _REFRESH:
            return
        self.rate = self.since * self.images / (now - self.counted_from)
        if now - self.counted_from > _MEMORY:  # forget the older half, so that the rate follows the machine
            self.counted_from, self.since = now - (now - self.counted_from) / 2, self.since // 2
        self.shown = now
        done = epoch * self.steps + step
        loss, accuracy = figures()
        left = (self.epochs * self.steps - done) * self.images / self.rate if self.rate else 0.0
        text = f"loss {loss:.3f}  accuracy {accuracy:.1%}  {self.rate:.0f} images/s  {duration(left)} left"
        self.bar.update(self.task, completed=done, description=f"epoch {epoch + 1}/{self.epochs}", figures=text)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        """An epoch is done: one line that stays."""
        if not self.enabled:
            return
        left = (self.epochs - row["epoch"]) * row["seconds"]
        self.console.print(
            f"epoch {row['epoch']:>3}/{self.epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.2%}  "
            f"val loss {row['val_loss']:.4f}  val accuracy {row['val_accuracy']:.2%}{' *' if best else '  '}  "
            f"{row['images_per_second']:.0f} images/s  {duration(left)} left",
            markup=False,
        )

    def note(self, text: str) -> None:
        """Say something once."""
        if self.enabled:
            self.console.print(text, markup=False)


def duration(seconds: float) -> str:
    """ "3 h 05 min", "12 min", "40 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes >= 2 else f"{round(seconds)} s"
