from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgefer.train import progress as module
from edgefer.train.progress import Progress, duration

ROW = {
    "epoch": 2,
    "loss": 1.25,
    "accuracy": 0.5,
    "val_loss": 1.5,
    "val_accuracy": 0.4375,
    "images_per_second": 321.4,
    "seconds": 90.0,
}


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=160, highlight=False, soft_wrap=True), text


def test_piped_it_is_a_plain_line_an_epoch() -> None:
    target, text = console(terminal=False)
    with Progress(True, 10, 5, 16, target) as shown:
        shown.step(0, 1, lambda: pytest.fail("the figures were read for nobody"))
        shown.epoch(ROW, best=True)
    want = "epoch 2/10 loss 1.2500 accuracy 50.00% val loss 1.5000 val accuracy 43.75% * 321 images/s 12 min left"
    assert " ".join(text.getvalue().split()) == want
    assert "\x1b" not in text.getvalue()


def test_on_a_terminal_it_shows_loss_accuracy_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    target, text = console(terminal=True)
    with Progress(True, 2, 100, 64, target) as shown:
        for step in range(1, 11):
            shown.step(0, step, lambda: (1.5, 0.25))
    # 64 images in 2 seconds; 190 of 200 steps left
    for words in ("epoch 1/2", "loss 1.500", "accuracy 25.0%", "32 images/s", "6 min left"):
        assert words in text.getvalue()


def test_disabled_it_is_silent() -> None:
    target, text = console(terminal=True)
    with Progress(False, 2, 100, 64, target) as shown:
        shown.step(0, 1, lambda: pytest.fail("the figures were read for nobody"))
        shown.epoch(ROW, best=False)
        shown.note("a note")
    assert text.getvalue() == ""


def test_durations() -> None:
    assert [duration(s) for s in (3, 90, 150, 3600, 11_100)] == ["3 s", "2 min", "2 min", "1 h 00 min", "3 h 05 min"]
