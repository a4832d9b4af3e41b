"""Has a candidate settled? Before measuring (is it warm) and after it (did it drift)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

AGREE = 5  # windows that must agree
TOLERANCE = 0.05  # how closely
TREND = 10  # or windows without a trend, where the machine is noisy
DRIFT = 0.02  # over a whole run: less is nothing to speak of
SIGNIFICANCE = 0.01
FALLING = 0.1  # of ten windows little can be asked; a false alarm costs more warm-up, no more


@dataclass(frozen=True)
class Drift:
    """What a run's medians did over time.

    Attributes:
        change: from the first round to the last along the Theil-Sen line, as a share of the median.
        p: of the Mann-Kendall test against no trend; 1 with fewer than 4 rounds.
    """

    change: float
    p: float

    @property
    def drifted(self) -> bool:
        """Whether there is a trend that is both certain and large enough to matter."""
        return self.p < SIGNIFICANCE and abs(self.change) > DRIFT


def is_warm(windows: list[float]) -> bool:
    """Whether the windows' medians have stopped falling.

    The last few differ by at most `TOLERANCE` (after Georges et al., OOPSLA 2007); or, since on a noisy machine they
    never will, a few more show no downward trend.
    """
    last = windows[-AGREE:]
    if len(last) == AGREE and max(last) <= min(last) * (1 + TOLERANCE):
        return True
    last = windows[-TREND:]
    if len(last) < TREND:
        return False
    trend = drift(np.array(last))
    return trend.change > -TOLERANCE or trend.p > FALLING


def drift(medians: np.ndarray) -> Drift:
    """Mann-Kendall's test and Theil-Sen's slope over the rounds' medians (Helsel et al., USGS 2020, chapter 12)."""
    n = len(medians)
    if n < 4:
        return Drift(0.0, 1.0)
    first, second = np.triu_indices(n, 1)
    steps = medians[second] - medians[first]
    slope = float(np.median(steps / (second - first)))
    score = float(np.sign(steps).sum())
    ties = np.unique(medians, return_counts=True)[1].astype(float)
    variance = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    change = slope * (n - 1) / float(np.median(medians))
    if variance <= 0:  # all alike
        return Drift(change, 1.0)
    z = (score - math.copysign(1, score)) / math.sqrt(variance) if score else 0.0
    return Drift(change, math.erfc(abs(z) / math.sqrt(2)))
