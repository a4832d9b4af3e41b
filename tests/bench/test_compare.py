"""Old results and new ones: regressions beyond the tolerance, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bench.compare import compare, describe, read
from edgefer.bench.results import NO_DIFFERENCE, SCHEMA
from edgefer.errors import DataError, UsageError


def results(**medians: Any) -> dict[str, Any]:
    """A results.json as far as comparing reads it."""
    candidates = [
        {"name": name, "boundary": "host", "process_medians_ms": list(values)} for name, values in medians.items()
    ]
    plan = {"boundary": "host", "batch": 1, "threads": 2, "rate": None}
    machine = {"cpu": {"model": "one", "usable": 2}, "gpu": [], "packages": {"onnxruntime": "1.32.0"}}
    runs = [{"plan": plan, "candidates": candidates, "failed": {}}]
    return {"schema": SCHEMA, "environment": machine, "remarks": [], "runs": runs}


def rounds(median: float, seed: int, spread: float = 0.01) -> np.ndarray:
    return median * np.exp(spread * np.random.default_rng(seed).standard_normal(40))


@pytest.mark.parametrize(
    ("factor", "tolerance", "verdict", "regressed"),
    [
        (1.0, 0.05, NO_DIFFERENCE, False),
        (1.2, 0.05, "slower", True),
        (1.03, 0.05, "slower, within the tolerance", False),
        (1.03, 0.0, "slower", True),
        (0.8, 0.05, "faster", False),
    ],
)
def test_verdicts(factor: float, tolerance: float, verdict: str, regressed: bool) -> None:
    found = compare(results(a=rounds(10, 0)), results(a=rounds(10 * factor, 1)), tolerance)
    (change,) = found.changes
    assert change.verdict == verdict
    assert found.regressed is change.regressed is regressed
    assert change.slower.value == pytest.approx(factor, rel=0.01)
    assert change.old_ms == pytest.approx(10, rel=0.01)
    assert describe(change.key) == "a (host, batch 1, 2 threads)"


def test_a_noisy_difference_is_no_regression() -> None:
    """The medians differ by more than the tolerance, and the interval does not exclude it."""
    found = compare(results(a=rounds(10, 0, 0.5)), results(a=rounds(11.5, 3, 0.5)), 0.05)
    assert found.changes[0].new_ms > 1.05 * found.changes[0].old_ms
    assert not found.regressed


def test_too_few_rounds_show_nothing() -> None:
    found = compare(results(a=[1.0] * 5), results(a=[9.0] * 5))
    assert found.changes[0].verdict == NO_DIFFERENCE
    assert not found.regressed


def test_what_must_be_known() -> None:
    old, new = results(a=rounds(1, 0), b=rounds(1, 0)), results(a=rounds(1, 1), c=rounds(1, 0))
    new["environment"] = {**new["environment"], "cpu": {"model": "two", "usable": 2}, "packages": {"torch": "2"}}
    new["remarks"] = ["other work was running"]
    said = compare(old, new).remarks
    assert said[:2] == [
        "only in the old results: b (host, batch 1, 2 threads)",
        "only in the new results: c (host, batch 1, 2 threads)",
    ]
    assert any("CPU was one and is two" in text for text in said)
    assert "onnxruntime was 1.32.0 and is absent" in said
    assert "torch was absent and is 2" in said
    assert said[-1] == "new: other work was running"


def test_nothing_in_common_and_a_negative_tolerance() -> None:
    with pytest.raises(UsageError, match="in common"):
        compare(results(a=[1.0]), results(b=[1.0]))
    with pytest.raises(UsageError, match="tolerance"):
        compare(results(a=[1.0]), results(a=[1.0]), -0.1)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(DataError, match="cannot be read"):
        read(path)
    for text, says in (("{", "not JSON"), ("[]", "no bench results"), ('{"schema": 99, "runs": []}', "schema 99")):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            read(path)
    path.write_text(json.dumps(results(a=[1.0])))
    assert read(path)["schema"] == SCHEMA
