"""What samples of a duration say, without assuming their distribution."""

from __future__ import annotations

import numpy as np


def median_interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Distribution-free confidence interval of the median: two order statistics whose ranks are binomial quantiles.

    P(X_(l) <= median <= X_(u)) is a sum of binomial(n, 1/2) probabilities (Conover 1999, section 3.2). With too few
    samples for `level` it is the whole range.
    """
    ordered = np.sort(samples)
    n = len(ordered)
    tail = (1 - level) / 2
    # Cumulative binomial(n, 1/2), built up in logarithms since 2**n overflows.
    log_terms = np.concatenate([[0.0], np.cumsum(np.log(np.arange(n, 0, -1)) - np.log(np.arange(1, n + 1)))])
    cumulative = np.cumsum(np.exp(log_terms - n * np.log(2)))
    low = int(np.searchsorted(cumulative, tail, side="right"))  # largest rank with P(X < rank) <= tail
    low = max(0, low - 1) if low else 0
    return float(ordered[low]), float(ordered[n - 1 - low])


def paired_ratio(base: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """How many times faster `other` is than `base`: median of the ratios round by round, with its interval.

    Both must come from the same interleaved run: a ratio within a round cancels what the machine did in that round.
    """
    ratios = base / other
    low, high = median_interval(ratios)
    return float(np.median(ratios)), low, high
