"""What samples of a duration say, without assuming their distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval; `low` and `high` are None where there are too few samples for one."""

    value: float
    low: float | None
    high: float | None

    def scaled(self, factor: float) -> Interval:
        """In another unit; `factor` is above 0."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Interval(self.value * factor, low, high)

    def contains(self, value: float) -> bool:
        """Whether `value` cannot be ruled out: it lies within, or there is no interval."""
        return self.low is None or self.high is None or self.low <= value <= self.high


def ranks(n: int, q: float, level: float = LEVEL) -> tuple[int, int] | None:
    """Ranks (l, u), from 1, of the two of `n` ordered samples that hold their `q` quantile; None if no two do.

    P(X_(l) <= quantile <= X_(u)) is a sum of binomial(n, q) probabilities, whatever the distribution (Conover 1999,
    section 3.2); each end leaves out at most (1 - level) / 2.
    """
    tail = (1 - level) / 2
    cumulative = _binomial_cdf(n, q)  # P(at most k samples lie below the quantile), k = 0..n
    low = int(np.searchsorted(cumulative, tail, side="right"))  # the largest l with P(fewer than l below) <= tail
    high = int(np.searchsorted(cumulative, 1 - tail, side="left")) + 1  # the least u with P(u or more below) <= tail
    return (low, high) if low >= 1 and high <= n else None


def quantile(samples: np.ndarray, q: float, level: float = LEVEL) -> Interval | None:
    """The `q` quantile of samples [n] with a distribution-free interval, or None if they are too few to bound it.

    Too few for 95 % are less than 6 for the median, 36 for p90, 368 for p99, 3,688 for p99.9. The samples must be
    independent; where they come in groups that are not, see `grouped_quantile`.
    """
    found = ranks(len(samples), q, level) if len(samples) else None
    if found is None:
        return None
    ordered = np.sort(samples)
    return Interval(float(np.quantile(ordered, q)), float(ordered[found[0] - 1]), float(ordered[found[1] - 1]))


def grouped_quantile(groups: Sequence[np.ndarray], q: float, level: float = LEVEL) -> Interval | None:
    """The `q` quantile of all samples, with an interval that also holds what differs between groups.

    What a process got of the memory, and what a shared machine does meanwhile, lasts longer than a call, so that calls
    of one process resemble each other and are worth less than their number. The interval spans two: that of all
    samples as if they were independent, and that of the median of the groups' own quantiles. None if all samples
    together are too few for the quantile; no ends if the groups are too few for a median.
    """
    alone = quantile(np.concatenate(groups), q, level)
    if alone is None or alone.low is None or alone.high is None:
        return None
    between = quantile(np.array([np.quantile(group, q) for group in groups]), 0.5, level)
    if between is None or between.low is None or between.high is None:
        return Interval(alone.value, None, None)
    return Interval(alone.value, min(alone.low, between.low), max(alone.high, between.high))


def median_interval(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Confidence interval of the median, as in `quantile`; with too few samples for `level` it is the whole range."""
    found = quantile(samples, 0.5, level)
    if found is None or found.low is None or found.high is None:
        return float(samples.min()), float(samples.max())
    return found.low, found.high


def paired_ratio(base: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """How many times faster `other` is than `base`: median of the ratios round by round, with its interval.

    Both must come from the same interleaved run: a ratio within a round cancels what the machine did in that round.
    """
    ratios = base / other
    low, high = median_interval(ratios)
    return float(np.median(ratios)), low, high


def unpaired_ratio(base: np.ndarray, other: np.ndarray, level: float = LEVEL) -> Interval:
    """How many times as long `other` takes as `base` when they were measured apart: the Hodges-Lehmann estimate.

    The median of all ratios of one of `other` to one of `base`, and the interval that the Wilcoxon rank-sum test does
    not reject (Hollander, Wolfe and Chicken 2014, section 4.3, on logarithms; normal approximation of the rank). No
    ends with fewer than 6 values on either side.
    """
    ratios = np.sort((other[:, None] / base[None, :]).ravel())
    m, n = len(base), len(other)
    value = float(np.median(ratios))
    if min(m, n) < 6:
        return Interval(value, None, None)
    spread = math.sqrt(m * n * (m + n + 1) / 12)
    rank = max(1, math.floor(m * n / 2 - NormalDist().inv_cdf((1 + level) / 2) * spread))
    return Interval(value, float(ratios[rank - 1]), float(ratios[m * n - rank]))


def _binomial_cdf(n: int, q: float) -> np.ndarray:
    """P(binomial(n, q) <= k) for k = 0..n, float64 [n + 1]; in logarithms, since the coefficients overflow."""
    k = np.arange(n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_terms = factorials[n] - factorials - factorials[::-1] + k * math.log(q) + (n - k) * math.log1p(-q)
    return np.cumsum(np.exp(log_terms))
