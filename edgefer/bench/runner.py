"""Measure candidates side by side: fresh processes, in turn in short blocks, never two at a time.

Whatever the machine does in a round hits all candidates of it alike, so that ratios within rounds can be believed where
absolute times cannot. Two processes of one program differ too, by where their memory happens to lie, for as long as
they live; so every candidate is started several times over, and it is the processes that intervals count (Kalibera and
Jones, Rigorous benchmarking in reasonable time, ISMM 2013). No sample is dropped; the first calls of a block, which
find caches that another candidate left, are kept apart as lead-in.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.bench.agreement import agreement
from edgefer.bench.candidates import Candidate
from edgefer.bench.process import Worker
from edgefer.bench.runs import Block, Measured, Plan, Process, Run, Warmup
from edgefer.bench.staging import Staged
from edgefer.bench.steady import is_warm
from edgefer.errors import EdgeferError, ParityError, UsageError
from edgefer.imageset import ImageSet

Progress = Callable[[str, int, int], None]  # what is going on, steps done, steps in all

MIN_WINDOWS = 5  # whatever time they take
WINDOW = 0.05  # seconds of a warm-up window
MIN_ROUNDS = 3  # of a process
LEAD = 0.1  # share of a block
MAX_CALLS = 4000  # of a block: more tell nothing new, and their list would count as the candidate's memory
PACED_BLOCK = 2.0  # seconds of a block of arrivals: long enough for queues to build
OVERLOAD = 3  # a block that takes this many times its arrivals' span is ended


@dataclass
class _Turn:
    """A candidate's process while it is being measured."""

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
    pool: ImageSet,
    progress: Progress | None = None,
    keep_going: bool = False,
) -> Run:
    """Measure `candidates` in one run and return every sample.

    Args:
        candidates: the first is what ratios and agreement refer to.
        plan: how to measure.
        pool: the images to rotate through.
        progress: called with (what, done, total).
        keep_going: list a candidate that cannot be opened, answers wrongly or fails while it is measured under
            `failed`, without its samples, and go on with the others, instead of raising.

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
    spared = failed if keep_going else None
    firsts: list[_Turn] = []
    processes: dict[str, list[Process]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        staged = Staged(pool, Path(folder))
        for start in range(plan.processes):
            with ExitStack() as stack:
                wanted = [candidate for candidate in candidates if candidate.name not in failed]
                turns = _open_all(wanted, plan, staged, stack, start, tell, spared)
                if start == 0:
                    _check_all(turns, spared)
                    turns = firsts = [turn for turn in turns if turn.candidate.name not in failed]
                if not turns:
                    break
                _measure_once(turns, plan, start, tell, spared)
                for turn in turns:
                    if turn.candidate.name not in failed:
                        with _noted(turn.candidate, spared):
                            processes[turn.candidate.name].append(_finish(turn))
    measured = [_measured(turn, processes[turn.candidate.name]) for turn in firsts if turn.candidate.name not in failed]
    return Run(plan, pool, tuple(measured), failed)


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


def _open_all(
    candidates: Sequence[Candidate],
    plan: Plan,
    staged: Staged,
    stack: ExitStack,
    start: int,
    tell: Progress,
    failed: dict[str, str] | None,
) -> list[_Turn]:
    """Start a process of each; the order changes, since who comes first gets the best of the memory."""
    turns: dict[str, _Turn] = {}
    for number, which in enumerate(order(len(candidates), start)):
        candidate = candidates[which]
        tell("opening", number, len(candidates))
        with _noted(candidate, failed):
            turns[candidate.name] = _open(candidate, plan, staged, stack, answers=start == 0)
    return [turns[candidate.name] for candidate in candidates if candidate.name in turns]


def _open(candidate: Candidate, plan: Plan, staged: Staged, stack: ExitStack, answers: bool) -> _Turn:
    with ExitStack() as mine:
        worker = mine.enter_context(Worker(candidate, plan.threads, staged.scratch(candidate)))
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
        outputs = worker.ask("outputs")["outputs"] if answers else []
        labels = all(isinstance(answer, str) for answer in outputs)
        turn = _Turn(candidate, worker, opened, first, outputs if labels else np.asarray(outputs, np.float64))
        stack.push(mine.pop_all())
    return turn


def _check_all(turns: Sequence[_Turn], failed: dict[str, str] | None) -> None:
    """How fast something wrong is does not matter."""
    for turn in turns:
        found = agreement(turns[0], turn)
        if found is None or not found.broken:
            continue
        delta = f", max |dp| {found.max_delta:.1e}" if found.max_delta is not None else ""
        text = (
            f"{turn.candidate.name} answers differently from {turns[0].candidate.name}, though it holds the same "
            f"network: the label is the same on {found.same_label} of {found.images} images{delta}."
        )
        if failed is None:
            raise ParityError(text, "edgefer verify shows where; nothing was measured.")
        failed[turn.candidate.name] = text


@contextmanager
def _noted(candidate: Candidate, failed: dict[str, str] | None) -> Iterator[None]:
    """Put down in `failed` that the candidate failed; raise where that is None."""
    try:
        yield
    except EdgeferError as error:
        if failed is None:
            raise
        failed[candidate.name] = str(error)


def _measure_once(turns: list[_Turn], plan: Plan, start: int, tell: Progress, failed: dict[str, str] | None) -> None:
    """Warm up and measure one process of each candidate; one that fails has no more turns."""
    for number, turn in enumerate(turns):
        tell("warming up", number, len(turns))
        with _noted(turn.candidate, failed):
            turn.warmup = _warm_up(turn.worker, plan)
            turn.worker.ask("freeze")
            turn.calls = _calls(plan, turn.warmup)
    span = PACED_BLOCK if plan.rate else plan.block
    rounds = max(MIN_ROUNDS, math.ceil(plan.seconds / span / plan.processes))
    steps = rounds * len(turns)
    for number in range(rounds):
        at = start * rounds + number
        for position, which in enumerate(order(len(turns), at)):
            tell("measuring", start * steps + number * len(turns) + position, plan.processes * steps)
            turn = turns[which]
            if failed and turn.candidate.name in failed:
                continue
            with _noted(turn.candidate, failed):
                block = _paced(turn, plan, at) if plan.rate else _back_to_back(turn)
                turn.blocks.append(replace(block, round=at, position=position))
    tell("measuring", (start + 1) * steps, plan.processes * steps)


def _warm_up(worker: Worker, plan: Plan) -> Warmup:
    """Call until the last windows' medians agree, or the time is up."""
    starts: list[int] = []
    ns: list[int] = []
    windows: list[float] = []
    calls = 1
    while not is_warm(windows) and (sum(ns) < plan.warmup * 1e9 or len(windows) < MIN_WINDOWS):
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


def _finish(turn: _Turn) -> Process:
    memory = turn.worker.ask("memory")
    assert turn.warmup is not None
    return Process(
        load_ns=turn.opened["load_ns"],
        first_ns=turn.first["first_ns"],
        bind_ns=turn.first["bind_ns"],
        warmup=turn.warmup,
        blocks=tuple(turn.blocks),
        peak_bytes=memory["peak_bytes"],
        python_bytes=turn.opened["python_bytes"],
        device_bytes=memory["device_bytes"],
    )


def _measured(first: _Turn, processes: Sequence[Process]) -> Measured:
    """A candidate's processes together; what it is and answers was asked of the first."""
    return Measured(first.candidate, first.first["clock"], first.outputs, first.opened["about"], tuple(processes))
