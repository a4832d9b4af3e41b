"""Measure how fast a folder of JPEG files is packed, beside a plain Pillow loop over the same files.

    python benchmarks/pack_speed.py --out benchmarks/results

Makes its own files in a temporary folder: smooth random pictures with noise, JPEG quality 90, about as large as a face
crop of that side. Images a second, the ratio to the plain loop round by round, and the peak memory of the process. Each
way runs in a fresh process, in turn, and reads files that are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shlex
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from edgefer.bench import environment
from edgefer.bench.statistics import paired_ratio
from edgefer.data import load, pack
from edgefer.emotions import EMOTIONS
from edgefer.files import replace_file
from edgefer.preprocess import Preprocess

BASE = "pillow loop, 1 thread"


def make_files(root: Path, images: int, side: int) -> int:
    """Write `images` JPEG files as class folders; return their total size in bytes."""
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(32):
        smooth = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
        encoded.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    for emotion in EMOTIONS:
        (root / "train" / emotion).mkdir(parents=True)
    for i in range(images):
        (root / "train" / EMOTIONS[i % 7] / f"{i:07d}.jpg").write_bytes(encoded[i % 32])
    return sum(len(encoded[i % 32]) for i in range(images))


def pack_ours(root: Path, out: Path, threads: int, resize: str) -> None:
    pack(load(root, "folder"), Preprocess(resize=resize), out, threads=threads)


def pack_pillow(root: Path, out: Path) -> None:
    """The plain way: open, convert, resize, stack, save."""
    from PIL import Image

    rows = [
        np.asarray(Image.open(file).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))
        for file in sorted((root / "train").rglob("*.jpg"))
    ]
    np.save(out, np.stack(rows))


def measured(job: object, *arguments: object) -> dict[str, float]:
    """Run a job in a fresh process; return seconds and its peak memory in MB."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_timed, args=(send, job, arguments))
    process.start()
    result: dict[str, float] = receive.recv()
    process.join()
    return result


def _timed(send: multiprocessing.connection.Connection, job: object, arguments: tuple[object, ...]) -> None:
    assert callable(job)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux gives kilobytes, macOS bytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    start = time.perf_counter()
    job(*arguments)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    send.send({"seconds": seconds, "peak_rss_mb": peak / 1e6, "peak_rss_growth_mb": (peak - before) / 1e6})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=8, help="fewer than 6 give no interval")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--machine", help="name for the result file (default: made from the processor's)")
    options = parser.parse_args()
    about = environment.record()
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "set", Path(folder) / "out.safetensors"
        size = make_files(root, options.images, options.side)
        ways: dict[str, tuple[object, ...]] = {
            BASE: (pack_pillow, root, out.with_suffix(".npy")),
            "pack, 1 thread": (pack_ours, root, out, 1, "pillow"),
            f"pack, {options.threads} threads": (pack_ours, root, out, options.threads, "pillow"),
            f"pack, {options.threads} threads, resize area": (pack_ours, root, out, options.threads, "area"),
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, (job, *arguments) in ways.items():
                runs[name].append(measured(job, *arguments))
    rows = []
    base = np.array([run["seconds"] for run in runs[BASE]])
    for name, done in runs.items():
        seconds = np.array([run["seconds"] for run in done])
        ratio, low, high = paired_ratio(base, seconds)
        rate, peak = options.images / float(np.median(seconds)), max(run["peak_rss_mb"] for run in done)
        rows.append(
            {
                "way": name,
                "images_per_second": rate,
                "ratio": ratio,
                "low": low,
                "high": high,
                "peak_mb": peak,
                "peak_growth_mb": max(run["peak_rss_growth_mb"] for run in done),
                "seconds": seconds.tolist(),
            }
        )
        print(f"{name:28} {rate:8,.0f} images/s  {ratio:5.2f} [{low:.2f}, {high:.2f}]  peak {peak:6.1f} MB")
    if options.out is not None:
        date = about["time_utc"][:10]
        values = {
            "date": date,
            "command": shlex.join(["python", "benchmarks/pack_speed.py", *sys.argv[1:]]),
            "machine": environment.describe(about),
            "settings": {"images": options.images, "side": options.side, "source_mb": round(size / 1e6, 1)},
            "results": rows,
        }
        path = options.out / f"{date}-{options.machine or environment.machine_name(about)}-pack-speed.json"
        with replace_file(path) as partial:
            partial.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
        print(f"written    {path}")


if __name__ == "__main__":
    main()
