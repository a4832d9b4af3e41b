"""Intervals against scipy, closed forms, and coverage on samples whose quantiles are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom

from edgefer.bench.statistics import (
    Interval,
    grouped_quantile,
    median_interval,
    paired_ratio,
    quantile,
    ranks,
    unpaired_ratio,
)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 30, 36, 101, 367, 368, 1000, 3687, 3688, 5000, 100_000])
def test_ranks_are_binomial_quantiles(n: int, q: float) -> None:
    below = binom.cdf(np.arange(n + 1), n, q)
    low = next((r for r in range(n, 0, -1) if below[r - 1] <= 0.025), 0)
    high = next((r for r in range(1, n + 1) if below[r - 1] >= 0.975), n + 1)
    assert ranks(n, q) == ((low, high) if low and high <= n else None)


def test_how_many_samples_a_quantile_takes() -> None:
    """P(all n below the quantile) = q**n must fit into a tail: n >= log(0.025) / log(q), the closed form."""
    for q in (0.5, 0.9, 0.99, 0.999):
        n = int(np.ceil(np.log(0.025) / np.log(q)))
        assert quantile(np.arange(n - 1.0), q) is None
        found = quantile(np.arange(float(n)), q)
        assert found is not None
        assert found.high == n - 1


def test_the_interval_is_the_order_statistics() -> None:
    samples = np.random.default_rng(0).permutation(1000).astype(float)
    assert quantile(samples, 0.9) == Interval(899.1, 880.0, 918.0)  # ranks 881 and 919
    assert binom.cdf(880, 1000, 0.9) <= 0.025 < binom.cdf(881, 1000, 0.9)
    assert binom.cdf(917, 1000, 0.9) < 0.975 <= binom.cdf(918, 1000, 0.9)
    assert quantile(np.array([]), 0.5) is None


@pytest.mark.parametrize("n", [12, 50, 200])
@pytest.mark.parametrize("q", [0.5, 0.75])
def test_coverage(n: int, q: float) -> None:
    rng = np.random.default_rng(0)
    truth = float(stats.lognorm(1).ppf(q))
    inside = 0
    for _ in range(2000):
        found = quantile(rng.lognormal(0, 1, n), q)
        if found is None:
            assert n < 13
            inside += 1
        else:
            inside += found.contains(truth)
    assert inside / 2000 > 0.94


@pytest.mark.parametrize(("count", "size"), [(40, 25), (6, 100), (10, 10)])
@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_samples_that_come_in_groups(count: int, size: int, spread: float) -> None:
    """Processes that differ: the interval of all samples misses far too often, the one over groups as well does not."""
    rng = np.random.default_rng(2)
    plain = grouped = 0
    for _ in range(400):
        groups = [np.exp(spread * rng.normal() + 0.3 * rng.normal(size=size)) for _ in range(count)]
        narrow, wide = quantile(np.concatenate(groups), 0.5), grouped_quantile(groups, 0.5)
        assert narrow is not None
        assert wide is not None
        assert wide.low is not None
        assert wide.high is not None
        assert wide.low <= wide.value <= wide.high
        plain += narrow.contains(1.0)
        grouped += wide.contains(1.0)
    assert grouped / 400 > 0.94
    if spread == 1:
        assert plain / 400 < 0.6


def test_too_few_groups_or_samples() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=100) for _ in range(5)]
    found = grouped_quantile(groups, 0.5)
    assert found is not None
    assert (found.value, found.low, found.high) == (float(np.median(np.concatenate(groups))), None, None)
    assert grouped_quantile(groups, 0.999) is None
    six = grouped_quantile([np.full(3, float(value)) for value in range(6)], 0.5)
    assert six == Interval(2.5, 0.0, 5.0)  # the range of six medians


def test_median_interval_of_few_samples_is_their_range() -> None:
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)
    assert median_interval(np.arange(101.0)) == (40.0, 60.0)


def test_paired_ratio_cancels_what_both_suffer() -> None:
    rng = np.random.default_rng(1)
    load = rng.lognormal(0, 1, 400)
    ratio, low, high = paired_ratio(load * 3.0, load * 2.0)
    assert ratio == pytest.approx(1.5)
    assert (low, high) == pytest.approx((1.5, 1.5))


def test_unpaired_ratio_is_what_the_rank_sum_test_does_not_reject() -> None:
    rng = np.random.default_rng(4)
    base, other = rng.lognormal(0, 0.1, 40), 1.05 * rng.lognormal(0, 0.1, 30)
    found = unpaired_ratio(base, other)
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(np.median(np.divide.outer(other, base)))
    for factor, rejected in ((found.low * 0.998, True), (found.low * 1.002, False), (found.high * 1.002, True)):
        p = stats.mannwhitneyu(other / factor, base, method="asymptotic", use_continuity=False).pvalue
        assert (p < 0.05) == rejected
    assert unpaired_ratio(base[:5], other).low is None


def test_coverage_of_the_unpaired_ratio() -> None:
    rng = np.random.default_rng(5)
    inside = [
        unpaired_ratio(rng.lognormal(0, 0.2, 12), 1.1 * rng.lognormal(0, 0.2, 15)).contains(1.1) for _ in range(1000)
    ]
    assert 0.93 < np.mean(inside) < 0.975


def test_an_interval_in_another_unit() -> None:
    assert Interval(2.0, 1.0, None).scaled(1e3) == Interval(2000.0, 1000.0, None)
    assert Interval(2.0, None, None).contains(99)
    assert not Interval(2.0, 1.0, 3.0).contains(3.1)
