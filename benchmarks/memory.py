"""Does the runtime leak? Calls a recognizer 100,000 times with every kind of input and watches the process's memory.

    python benchmarks/memory.py build/fer --out benchmarks/results

Writes the samples and a picture. The first tenth is warm-up: allocators settle there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

import edgefer
from edgefer.bench import environment
from edgefer.samples import render


def resident_mb() -> float:
    """Resident memory of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1e3
    raise RuntimeError("no VmRSS in /proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--machine", help="name for the result files (default: made from the processor's)")
    a = parser.parse_args()
    fer = edgefer.load(a.artifact, threads=1)
    face = cv2.cvtColor(render("happiness", 0, 96), cv2.COLOR_RGB2BGR)
    png = cv2.imencode(".png", face)[1].tobytes()
    jpeg = cv2.imencode(".jpg", face)[1].tobytes()
    kinds = [
        lambda: fer(face),
        lambda: fer(png),
        lambda: fer(jpeg),
        lambda: fer([face, png, jpeg]),
        lambda: refused(fer),
    ]
    calls, memory = [], []
    start = time.monotonic()
    for number in range(a.calls + 1):
        if number % (a.calls // 200) == 0:
            calls.append(number)
            memory.append(resident_mb())
            print(f"\r{number:7,} of {a.calls:,} calls  {memory[-1]:.1f} MB", end="", flush=True)
        kinds[number % len(kinds)]()
    settled = memory[len(memory) // 10 :]
    slope = float(np.polyfit(calls[len(memory) // 10 :], settled, 1)[0]) * 1e5
    trend = f"trend {slope:+.2f} MB per 100,000 calls"
    verdict = f"{settled[0]:.1f} MB after the warm-up, {settled[-1]:.1f} MB at the end; {trend}"
    print(f"\n{verdict}; {time.monotonic() - start:.0f} s")
    if a.out is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    about = environment.record()
    stem = a.out / f"{about['time_utc'][:10]}-{a.machine or environment.machine_name(about)}-memory"
    a.out.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(8, 3), layout="constrained")
    axes.plot(np.array(calls) / 1000, memory)
    axes.set_ylim(0, max(memory) * 1.15)
    axes.set_xlabel("thousand calls (arrays, PNG, JPEG, lists and refused input in turn)")
    axes.set_ylabel("resident memory, MB")
    axes.set_title(
        f"{fer.artifact.manifest.architecture.get('name', '')} {fer.artifact.manifest.precision}, {fer.engine.name}"
    )
    figure.savefig(stem.with_suffix(".png"), dpi=120)
    values = {
        "command": "python benchmarks/memory.py ARTIFACT",
        "machine": environment.describe(about),
        "verdict": verdict,
        "calls": calls,
        "mb": memory,
    }
    stem.with_suffix(".json").write_text(json.dumps(values) + "\n", "utf-8")


def refused(fer: edgefer.Recognizer) -> None:
    """Errors must not keep what they were about."""
    for wrong in (b"no image", np.full((4, 4), np.nan)):
        try:
            fer(wrong)
        except edgefer.ImageError:
            continue
        raise AssertionError("wrong input was accepted")


if __name__ == "__main__":
    main()
