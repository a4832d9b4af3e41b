"""Does the harness measure right? Candidates of known cost, measured as any other.

    python benchmarks/selfcheck.py

Checks, with the default settings of `edgefer bench`:

- a sleep and a busy loop, both of a length set by another clock than the harness's (CLOCK_MONOTONIC_RAW, which no
  time service adjusts), come back within 2 %; so do load time, first call and peak memory of a candidate that takes a
  known amount of each;
- with arrivals at random, the latencies are those that follow from the arrivals and the known cost by Lindley's
  recursion, within 2 %;
- the same work twice: the ratio's interval lies within 2 % of 1;
- 5 % more work: the slow-down is shown, and its interval holds 1.05.

Wants a quiet machine. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COST = 0.010  # seconds
LATE = 0.001  # seconds: a sleep never takes this much longer than asked on a quiet machine
LOAD, FIRST, MEMORY = 2.0, 0.5, 400_000_000
WORK = 100  # digests of a call, about 4 ms
TOLERANCE = 0.02


def raw_ns() -> int:
    """A clock that the harness does not use."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) if hasattr(time, "CLOCK_MONOTONIC_RAW") else time.time_ns()


def spin(end: int) -> None:
    """Work until `end` on that clock."""
    while raw_ns() < end:
        pass


def rest(end: int) -> None:
    """Sleep until shortly before `end`, and work the rest: how late a sleeper wakes is the system's to say."""
    time.sleep(max(0.0, (end - raw_ns()) / 1e9 - LATE))
    spin(end)


def known(boundary: str, threads: int, batch: int, how: str) -> Callable[[Any], Any]:
    """An opener: a call costs `COST` seconds, asleep or at work, whatever making its answer takes."""
    wait = rest if how == "sleep" else spin

    def call(faces: Any) -> Any:
        end = raw_ns() + round(COST * 1e9)
        answer = np.full((len(faces), 7), 1 / 7)
        wait(end)
        return answer

    return call


def work(boundary: str, threads: int, batch: int, amount: int) -> Callable[[Any], Any]:
    """An opener: a call costs `amount` digests of 64 kB."""
    data = bytes(1 << 16)

    def call(faces: Any) -> Any:
        for _ in range(amount):
            hashlib.sha256(data).digest()
        return np.full((len(faces), 7), 1 / 7)

    return call


def heavy(boundary: str, threads: int, batch: int) -> Callable[[Any], Any]:
    """An opener: takes `LOAD` seconds and `MEMORY` bytes to load, and `FIRST` seconds for its first call."""
    end = raw_ns() + round(LOAD * 1e9)
    state = {"first": True, "kept": np.ones(MEMORY // 8)}
    spin(end)

    def call(faces: Any) -> Any:
        end = raw_ns() + round((FIRST if state.pop("first", False) else COST) * 1e9)
        answer = np.full((len(faces), 7), 1 / 7)
        spin(end)
        return answer

    return call


def lindley(arrivals: np.ndarray, cost: float) -> np.ndarray:
    """Latencies of arrivals (seconds) at one server that takes `cost` for each (Lindley 1952)."""
    wait = 0.0
    waits: list[float] = []
    for gap in [np.inf, *np.diff(arrivals)]:
        wait = max(0.0, wait + cost - gap) if waits else 0.0
        waits.append(wait)
    return np.array(waits) + cost


def main() -> int:
    from edgefer.bench.candidates import Candidate
    from edgefer.bench.inputs import drawn
    from edgefer.bench.results import NO_DIFFERENCE, ratio
    from edgefer.bench.runner import measure
    from edgefer.bench.runs import Plan

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each candidate; 10 is the default of bench")
    options = parser.parse_args()
    failed = []

    def check(what: str, value: float, expected: float) -> None:
        off = value / expected - 1
        well = abs(off) <= TOLERANCE
        print(f"{what:44} {value:10.4f}   expected {expected:10.4f}   {off:+7.2%}   {'ok' if well else 'FAILED'}")
        if not well:
            failed.append(what)

    def say(what: str, text: str, well: bool) -> None:
        print(f"{what:44} {text}   {'ok' if well else 'FAILED'}")
        if not well:
            failed.append(what)

    here, pool = str(Path(__file__).resolve()), drawn(8)
    plan = Plan(seconds=options.seconds)
    run = measure(
        [Candidate(how, f"{here}:known", {"how": how}) for how in ("sleep", "busy loop")]
        + [Candidate("heavy", f"{here}:heavy")],
        plan,
        pool,
    )
    sleep, busy, big = run.measured
    check("sleep, median ms", float(np.median(sleep.ns)) / 1e6, COST * 1e3)
    check("busy loop, median ms", float(np.median(busy.ns)) / 1e6, COST * 1e3)
    starts = big.processes
    check("load time, ms", float(np.median([process.load_ns for process in starts])) / 1e6, LOAD * 1e3)
    check("first call, ms", float(np.median([process.first_ns for process in starts])) / 1e6, FIRST * 1e3)
    peaks = [(process.peak_bytes, process.python_bytes) for process in starts]
    grown = [peak - bare for peak, bare in peaks if peak is not None and bare is not None]
    if grown:  # not every system tells
        check("peak memory beyond Python's, MB", float(np.median(grown)) / 1e6, MEMORY / 1e6)

    rate = 0.6 / COST  # busy 60 % of the time: queues form, and clear
    paced = measure([busy.candidate], Plan(seconds=options.seconds, rate=rate), pool).measured[0]
    latencies, expected = [], []
    for block in paced.blocks:
        assert block.queued is not None
        latencies.append(block.kept / 1e9)
        expected.append(lindley((block.starts - block.queued) / 1e9, COST)[block.lead :])
    for q in (0.5, 0.9):
        ours, theory = (float(np.quantile(np.concatenate(part), q)) * 1e3 for part in (latencies, expected))
        check(f"arrivals at {rate:g} a second, p{q * 100:g} ms", ours, theory)

    amounts = {"work": WORK, "same work": WORK, "5 % more work": round(WORK * 1.05)}
    run = measure([Candidate(name, f"{here}:work", {"amount": n}) for name, n in amounts.items()], plan, pool)
    first, same, more = run.measured
    twin, slower = ratio(first, same), ratio(first, more)
    say(
        "the same work twice, ratio",
        f"{twin['value']:.4f} [{twin['low']:.4f}, {twin['high']:.4f}], {twin['verdict']}",
        1 - TOLERANCE <= twin["low"] <= twin["high"] <= 1 + TOLERANCE,
    )
    say(
        "5 % more work, ratio",
        f"{slower['value']:.4f} [{slower['low']:.4f}, {slower['high']:.4f}], {slower['verdict']}",
        slower["verdict"] not in (NO_DIFFERENCE, "faster") and slower["low"] <= 1 / 1.05 <= slower["high"],
    )
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
