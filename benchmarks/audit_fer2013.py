"""Audit FER2013 and compare the copies found with those known from the original pixels.

    python benchmarks/audit_fer2013.py fer2013.npz --out build/audit

The npz holds images, y, usage and train_ncc, the highest correlation of each test image with any training image as
measured on the original pixels. Prints one JSON object: how many copies were found, recall and precision, seconds, and
peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from edgefer.data import audit, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/audit"))
    parser.add_argument("--threshold", type=float, default=0.94)
    options = parser.parse_args()

    dataset = load(options.npz, "fer2013")
    wall, cpu = time.perf_counter(), time.process_time()
    report = audit(dataset, threshold=options.threshold)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    written = report.write_report(options.out)

    rows = np.array([int(face.id) for face in dataset.faces])
    known = np.load(options.npz)["train_ncc"].astype(np.float64)[rows] >= options.threshold
    figures: dict[str, object] = {"images": len(dataset), "threshold": options.threshold}
    for split, name in ((1, "public_test"), (2, "private_test")):
        of_split = report.splits == split
        found = report.in_train["near"][of_split]
        both = int((found & known[of_split]).sum())
        figures[name] = {
            "known": int(known[of_split].sum()),
            "found": int(found.sum()),
            "recall": round(both / max(known[of_split].sum(), 1), 4),
            "precision": round(both / max(found.sum(), 1), 4),
        }
    # Linux gives kilobytes, macOS bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    figures |= {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1), "peak_rss_mb": round(peak / 1e6)}
    figures["report"] = str(written)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
