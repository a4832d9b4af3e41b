"""The scripts in benchmarks/ are no package: their folder goes on the path, as when they run."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
for folder in (BENCHMARKS, BENCHMARKS / "peers" / "adapters"):
    sys.path.append(str(folder))
