"""Figures from samples made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgefer.bench import environment
from edgefer.bench.results import NO_DIFFERENCE, SCHEMA, ratio, remarks, results, summarise, verdict
from edgefer.bench.runs import Block, Plan, Run
from edgefer.bench.statistics import Interval, quantile
from edgefer.imageset import ImageSet
from tests.bench.conftest import measured

MACHINE: dict[str, Any] = {"cpu": {"usable": 2}, "git": None}
QUIET = {"busy_cpus": 0.0, "load": [0.1, 0.1, 0.1]}


def test_everything_is_json_and_has_its_units(steady_run: Run) -> None:
    found = results([steady_run], environment.record(), environment.moment(), environment.moment(), "edgefer bench x")
    assert json.loads(json.dumps(found)) == found
    assert found["schema"] == SCHEMA
    (run,) = found["runs"]
    base, twice = run["candidates"]
    assert run["plan"]["threads"] == 2
    assert run["images"]["count"] == 6
    assert base["latency_ms"]["p50"]["value"] == pytest.approx(10, abs=0.1)
    assert (base["n"], base["rounds"], base["processes"]) == (
        60,
        12,
        6,
    )
    assert base["latency_ms"]["max"] < 11  # the second-long lead-in calls are not among them
    assert base["latency_ms"]["p90"]["value"] > base["latency_ms"]["p50"]["value"]
    assert base["latency_ms"]["p99"] is None  # 60 samples do not bound it
    assert (base["load_ms"], base["first_call_ms"], base["peak_bytes"]) == (1000, 2, 300_000_000)  # of the first
    assert base["all_load_ms"] == [1000, 2000, 3000, 4000, 5000, 6000]
    assert twice["bytes"] == 4_540_000
    assert base["images_per_second"]["value"] == pytest.approx(100, rel=0.02)
    assert twice["images_per_second"]["value"] == pytest.approx(200, rel=0.02)
    assert base["ratio"] is None
    assert twice["ratio"] == pytest.approx({"value": 2, "low": 2, "high": 2, "verdict": "faster"})
    assert twice["agreement"] == {"images": 3, "same_label": 3, "max_delta": 0, "broken": False}
    assert base["cpus_used"] == pytest.approx(1)
    assert (len(base["round_medians_ms"]), len(base["process_medians_ms"])) == (12, 6)
    assert base["remarks"] == []


def test_batches_count_all_their_images(pool: ImageSet) -> None:
    found = measured("a", [[100.0] * 3] * 8)
    assert summarise(found, found, Plan(batch=32))["images_per_second"]["value"] == pytest.approx(320)


def test_no_verdict_where_the_interval_holds_one() -> None:
    rng = np.random.default_rng(0)
    base = 10 + rng.standard_normal((24, 5))
    a, b = measured("a", base), measured("b", 10 + rng.standard_normal((24, 5)))
    found = ratio(a, b)
    assert found["low"] < 1 < found["high"]
    assert found["verdict"] == NO_DIFFERENCE
    assert ratio(a, measured("c", base * 1.05))["verdict"] == "slower"
    few = ratio(measured("a", [[1.0]] * 5, processes=5), measured("b", [[2.0]] * 5, processes=5))
    assert (few["value"], few["low"], few["verdict"]) == (0.5, None, NO_DIFFERENCE)  # five processes bound nothing
    assert verdict(Interval(1.2, 1.0, 1.4)) == NO_DIFFERENCE
    assert verdict(Interval(1.2, 1.01, 1.4)) == "faster"
    assert verdict(Interval(0.8, 0.7, 0.99)) == "slower"


def test_ratios_within_rounds_cancel_what_both_suffer() -> None:
    """The machine slows both down up to tenfold; 5 % are still seen, and the medians alone would not show it."""
    load = np.random.default_rng(1).uniform(1, 10, (42, 1))
    a, b = measured("a", load * np.ones((1, 3))), measured("b", load * 1.05 * np.ones((1, 3)))
    assert ratio(a, b)["verdict"] == "slower"
    p50 = summarise(b, a, Plan())["latency_ms"]["p50"]
    assert p50["low"] < np.median(a.ns) / 1e6 < p50["high"]


def test_two_processes_of_one_program_differ_and_that_is_no_difference() -> None:
    """Each process is steady, and off by a few percent of its own: a single pair of them would show anything."""
    rng = np.random.default_rng(3)
    wrong = alone = 0
    for _ in range(300):
        layout = np.repeat(np.exp(0.05 * rng.standard_normal((2, 6, 1))), 4, axis=1)
        noise = np.exp(0.005 * rng.standard_normal((2, 24, 3)))
        a, b = (measured(name, 10 * one) for name, one in zip("ab", layout * noise, strict=True))
        wrong += ratio(a, b)["verdict"] != NO_DIFFERENCE
        rounds = quantile(a.processes[0].round_medians / b.processes[0].round_medians, 0.5)
        alone += rounds is None or not rounds.contains(1.0)
    assert wrong / 300 < 0.06
    assert alone / 300 > 0.5


def test_processes_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((42, 25))
    layout = np.repeat(5 * rng.standard_normal((6, 1)), 7, axis=0)
    even, uneven = measured("a", 20 + noise), measured("b", 20 + noise + layout)
    widths = []
    for one in (even, uneven):
        p50 = summarise(one, one, Plan())["latency_ms"]["p50"]
        widths.append(p50["high"] - p50["low"])
    assert widths[0] < 1
    assert widths[1] > 2


def test_what_a_reader_is_told() -> None:
    def lose(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        return tuple(replace(block, unserved=100) for block in blocks)

    steady = [[10.0, 10.1]] * 12
    plan = Plan(warmup=7)
    assert remarks(measured("a", steady), plan) == []
    said = remarks(measured("a", steady, settled=False), plan)[0]
    assert said == "did not settle within 7 s of warm-up in 6 of 6 processes"
    assert "after 12 of its 12 turns" in remarks(measured("a", steady, quiet=False), plan)[0]
    (drifted,) = remarks(measured("a", [[10.0 + number] for number in range(12)]), plan)
    assert drifted.startswith("never steady: its median moved by +71%")
    paced = measured("a", steady, queued=[[1.0, 2.0]] * 12)
    lost = replace(paced, processes=tuple(replace(p, blocks=lose(p.blocks)) for p in paced.processes))
    assert "cannot keep up with 50 calls a second: 1,200" in remarks(lost, Plan(rate=50))[0]


def test_what_is_told_of_the_machine(steady_run: Run) -> None:
    def said(machine: dict[str, Any], load: float | None, busy: float | None = None) -> list[str]:
        before = {"busy_cpus": busy, "load": None if load is None else [load, 0, 0]}
        return list(results([steady_run], machine, before, before, "x")["remarks"])

    assert said(MACHINE, 0.9) == []
    assert said(MACHINE, None) == []
    assert "load 1.5 on 2 CPUs" in said(MACHINE, 1.5)[0]
    assert said(MACHINE, 1.5, busy=0.1) == []  # what made the load has ended
    assert "used 0.8 of 2 CPUs" in said(MACHINE, 0.1, busy=0.8)[0]
    assert said({**MACHINE, "git": "abc"}, 0) == []
    assert "not committed" in said({**MACHINE, "git": "abc-dirty"}, 0)[0]


def test_arrivals(pool: ImageSet) -> None:
    """Two calls a round, 10 ms each, the second 4 ms after the first: 6 ms of waiting, 16 ms of latency."""
    found = measured("a", [[10.0, 16.0]] * 8, queued=[[0.0, 6.0]] * 8)
    figures = summarise(found, found, Plan(rate=100))
    assert figures["images_per_second"] is None
    assert figures["arrivals"]["mean_wait_ms"] == 3
    assert figures["arrivals"]["served"] == 8 * 3
    assert figures["arrivals"]["given_up"] == 0
    assert figures["arrivals"]["utilisation"] == pytest.approx(1)
    assert figures["latency_ms"]["p50"]["value"] == 13


def test_an_empty_run(pool: ImageSet) -> None:
    found = results([Run(Plan(), pool, (), {"a": "does not install"})], MACHINE, QUIET, QUIET, "x")
    assert found["runs"][0]["candidates"] == []
    assert found["runs"][0]["failed"] == {"a": "does not install"}
