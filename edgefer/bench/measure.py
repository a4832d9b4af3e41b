"""Time several candidates side by side: in rounds, in turn, so that whatever the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

Progress = Callable[[int, int], None]


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 3,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Call every candidate once a round and return the seconds of each call: {name: float64 [rounds]}.

    The order within a round rotates, since the first to run finds caches that the last one left. Nothing is dropped.
    """
    names = list(candidates)
    samples = {name: np.empty(rounds) for name in names}
    for _ in range(warmup):
        for call in candidates.values():
            call()
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter_ns()
            candidates[name]()
            samples[name][number] = (time.perf_counter_ns() - start) / 1e9
        if progress:
            progress(number + 1, rounds)
    return samples
