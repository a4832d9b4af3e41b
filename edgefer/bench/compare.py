"""Two results.json, an old one and a new one: has something become slower? For a CI that keeps its last results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.bench.results import NO_DIFFERENCE, SCHEMA
from edgefer.bench.statistics import Interval, unpaired_ratio
from edgefer.errors import DataError, UsageError

Key = tuple[str, str, int, int, float | None]  # candidate, boundary, batch, threads, rate
TOLERANCE = 0.05


@dataclass(frozen=True)
class Change:
    """One candidate in one setting, then and now.

    Attributes:
        key: candidate, boundary, batch, threads and rate.
        old_ms, new_ms: median latencies.
        slower: how many times as long it takes now, with a 95 % interval over the processes of both runs.
        regressed: the whole interval lies beyond 1 + tolerance.
    """

    key: Key
    old_ms: float
    new_ms: float
    slower: Interval
    regressed: bool

    @property
    def verdict(self) -> str:
        """In words."""
        if self.slower.contains(1.0):
            return NO_DIFFERENCE
        if self.regressed:
            return "slower"
        return "slower, within the tolerance" if self.slower.value > 1 else "faster"


@dataclass(frozen=True)
class Comparison:
    """All changes, and what a reader must know: other machines, settings that only one side has."""

    changes: list[Change]
    remarks: list[str]

    @property
    def regressed(self) -> bool:
        """Whether anything did."""
        return any(change.regressed for change in self.changes)


def read(path: Path) -> dict[str, Any]:
    """Read a results.json.

    Raises:
        DataError: it is missing, no such file, or of another schema.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise DataError(f"{path} cannot be read: {reason}.", "pass a results.json of `edgefer bench --out`.") from None
    if not isinstance(found, dict) or "schema" not in found or "runs" not in found:
        raise DataError(f"{path} holds no bench results.", "pass a results.json of `edgefer bench --out`.")
    if found["schema"] != SCHEMA:
        raise DataError(
            f"{path} has results schema {found['schema']}; this version reads {SCHEMA}.", "measure it again."
        )
    return found


def compare(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float = TOLERANCE) -> Comparison:
    """Compare medians, candidate by candidate and setting by setting.

    The runs were apart, so nothing pairs their rounds: what the machine did differently counts as a change, and only
    the tolerance covers it.

    Raises:
        UsageError: they have nothing in common, or the tolerance is negative.
    """
    if tolerance < 0:
        raise UsageError(f"--tolerance {tolerance:g} cannot be.", "0.05 lets something become 5 % slower.")
    before, now = _rows(old), _rows(new)
    common = [key for key in before if key in now]
    if not common:
        raise UsageError(
            "the two results have no candidate and setting in common.", "measure the same artifacts again."
        )
    changes = []
    for key in common:
        a, b = before[key], now[key]
        slower = unpaired_ratio(np.array(a["process_medians_ms"]), np.array(b["process_medians_ms"]))
        then, today = (float(np.median(row["process_medians_ms"])) for row in (a, b))
        beyond = slower.low is not None and slower.low > 1 + tolerance
        changes.append(Change(key, then, today, slower, beyond))
    return Comparison(changes, _differences(old, new, before, now))


def _rows(results: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    found: dict[Key, Mapping[str, Any]] = {}
    for run in results["runs"]:
        plan = run["plan"]
        for row in run["candidates"]:
            found[row["name"], row["boundary"], plan["batch"], plan["threads"], plan["rate"]] = row
    return found


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], before: Mapping[Key, Any], now: Mapping[Key, Any]
) -> list[str]:
    said = [f"only in the old results: {describe(key)}" for key in before if key not in now]
    said += [f"only in the new results: {describe(key)}" for key in now if key not in before]
    for what, get in {
        "CPU": lambda e: e["cpu"]["model"],
        "number of CPUs": lambda e: e["cpu"]["usable"],
        "GPU": lambda e: ", ".join(gpu["name"] for gpu in e["gpu"]) or "none",
    }.items():
        a, b = get(old["environment"]), get(new["environment"])
        if a != b:
            said.append(f"not the same machine: the {what} was {a} and is {b}; absolute times do not compare")
    for name in sorted({*old["environment"]["packages"], *new["environment"]["packages"]}):
        a, b = (results["environment"]["packages"].get(name) for results in (old, new))
        if a != b:
            said.append(f"{name} was {a or 'absent'} and is {b or 'absent'}")
    said += [f"old: {text}" for text in old["remarks"]] + [f"new: {text}" for text in new["remarks"]]
    return said


def describe(key: Key) -> str:
    """ "fer, onnx fp32 (host, batch 1, 2 threads)"."""
    name, boundary, batch, threads, rate = key
    paced = f", {rate:g} calls a second" if rate else ""
    return f"{name} ({boundary}, batch {batch}, {threads} thread{'s' if threads != 1 else ''}{paced})"
