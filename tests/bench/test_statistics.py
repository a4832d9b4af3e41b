"""Intervals against scipy's binomial and against coverage on samples with a known median."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from edgefer.bench.statistics import median_interval, paired_ratio


@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 30, 101, 1000, 5000])
def test_ranks_are_binomial_quantiles(n: int) -> None:
    low, high = median_interval(np.arange(n, dtype=float)[::-1].copy())
    rank = 0
    while rank + 1 < n / 2 and binom.cdf(rank, n, 0.5) <= 0.025:
        rank += 1
    # rank r may be used as long as P(fewer than r + 1 values below the median) stays within the tail
    expected = max(0, rank - 1) if binom.cdf(0, n, 0.5) <= 0.025 else 0
    assert (low, high) == (expected, n - 1 - expected)


@pytest.mark.parametrize("n", [12, 50, 200])
def test_coverage(n: int) -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        low, high = median_interval(rng.lognormal(0, 1, n))  # median 1
        inside += low <= 1 <= high
    assert inside / 2000 > 0.94


def test_paired_ratio_cancels_what_both_suffer() -> None:
    rng = np.random.default_rng(1)
    load = rng.lognormal(0, 1, 400)
    ratio, low, high = paired_ratio(load * 3.0, load * 2.0)
    assert ratio == pytest.approx(1.5)
    assert (low, high) == pytest.approx((1.5, 1.5))
