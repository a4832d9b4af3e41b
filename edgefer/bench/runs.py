"""What a run is: the plan, and every sample that came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgefer.bench.candidates import Candidate, check_boundary
from edgefer.errors import UsageError
from edgefer.imageset import ImageSet

PROCESSES = 6  # the fewest that bound a median at 95 %


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        boundary: one of `BOUNDARIES`.
        batch: images in a call.
        threads: CPU threads that each candidate is given.
        seconds: to measure each candidate for, over all its processes, lead-in and warm-up not counted.
        rate: calls a second, arriving at random (Poisson) whether or not the last has been answered; None: each call
            begins when the last has ended.
        processes: how many times each candidate is started afresh; with fewer than 6 no difference can be shown.
        block: seconds of a candidate's turn.
        warmup: seconds after which a process that has not settled is measured all the same, and said to.
        seed: of the arrivals.
    """

    boundary: str = "host"
    batch: int = 1
    threads: int = 1
    seconds: float = 10.0
    rate: float | None = None
    processes: int = PROCESSES
    block: float = 0.25
    warmup: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_boundary(self.boundary)
        if min(self.batch, self.threads, self.processes) < 1:
            raise UsageError(
                f"batch {self.batch}, threads {self.threads}, processes {self.processes} cannot be.",
                "each is at least 1.",
            )
        if not self.seconds > 0 or (self.rate is not None and not self.rate > 0):
            raise UsageError(f"seconds {self.seconds:g}, rate {self.rate} cannot be.", "both are above 0.")
        if self.rate is not None and self.boundary == "compute":
            raise UsageError("a rate of arrivals says nothing about the device alone.", "choose host or end_to_end.")


@dataclass(frozen=True)
class Block:
    """One turn of one candidate. Times are nanoseconds on a clock that all processes of the machine share.

    Attributes:
        lead: how many of the calls, from the first, are lead-in.
        starts: when each call began, int64 [calls].
        ns: how long each took, int64 [calls]; with arrivals, from the arrival to the answer.
        cpu_ns: processor time of the process over the block; over the wall time it tells how many CPUs were at work.
        quiet: whether the process stopped using the CPU after it.
        queued: how long each waited for the ones before it, int64 [calls]; None without arrivals.
        unserved: arrivals that were given up.
        round, position: which round, and at which place in it.
    """

    lead: int
    starts: np.ndarray
    ns: np.ndarray
    cpu_ns: int
    quiet: bool
    queued: np.ndarray | None = None
    unserved: int = 0
    round: int = 0
    position: int = 0

    @property
    def kept(self) -> np.ndarray:
        """Durations after the lead-in."""
        return self.ns[self.lead :]


@dataclass(frozen=True)
class Warmup:
    """The calls before the measurement: starts and durations in ns, int64 [calls], and whether they settled."""

    starts: np.ndarray
    ns: np.ndarray
    settled: bool


@dataclass(frozen=True)
class Process:
    """One process of a candidate.

    Attributes:
        load_ns: importing its packages and opening it, in a process that had only Python and numpy.
        first_ns: the first call. bind_ns: putting the first input in place, where the boundary asks for it.
        peak_bytes, python_bytes: peak resident memory, and what of it Python with numpy alone had; None: not told.
        device_bytes: peak on the device, where the candidate knows.
    """

    load_ns: int
    first_ns: int
    bind_ns: int
    warmup: Warmup
    blocks: tuple[Block, ...]
    peak_bytes: int | None
    python_bytes: int | None
    device_bytes: int | None

    @property
    def ns(self) -> np.ndarray:
        """All durations after the lead-ins, int64 [n]."""
        return np.concatenate([block.kept for block in self.blocks])

    @property
    def round_medians(self) -> np.ndarray:
        """Median duration in each round, float64 [rounds]."""
        return np.array([np.median(block.kept) for block in self.blocks])


@dataclass(frozen=True)
class Measured:
    """Everything about one candidate in one run.

    Attributes:
        clock: whose clock the durations are by: "host", or "device".
        outputs: its answers to the pool, in order: float [N, classes], or N labels if it has no probabilities.
        about: versions, provider, precision, as it reports them.
        processes: in the order in which they ran.
    """

    candidate: Candidate
    clock: str
    outputs: np.ndarray | list[str]
    about: dict[str, Any]
    processes: tuple[Process, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The turns of all processes, in order."""
        return tuple(block for process in self.processes for block in process.blocks)

    @property
    def ns(self) -> np.ndarray:
        """All durations after the lead-ins, int64 [n], in the order in which they were measured."""
        return np.concatenate([process.ns for process in self.processes])

    @property
    def process_medians(self) -> np.ndarray:
        """Median duration in each process, float64 [processes]."""
        return np.array([np.median(process.ns) for process in self.processes])

    @property
    def round_medians(self) -> np.ndarray:
        """Median duration in each round, float64 [rounds]."""
        return np.concatenate([process.round_medians for process in self.processes])


@dataclass(frozen=True)
class Run:
    """Candidates that were measured together. `failed` names those that could not be, with the reason."""

    plan: Plan
    pool: ImageSet
    measured: tuple[Measured, ...]
    failed: dict[str, str] = field(default_factory=dict)
