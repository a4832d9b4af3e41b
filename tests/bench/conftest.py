"""Fixtures of the bench's tests: a small pool, a plan that takes milliseconds, and measured candidates made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bench.candidates import Candidate
from edgefer.bench.inputs import drawn
from edgefer.bench.runs import Block, Measured, Plan, Process, Run, Warmup
from edgefer.imageset import ImageSet
from edgefer.preprocess import Preprocess

FAKE = str(Path(__file__).with_name("fake.py"))
SMALL = Preprocess(size=32)


@pytest.fixture(scope="session")
def pool() -> ImageSet:
    """Six drawn faces."""
    return drawn(6)


@pytest.fixture
def plan() -> Plan:
    """Turns of a few calls."""
    return Plan(seconds=0.02, block=0.002, warmup=0.02, processes=2)


@pytest.fixture
def fake() -> Callable[..., Candidate]:
    """Makes a candidate of `fake.py`: fake("name", "plain", shift=0.1)."""

    def make(name: str, opener: str = "plain", /, **settings: Any) -> Candidate:
        own = {key: settings.pop(key) for key in list(settings) if key in Candidate.__dataclass_fields__}
        return Candidate(name, f"{FAKE}:{opener}", settings, **{"preprocess": SMALL, **own})

    return make


def measured(
    name: str,
    rounds: Sequence[Sequence[float]],
    *,
    outputs: Any = None,
    queued: Sequence[Sequence[float]] | None = None,
    settled: bool = True,
    quiet: bool = True,
    processes: int = 6,
    **own: Any,
) -> Measured:
    """A candidate as if measured: `rounds` (and `queued`) in ms, each with one lead-in call of a second before it.

    The rounds are dealt out to `processes` processes, as evenly as they go.
    """
    blocks = []
    at = 0
    for number, values in enumerate(rounds):
        ns = np.array([1e9, *(value * 1e6 for value in values)]).astype(np.int64)
        waited = None if queued is None else np.array([0, *(v * 1e6 for v in queued[number])]).astype(np.int64)
        busy = ns if waited is None else ns - waited
        starts = at + np.concatenate([[0], np.cumsum(busy)[:-1]])
        at = int(starts[-1] + busy[-1])
        blocks.append(Block(1, starts, ns, int(busy.sum()), quiet, queued=waited, round=number))
    warmup = Warmup(np.array([0], np.int64), np.array([10**6], np.int64), settled)
    parts = [part for part in np.array_split(np.arange(len(blocks)), processes) if len(part)]
    made = tuple(
        Process(
            load_ns=10**9 * (number + 1),
            first_ns=2 * 10**6 * (number + 1),
            bind_ns=0,
            warmup=warmup,
            blocks=tuple(blocks[i] for i in part),
            peak_bytes=3 * 10**8 - number,
            python_bytes=27 * 10**6,
            device_bytes=None,
        )
        for number, part in enumerate(parts)
    )
    answers = np.full((3, 7), 1 / 7) if outputs is None else outputs
    return Measured(Candidate(name, "a:b", **own), "host", answers, {"engine": "none"}, made)


@pytest.fixture
def steady_run(pool: ImageSet) -> Run:
    """Two candidates over twelve rounds: 10 ms with a little noise, and exactly twice as fast."""
    rng = np.random.default_rng(0)
    base = 10 + 0.1 * rng.standard_normal((12, 5))
    return Run(Plan(threads=2), pool, (measured("base", base), measured("twice", base / 2, bytes=4_540_000)))
