"""Exact null distributions of two rank tests, and their p-values. Pure.

Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, 3rd ed. 2014: § 3.1 (signed ranks), § 4.1 (rank sum).
Without a difference every sign, or every choice of ranks, is equally likely; nothing else is assumed. The smallest
two-sided p of n pairs is 2/2ⁿ, of n and n values 2/C(2n, n).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


@lru_cache(maxsize=256)
def signed_rank(n: int) -> Floats:
    """P(W ≤ w) for w = 0 … n(n + 1)/2, W Wilcoxon's signed-rank statistic of n values without a difference."""
    ways = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(ways.size + rank)
        longer[: ways.size] += ways / 2
        longer[rank:] += ways / 2
        ways = longer
    return np.cumsum(ways)


def mann_whitney(first: Floats, second: Floats) -> float:
    """Two-sided p of the Mann-Whitney test for samples of one size, exact; ties count against a difference."""
    above = np.count_nonzero(first[:, None] < second)
    below = np.count_nonzero(first[:, None] > second)
    n = first.size
    return min(1.0, 2 * float(rank_sum(n)[n * n - max(above, below)]))


@lru_cache(maxsize=32)
def rank_sum(n: int) -> Floats:
    """P(U ≤ u) for u = 0 … n², U the Mann-Whitney statistic of n and n values without a difference.

    All choices of n of the ranks 1 … 2n are equally likely: counted exactly up to n = 25 (2⁵³).
    """
    ways = np.zeros((n + 1, n * (2 * n + 1) + 1))  # by the number of chosen ranks, and by their sum
    ways[0, 0] = 1
    for rank in range(1, 2 * n + 1):
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    smallest = n * (n + 1) // 2
    chosen = ways[n, smallest : smallest + n * n + 1]
    return np.cumsum(chosen / chosen.sum())


def deviate(p: float) -> float:
    """The normal deviate whose two-sided tail is `p`."""
    return float(-special.ndtri(p / 2))
