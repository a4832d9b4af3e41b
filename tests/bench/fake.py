"""Openers for tests: candidates that need nothing but numpy. Run by path, as a peer's are."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def answer(faces: np.ndarray) -> np.ndarray:
    """Probabilities that depend on the faces alone: float64 [N, 7]."""
    means = faces.reshape(len(faces), -1).mean(axis=1)
    logits = np.cos(means[:, None] * np.arange(1, 8))
    values = np.exp(logits)
    return values / values.sum(axis=1, keepdims=True)


def plain(boundary: str, threads: int, batch: int, shift: float = 0.0, log: str = "", seconds: float = 0.0) -> Any:
    """Answers by `answer`, off by `shift` in two classes; appends what it is called with to the file `log`."""

    def call(inputs: Any) -> Any:
        time.sleep(seconds)
        if log:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(f"{boundary} {threads} {batch} {type(inputs).__name__} {len(inputs)}\n")
        if boundary == "end_to_end":
            return [LABELS[len(data) % 7] for data in inputs]
        values = answer(inputs)
        values[:, 0] += shift
        values[:, 1] -= shift
        return values

    return call


class Device:
    """A candidate with every optional method."""

    def __init__(self, timed: bool) -> None:
        self.prepared: list[int] = []
        self.called: list[int] = []
        self.timed = timed

    def prepare(self, faces: np.ndarray) -> tuple[int, np.ndarray]:
        self.prepared.append(len(self.prepared))
        return self.prepared[-1], faces

    def __call__(self, bound: tuple[int, np.ndarray]) -> Any:
        self.called.append(bound[0])
        return bound

    def collect(self, bound: tuple[int, np.ndarray]) -> np.ndarray:
        return answer(bound[1])

    def device_ns(self) -> int | None:
        return 1_000_000 + len(self.called) if self.timed else None

    def device_memory(self) -> int:
        return 123

    def about(self) -> dict[str, Any]:
        return {"prepared": self.prepared, "called": self.called}


def device(boundary: str, threads: int, batch: int, timed: bool = True) -> Any:
    """Opens a `Device`."""
    return Device(timed)


def chatty(boundary: str, threads: int, batch: int) -> Any:
    """Prints in every way there is, and tells where it runs."""
    import statistics

    print("a line from Python")
    os.write(1, b"a line from C\n")

    class Call:
        def __call__(self, faces: Any) -> Any:
            print("called")
            return answer(faces)

        def about(self) -> dict[str, Any]:
            return {
                "statistics": statistics.__file__,
                "omp": os.environ["OMP_NUM_THREADS"],
                "own": os.environ.get("FAKE", ""),
                "edgefer": "edgefer" in sys.modules,
                "python": sys.executable,
            }

    return Call()


def leaving(boundary: str, threads: int, batch: int, log: str) -> Any:
    """Leaves a file in its scratch folder, and tells how many it found there."""
    folder = Path(os.environ["FAKE_SCRATCH"])
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {len(list(folder.iterdir()))}\n")
    (folder / str(os.getpid())).touch()
    return answer


def broken(boundary: str, threads: int, batch: int, how: str) -> Any:
    """Fails in the way it is asked to."""
    if how == "raise":
        raise ValueError("no such luck")
    if how == "unavailable":
        error: Any = RuntimeError("no GPU here")
        error.exit_code, error.hint = 4, "buy one"
        raise error
    if how == "die":
        print("out of luck", file=sys.stderr, flush=True)
        os._exit(7)
    time.sleep(60)
    return None


def failing(boundary: str, threads: int, batch: int, turns: bool, start: int, folder: str) -> Any:
    """Raises in its turns or in its warm-up, in the process that is the `start`-th to open it."""
    here = len(list(Path(folder).iterdir()))
    (Path(folder) / str(here)).touch()
    made = 0

    def call(inputs: Any) -> Any:
        nonlocal made
        made += 1
        begun = gc.get_freeze_count() > 0 if turns else made > 7  # after the first call and the six that are compared
        if here == start and begun:
            raise ValueError("no more")
        return answer(inputs)

    return call
