"""Measure candidates side by side: a fresh process each, in turn in short blocks, never two at a time.

Whatever the machine does in a round hits all candidates of it alike, so that ratios within rounds can be believed where
absolute times cannot. No sample is dropped; the first calls of a block, which find caches that another candidate left,
are kept apart as lead-in.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.bench.agreement import agreement
from edgefer.bench.candidates import Candidate, check_boundary
from edgefer.bench.inputs import Pool
from edgefer.bench.process import Worker
from edgefer.bench.steady import is_warm
from edgefer.errors import EdgeferError, ParityError, UsageError
from edgefer.preprocess import Preprocess

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all

WINDOW = 0.05  # seconds of a warm-up window
MIN_ROUNDS = 10
LEAD = 0.1  # share of a block
MAX_CALLS = 4000  # of a block: more tell nothing new, and their list would count as the candidate's memory
PACED_BLOCK = 2.0  # seconds of a block of arrivals: long enough for queues to build
OVERLOAD = 3  # a block that takes this many times its arrivals' span is ended


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        boundary: one of `BOUNDARIES`.
        batch: images in a call.
        threads: CPU threads that each candidate is given.
        seconds: to measure each candidate for, lead-in and warm-up not counted.
        rate: calls a second, arriving at random (Poisson) whether or not the last has been answered; None: each call
            begins when the last has ended.
        block: seconds of a candidate's turn.
        warmup: seconds after which a candidate that has not settled is measured all the same, and said to.
        seed: of the arrivals.
    """

    boundary: str = "host"
    batch: int = 1
    threads: int = 1
    seconds: float = 10.0
    rate: float | None = None
    block: float = 0.25
    warmup: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_boundary(self.boundary)
        if self.batch < 1 or self.threads < 1 or not self.seconds > 0 or (self.rate is not None and not self.rate > 0):
            raise UsageError(
                f"batch {self.batch}, threads {self.threads}, seconds {self.seconds:g}, rate {self.rate} cannot be.",
                "batch and threads are at least 1, seconds and rate above 0.",
            )
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
class Measured:
    """Everything about one candidate in one run.

    Attributes:
        load_ns: importing its packages and opening it, in a process that had only Python and numpy.
        first_ns: the first call. bind_ns: putting the first input in place, where the boundary asks for it.
        clock: whose clock the durations are by: "host", or "device".
        outputs: its answers to the pool, in order: float [N, classes], or N labels if it has no probabilities.
        peak_bytes, python_bytes: peak resident memory, and what of it Python with numpy alone had; None: not told.
        device_bytes: peak on the device, where the candidate knows.
        about: versions, provider, precision, as it reports them.
    """

    candidate: Candidate
    load_ns: int
    first_ns: int
    bind_ns: int
    clock: str
    outputs: np.ndarray | list[str]
    warmup: Warmup
    blocks: tuple[Block, ...]
    peak_bytes: int | None
    python_bytes: int | None
    device_bytes: int | None
    about: dict[str, Any]

    @property
    def ns(self) -> np.ndarray:
        """All durations after the lead-ins, int64 [n], in the order in which they were measured."""
        return np.concatenate([block.kept for block in self.blocks])

    @property
    def round_medians(self) -> np.ndarray:
        """Median duration in each round, float64 [rounds]."""
        return np.array([np.median(block.kept) for block in self.blocks])


@dataclass(frozen=True)
class Run:
    """Candidates that were measured together. `failed` names those that could not be, with the reason."""

    plan: Plan
    pool: Pool
    measured: tuple[Measured, ...]
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class _Turn:
    """A candidate while it is being measured."""

    candidate: Candidate
    worker: Worker
    opened: dict[str, Any]
    first: dict[str, Any]
    outputs: np.ndarray | list[str]
    warmup: Warmup | None = None
    calls: int = 1
    blocks: list[Block] = field(default_factory=list)


def measure(
    candidates: Sequence[Candidate],
    plan: Plan,
    pool: Pool,
    progress: Progress | None = None,
    keep_going: bool = False,
) -> Run:
    """Measure `candidates` in one run and return every sample.

    Args:
        candidates: the first is what ratios and agreement refer to.
        plan: how to measure.
        pool: the images to rotate through.
        progress: called with (what, done, total).
        keep_going: list a candidate that cannot be opened or answers wrongly under `failed` instead of raising.

    Raises:
        UsageError: no candidates, or two of one name.
        ParityError: a candidate answers differently from the first though it holds the same network.
        EdgeferError: a candidate could not be opened, or failed while it was measured.
    """
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"the candidates are {', '.join(names) or 'none'}.", "give each a name of its own.")
    tell = progress or (lambda what, done, total: None)
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        staged = _Staged(pool, Path(folder))
        turns: list[_Turn] = []
        for number, candidate in enumerate(candidates):
            tell("opening", number, len(candidates))
            try:
                turn = _open(candidate, plan, staged, stack)
                _check(turns[0] if turns else turn, turn)
                turns.append(turn)
            except EdgeferError as error:
                if not keep_going:
                    raise
                failed[candidate.name] = str(error)
        for number, turn in enumerate(turns):
            tell("warming up", number, len(turns))
            turn.warmup = _warm_up(turn.worker, plan)
            turn.worker.ask("freeze")
            turn.calls = _calls(plan, turn.warmup)
        if turns:
            _take_turns(turns, plan, tell)
        return Run(plan, pool, tuple(_finish(turn) for turn in turns), failed)


def order(count: int, number: int) -> list[int]:
    """Who goes when in a round: rotating, and backwards in every other cycle, so that neighbours change as well."""
    ring = list(range(count))
    shift = number % count
    ring = ring[shift:] + ring[:shift]
    return ring[::-1] if number // count % 2 else ring


def arrivals(rate: float, seconds: float, seed: int) -> list[int]:
    """Poisson arrivals over `seconds`, in ns from its beginning: exponential gaps of mean 1 / rate."""
    rng = np.random.default_rng(seed)
    moments: list[int] = []
    at = rng.exponential(1 / rate)
    while at < seconds or not moments:
        moments.append(int(at * 1e9))
        at += rng.exponential(1 / rate)
    return moments


class _Staged:
    """Pools written into a folder, for workers that share nothing with this process but the disk."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self._pool, self._folder = pool, folder
        self._images: dict[int, list[str]] = {}
        self._faces: dict[tuple[int, Preprocess], str] = {}

    def images(self, candidate: Candidate) -> list[str]:
        """Paths of the encoded images."""
        pool = candidate.pool or self._pool
        if id(pool) not in self._images:
            paths = [
                self._folder / f"{len(self._images)}-{number:05d}{Path(name).suffix}"
                for number, (name, _) in enumerate(pool.images)
            ]
            for path, (_, data) in zip(paths, pool.images, strict=True):
                path.write_bytes(data)
            self._images[id(pool)] = [str(path) for path in paths]
        return self._images[id(pool)]

    def faces(self, candidate: Candidate) -> str:
        """Path of the .npy file with the images as the candidate's preprocessing makes them."""
        pool = candidate.pool or self._pool
        key = id(pool), candidate.preprocess
        if key not in self._faces:
            path = self._folder / f"faces-{len(self._faces)}.npy"
            np.save(path, pool.faces(candidate.preprocess))
            self._faces[key] = str(path)
        return self._faces[key]


def _open(candidate: Candidate, plan: Plan, staged: _Staged, stack: ExitStack) -> _Turn:
    with ExitStack() as mine:
        worker = mine.enter_context(Worker(candidate, plan.threads))
        boundary = candidate.boundary or plan.boundary
        ends = boundary == "end_to_end"
        images, faces = (staged.images(candidate), None) if ends else (None, staged.faces(candidate))
        opened = worker.ask(
            "open",
            opener=candidate.opener,
            arguments=dict(candidate.arguments),
            boundary=boundary,
            threads=plan.threads,
            batch=plan.batch,
            images=images,
            faces=faces,
        )
        first = worker.ask("first")
        answers = worker.ask("outputs")["outputs"]
        labels = all(isinstance(answer, str) for answer in answers)
        turn = _Turn(candidate, worker, opened, first, answers if labels else np.asarray(answers, np.float64))
        stack.push(mine.pop_all())
    return turn


def _check(first: _Turn, turn: _Turn) -> None:
    """How fast something wrong is does not matter."""
    found = agreement(first, turn)
    if found is not None and found.broken:
        delta = f", max |dp| {found.max_delta:.1e}" if found.max_delta is not None else ""
        raise ParityError(
            f"{turn.candidate.name} answers differently from {first.candidate.name}, though it holds the same network: "
            f"the label is the same on {found.same_label} of {found.images} images{delta}.",
            "edgefer verify shows where; nothing was measured.",
        )


def _warm_up(worker: Worker, plan: Plan) -> Warmup:
    """Call until the last windows' medians agree, or the time is up."""
    starts: list[int] = []
    ns: list[int] = []
    windows: list[float] = []
    calls = 1
    while not is_warm(windows) and (sum(ns) < plan.warmup * 1e9 or len(windows) < 2):
        answer = worker.ask("block", calls=calls)
        starts += answer["starts"]
        ns += answer["ns"]
        median = float(np.median(answer["ns"]))
        enough = calls * median >= WINDOW * 1e9 / 2
        if enough or calls == 1:
            windows.append(median)
        calls = max(1, min(MAX_CALLS, math.ceil(WINDOW * 1e9 / max(median, 1.0))))
    return Warmup(np.array(starts, np.int64), np.array(ns, np.int64), is_warm(windows))


def _calls(plan: Plan, warmup: Warmup) -> int:
    """Calls of a block that lasts about as long as the plan wants."""
    typical = float(np.median(warmup.ns[-max(1, len(warmup.ns) // 2) :]))
    return max(1, min(MAX_CALLS, round(plan.block * 1e9 / max(typical, 1.0))))


def _take_turns(turns: list[_Turn], plan: Plan, tell: Progress) -> None:
    span = PACED_BLOCK if plan.rate else plan.block
    rounds = max(MIN_ROUNDS, math.ceil(plan.seconds / span))
    for number in range(rounds):
        for position, which in enumerate(order(len(turns), number)):
            tell("measuring", number * len(turns) + position, rounds * len(turns))
            turn = turns[which]
            block = _paced(turn, plan, number) if plan.rate else _back_to_back(turn)
            turn.blocks.append(replace(block, round=number, position=position))
    tell("measuring", rounds * len(turns), rounds * len(turns))


def _back_to_back(turn: _Turn) -> Block:
    lead = max(1, round(turn.calls * LEAD))
    answer = turn.worker.ask("block", calls=lead + turn.calls)
    return Block(lead, _whole(answer["starts"]), _whole(answer["ns"]), answer["cpu_ns"], answer["quiet"])


def _paced(turn: _Turn, plan: Plan, number: int) -> Block:
    """The same arrivals for every candidate of a round."""
    assert plan.rate is not None
    offsets = arrivals(plan.rate, PACED_BLOCK * (1 + LEAD), seed=plan.seed * 1_000_003 + number)
    lead = sum(offset < PACED_BLOCK * LEAD * 1e9 for offset in offsets)
    answer = turn.worker.ask("paced", offsets=offsets, limit_ns=int(OVERLOAD * PACED_BLOCK * 1e9))
    arrived, starts, stops = (_whole(answer[key]) for key in ("arrivals", "starts", "stops"))
    return Block(
        min(lead, len(stops) - 1),
        starts,
        stops - arrived,
        answer["cpu_ns"],
        answer["quiet"],
        queued=starts - arrived,
        unserved=answer["unserved"],
    )


def _whole(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


def _finish(turn: _Turn) -> Measured:
    memory = turn.worker.ask("memory")
    assert turn.warmup is not None
    return Measured(
        candidate=turn.candidate,
        load_ns=turn.opened["load_ns"],
        first_ns=turn.first["first_ns"],
        bind_ns=turn.first["bind_ns"],
        clock=turn.first["clock"],
        outputs=turn.outputs,
        warmup=turn.warmup,
        blocks=tuple(turn.blocks),
        peak_bytes=memory["peak_bytes"],
        python_bytes=turn.opened["python_bytes"],
        device_bytes=memory["device_bytes"],
        about=turn.opened["about"],
    )
