"""Does a candidate compute what the first one does? Looked at outside the timed region, on every distinct input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgefer.bench.candidates import Candidate
from edgefer.emotions import EMOTIONS


class Answered(Protocol):
    """A candidate and its answers: probabilities float [N, 7] in canonical order, or N labels."""

    @property
    def candidate(self) -> Candidate: ...
    @property
    def outputs(self) -> np.ndarray | list[str]: ...


@dataclass(frozen=True)
class Agreement:
    """How a candidate's answers compare with the first one's.

    Attributes:
        images: how many answers were compared.
        same_label: on how many the label is the same.
        max_delta: largest difference in any probability, infinite if one is not finite; None where one side has labels
            only.
        broken: the two should answer alike (same network) and do not: a probability differs by more than both
            precisions explain, or a label does where the first candidate's two best classes lie further apart.
    """

    images: int
    same_label: int
    max_delta: float | None
    broken: bool


def agreement(first: Answered, other: Answered) -> Agreement | None:
    """Compare two candidates' answers; None when they were given different images."""
    if first.candidate.pool is not other.candidate.pool or len(first.outputs) != len(other.outputs):
        return None
    mine, theirs = labels(first), labels(other)
    same = np.array([a == b for a, b in zip(mine, theirs, strict=True)])
    delta, excused = None, np.zeros(len(same), bool)
    bounds = first.candidate.bound, other.candidate.bound
    allowed = None if None in bounds else sum(bound for bound in bounds if bound is not None)
    if isinstance(first.outputs, np.ndarray) and isinstance(other.outputs, np.ndarray):
        deltas = np.abs(first.outputs - other.outputs)
        delta = float(np.where(np.isfinite(deltas), deltas, np.inf).max())
        best = np.sort(first.outputs, axis=1)
        excused = best[:, -1] - best[:, -2] < (allowed or 0.0)
    network = first.candidate.network
    broken = False
    if network is not None and network == other.candidate.network and allowed is not None:
        broken = bool((~same & ~excused).any()) or (delta is not None and delta > allowed)
    return Agreement(len(same), int(same.sum()), delta, broken)


def labels(answered: Answered) -> list[str]:
    """The label that each answer means."""
    if isinstance(answered.outputs, np.ndarray):
        return [EMOTIONS[best] for best in answered.outputs.argmax(axis=1)]
    return answered.outputs
