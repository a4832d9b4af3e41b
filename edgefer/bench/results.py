"""From samples to figures: the dictionary that is written as results.json and read by --compare.

Durations are milliseconds, sizes bytes. An interval is {"value", "low", "high"}; low and high are null where there are
too few samples for one, and the whole is null where there are too few for the estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from edgefer import __version__
from edgefer.bench.agreement import agreement
from edgefer.bench.runs import Block, Measured, Plan, Run
from edgefer.bench.statistics import LEVEL, Interval, grouped_quantile, quantile
from edgefer.bench.steady import drift

SCHEMA = 1
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
NO_DIFFERENCE = "no difference shown"
BUSY = 0.1  # share of the CPUs in use before the run from which on other work is worth a remark
UNSTEADY = "never steady"
LOAD = 0.5  # load a CPU, where only that is told


def results(
    runs: Sequence[Run],
    environment: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    command: str,
) -> dict[str, Any]:
    """Everything that is reported about some runs.

    Args:
        runs: as `measure` returned them.
        environment, before, after: as `environment.record` and `environment.moment` returned them.
        command: what the user typed.
    """
    return {
        "schema": SCHEMA,
        "tool": f"edgefer {__version__}",
        "command": command,
        "level": LEVEL,
        "environment": dict(environment),
        "before": dict(before),
        "after": dict(after),
        "remarks": _machine_remarks(environment, before),
        "runs": [_run(run) for run in runs],
    }


def _run(run: Run) -> dict[str, Any]:
    first = run.measured[0] if run.measured else None
    return {
        "plan": asdict(run.plan),
        "images": {"source": run.pool.source, "count": len(run.pool.images), "sha256": run.pool.sha256},
        "candidates": [summarise(measured, first or measured, run.plan) for measured in run.measured],
        "failed": dict(run.failed),
    }


def summarise(measured: Measured, first: Measured, plan: Plan) -> dict[str, Any]:
    """Figures of one candidate, with its ratio to `first`."""
    candidate = measured.candidate
    same = agreement(first, measured)
    trend = drift(measured.round_medians)
    blocks, processes = measured.blocks, measured.processes
    first_process = processes[0]  # what it left behind (compiled code, files in memory) the later ones may find
    return {
        "name": candidate.name,
        "boundary": candidate.boundary or plan.boundary,
        "images": candidate.pool.source if candidate.pool else None,
        "details": {**candidate.details, **measured.about},
        "clock": measured.clock,
        "n": len(measured.ns),
        "processes": len(processes),
        "rounds": len(blocks),
        "latency_ms": latency(measured),
        "images_per_second": None if plan.rate else _dict(throughput(measured, plan.batch)),
        "ratio": None if measured is first else ratio(first, measured),
        "load_ms": first_process.load_ns / 1e6,
        "first_call_ms": first_process.first_ns / 1e6,
        "bind_ms": first_process.bind_ns / 1e6,
        "bytes": candidate.bytes,
        "peak_bytes": _largest(process.peak_bytes for process in processes),
        "python_bytes": _largest(process.python_bytes for process in processes),
        "device_bytes": _largest(process.device_bytes for process in processes),
        "cpus_used": sum(block.cpu_ns for block in blocks) / sum(map(_span, blocks)),
        "accuracy": candidate.accuracy,
        "agreement": asdict(same) if same else None,
        "warmup": {
            "calls": sum(len(process.warmup.ns) for process in processes),
            "seconds": sum(float(process.warmup.ns.sum()) for process in processes) / 1e9,
            "settled": sum(process.warmup.settled for process in processes),
        },
        "drift": {"change": trend.change, "p": trend.p},
        "arrivals": arrivals(measured) if plan.rate else None,
        "remarks": remarks(measured, plan),
        "process_medians_ms": (measured.process_medians / 1e6).tolist(),
        "round_medians_ms": (measured.round_medians / 1e6).tolist(),
        "all_load_ms": [process.load_ns / 1e6 for process in processes],
        "all_first_call_ms": [process.first_ns / 1e6 for process in processes],
    }


def latency(measured: Measured) -> dict[str, Any]:
    """Least, mean, largest and quantiles of all samples, in ms."""
    ns, processes = measured.ns, [process.ns for process in measured.processes]
    found: dict[str, Any] = {"min": float(ns.min()) / 1e6, "mean": float(ns.mean()) / 1e6, "max": float(ns.max()) / 1e6}
    return found | {name: _dict(grouped_quantile(processes, q), 1e-6) for name, q in QUANTILES.items()}


def throughput(measured: Measured, batch: int) -> Interval:
    """Images a second with calls back to back: median over the processes, with its interval."""
    rates = [
        batch * 1e9 * sum(len(block.kept) for block in p.blocks) / sum(int(block.kept.sum()) for block in p.blocks)
        for p in measured.processes
    ]
    return of_processes(np.array(rates))


def ratio(first: Measured, other: Measured) -> dict[str, Any]:
    """How many times faster `other` is than `first`, and what that shows.

    Each pair of processes gives one ratio: the median of those round by round. The estimate is their median.
    """
    found = of_processes(paired(first, other))
    return {**asdict(found), "verdict": verdict(found)}


def paired(first: Measured, other: Measured) -> np.ndarray:
    """Times faster in each pair of processes, float64 [processes]."""
    pairs = zip(first.processes, other.processes, strict=True)
    return np.array([np.median(a.round_medians / b.round_medians) for a, b in pairs])


def of_processes(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Median of a value a process, with its interval; no ends if there are too few processes for `level`."""
    return quantile(values, 0.5, level) or Interval(float(np.median(values)), None, None)


def verdict(times_faster: Interval) -> str:
    """In words; an interval that holds 1 shows nothing."""
    if times_faster.contains(1.0):
        return NO_DIFFERENCE
    return "faster" if times_faster.value > 1 else "slower"


def arrivals(measured: Measured) -> dict[str, Any]:
    """What happened to the arrivals: served, given up, share of the time at work, and waiting time in ms."""
    blocks = measured.blocks
    waited = np.concatenate([block.queued[block.lead :] for block in blocks if block.queued is not None])
    service = sum(int((block.ns - block.queued).sum()) for block in blocks if block.queued is not None)
    return {
        "served": sum(len(block.ns) for block in blocks),
        "given_up": sum(block.unserved for block in blocks),
        "utilisation": service / sum(map(_span, blocks)),
        "mean_wait_ms": float(waited.mean()) / 1e6,
    }


def remarks(measured: Measured, plan: Plan) -> list[str]:
    """What a reader must know before believing the figures."""
    said = []
    unsettled, count = sum(not process.warmup.settled for process in measured.processes), len(measured.processes)
    if unsettled:
        said.append(f"did not settle within {plan.warmup:g} s of warm-up in {unsettled} of {count} processes")
    trend = drift(measured.round_medians)
    if trend.drifted:
        said.append(f"{UNSTEADY}: its median moved by {trend.change:+.0%} over the run (p = {trend.p:.1g})")
    busy = sum(not block.quiet for block in measured.blocks)
    if busy:
        said.append(
            f"went on using the CPU after {busy} of its {len(measured.blocks)} turns, which may slow the others"
        )
    lost = sum(block.unserved for block in measured.blocks)
    if lost:
        said.append(f"cannot keep up with {plan.rate:g} calls a second: {lost:,} of them were given up")
    return said


def _machine_remarks(environment: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    said = []
    busy, load, cpus = before["busy_cpus"], before["load"], environment["cpu"]["usable"] or 1
    if busy is not None and busy > BUSY * cpus:
        said.append(f"other work was running: it used {busy:.1f} of {cpus} CPUs before the run; trust ratios only")
    elif busy is None and load is not None and load[0] > LOAD * cpus:
        said.append(f"other work was running: load {load[0]:.1f} on {cpus} CPUs before the run; trust ratios only")
    if (environment["git"] or "").endswith("-dirty"):
        said.append("the code had changes that are not committed")
    return said


def _span(block: Block) -> int:
    """ns from the first call of a block, or its arrival, to the last answer."""
    queued = np.zeros_like(block.ns) if block.queued is None else block.queued
    return int(block.starts[-1] + block.ns[-1] - queued[-1] - (block.starts[0] - queued[0]))


def _dict(interval: Interval | None, factor: float = 1.0) -> dict[str, Any] | None:
    return asdict(interval.scaled(factor)) if interval else None


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
