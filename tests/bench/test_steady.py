"""Trends against scipy, and what counts as settled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgefer.bench.steady import Drift, drift, is_warm


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slope", [0.0, 0.01, -0.05])
def test_against_scipy(seed: int, slope: float) -> None:
    """Kendall's tau over time is Mann-Kendall's test without its continuity correction, which only raises p."""
    rng = np.random.default_rng(seed)
    n = 40
    values = 10 * (1 + slope * np.arange(n)) + rng.standard_normal(n)
    found = drift(values)
    theil = stats.theilslopes(values, np.arange(n))[0]
    assert found.change == pytest.approx(theil * (n - 1) / np.median(values))
    tau = stats.kendalltau(np.arange(n), values, method="asymptotic")
    assert found.p >= tau.pvalue - 1e-12
    z = stats.norm.isf(found.p / 2)
    pairs = n * (n - 1) / 2
    spread = np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    assert z == pytest.approx(max(0.0, (abs(tau.statistic) * pairs - 1) / spread), abs=1e-6)


def test_ties_reduce_the_variance() -> None:
    values = np.array([1, 1, 2, 2, 3, 3, 3, 5, 5, 6], float)
    n, ties = 10, np.array([2, 2, 3, 2, 1])
    variance = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    score = sum(np.sign(values[j] - values[i]) for i in range(n) for j in range(i + 1, n))
    assert drift(values).p == pytest.approx(2 * stats.norm.sf((score - 1) / np.sqrt(variance)))
    assert drift(np.ones(9)) == Drift(0.0, 1.0)


def test_false_alarms_are_rare() -> None:
    rng = np.random.default_rng(1)
    alarms = [drift(10 + rng.standard_normal(30)).p < 0.01 for _ in range(2000)]
    assert np.mean(alarms) < 0.02


def test_what_counts_as_drift() -> None:
    rising = np.linspace(10, 11, 20)
    assert drift(rising).drifted
    assert drift(rising).change == pytest.approx(1 / 10.5)
    assert not drift(np.linspace(10, 10.1, 20)).drifted  # certain, and of no importance
    assert not drift(np.array([10.0, 12, 10, 12, 10, 12])).drifted  # large, and no trend
    assert not drift(np.array([1.0, 2, 3])).drifted  # too few to tell


def test_warm() -> None:
    assert not is_warm([10, 10, 10, 10])
    assert is_warm([99, 10, 10.2, 10.4, 10, 10.5])
    assert not is_warm([10, 10, 10, 10, 10.6])


def test_noise_is_not_warming_up() -> None:
    """A noisy machine never gives five medians within 5 %; ten without a downward trend will do."""
    rng = np.random.default_rng(0)
    settled = [is_warm(list(10 * np.exp(0.2 * rng.standard_normal(10)))) for _ in range(500)]
    assert np.mean(settled) > 0.9
    falling = [is_warm(list(np.linspace(20, 10, 10) * np.exp(0.05 * rng.standard_normal(10)))) for _ in range(500)]
    assert np.mean(falling) < 0.02
    assert is_warm(list(np.linspace(10, 20, 10)))  # getting slower is drift, and told as such
