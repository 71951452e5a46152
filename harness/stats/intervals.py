"""Intervals, paired comparisons and verdicts. Pure: numbers in, numbers out.

What was chosen, and why (tests/stats/test_intervals.py simulates it, prints the tables and asserts the promises):

- n ≥ 6: the interval of order statistics for the median. It holds its 95 % for every distribution, two modes and
  spikes included, where a t interval on logs falls to 11 % (30 samples, two modes 30 : 70). Interpolating between
  order statistics (Hettmansperger & Sheather 1986) is a fifth narrower but covers only 91–92 % of two modes.
- n < 6: no interval. All n samples lie on one side of the median with probability 2/2ⁿ. If the other side is far away
  (two modes, half each), nothing in the samples shows it: any interval from five samples misses the median one time in
  16, from three samples one time in four. A t interval on logs, widened to the range, holds 95 % on log-normal data,
  but three samples cannot show that they are log-normal. So no interval is given; the range can still be read from the
  samples.

Ratios are paired by block: the Hodges-Lehmann estimate of the log ratios, with the interval of Wilcoxon's signed-rank
test, which is the exact sign-flip permutation test on ranks. On normal noise it is as good as the t interval on log
ratios (error 0.013 / 0.012 at n = 12, 99 / 99 % of 6 % differences found); with spikes in 8 % of the samples its error
is a quarter (0.023 / 0.097) and it finds twice as many (70 / 36 %).

A difference is claimed if the interval excludes 1, the estimate is beyond the practical threshold, and p survives a
false discovery rate of 1 % over the table. If two cells are really the same, every claim is false, and that rate bounds
the share of tables with any claim. So it also bounds the share of verdicts, however few the comparisons are and however
they depend on each other. Signs alone cannot give p ≤ 1 % before the eighth block (2/2ⁿ), nor in a long table before
the tenth. So below twelve blocks the Mann-Whitney test is used too: it is exact and can reach it (2/C(2n, n): 0.2 % at
n = 6). The smaller p is doubled, because there were two tests. Drift that the cells of a block share makes this test
conservative.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.model import Direction, Metric
from harness.stats.ranktests import deviate, mann_whitney, signed_rank

CONFIDENCE = 0.95
PRACTICAL = 0.03  # nobody would change an image for a smaller relative difference
RATE = 0.01  # share of a table's claimed differences that may be false
SMALLEST_DECIDABLE = 6  # samples or blocks: all lie on one side of the truth with probability 2/2ⁿ
_OUTLIER_SCORE = 3.5
_FEW = 12  # blocks: from here on signed ranks reach every p that a table may need
_MOST_PAIRED = 200  # blocks: the signed-rank method needs n² / 2 averages; the sign test takes over above

Floats = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)


class Method(StrEnum):
    """How an interval was made."""

    EXACT = "exact"  # deterministic, all values equal
    ORDER = "order statistics"
    NONE = "none"  # fewer than six values


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one cell. All in the unit of the values; `outliers` are positions in the values given."""

    n: int
    median: float
    low: float | None  # bound of the 95 % interval for the median; None if there is no interval
    high: float | None
    method: Method
    minimum: float
    maximum: float
    mad: float  # median absolute deviation, unscaled
    outliers: tuple[int, ...] = ()


def summarise(values: ArrayLike, *, deterministic: bool = False) -> Summary:
    """Median of `values` (one dimension, at least one, finite) with its 95 % interval; nothing is ever left out.

    A deterministic metric whose values are all equal is exact. If they differ, it is treated like any other metric, and
    `method` shows it. Raises ValueError for no values.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError("one or more values in one dimension are needed")
    ordered = np.sort(array)
    median = float(np.median(ordered))
    low, high, method = interval(ordered)
    if deterministic and ordered[0] == ordered[-1]:
        low, high, method = ordered[0], ordered[0], Method.EXACT
    deviations = np.abs(array - median)
    mad = float(np.median(deviations))
    return Summary(
        n=array.size,
        median=median,
        low=None if method is Method.NONE else float(low),
        high=None if method is Method.NONE else float(high),
        method=method,
        minimum=float(ordered[0]),
        maximum=float(ordered[-1]),
        mad=mad,
        outliers=_outliers(deviations, mad),
    )


def relative_width(summary: Summary) -> float:
    """Width of the interval as a share of the median: 0 if exact, infinite if there is no interval."""
    if summary.low is None or summary.high is None:
        return math.inf
    width = summary.high - summary.low
    if not width:
        return 0.0
    return width / abs(summary.median) if summary.median else math.inf


def interval(ordered: Floats) -> tuple[Floats, Floats, Method]:
    """Low and high of the 95 % interval for the median, along the last axis of ascending values; NaN if n < 6."""
    n = ordered.shape[-1]
    rank = _rank(n)
    if not rank:
        nothing = np.full(ordered.shape[:-1], np.nan)
        return nothing, nothing, Method.NONE
    return ordered[..., rank - 1], ordered[..., n - rank], Method.ORDER


@lru_cache(maxsize=4096)
def _rank(n: int) -> int:
    """The largest k for which [kth smallest, kth largest] covers the median with 95 %; 0 if none does (n < 6).

    Coverage is 1 − 2·P(B < k) with B binomial(n, ½): David & Nagaraja, Order Statistics, 3rd ed. 2003, § 7.1.
    """
    tails = special.bdtr(np.arange(n // 2), n, 0.5)
    return int(np.searchsorted(tails, (1 - CONFIDENCE) / 2, side="right"))


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf


def _outliers(deviations: Floats, mad: float) -> tuple[int, ...]:
    """Positions whose modified z score exceeds 3.5: Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993.

    If more than half of the values are equal (MAD 0), the mean absolute deviation is used instead, as they propose.
    """
    scale = 1.4826 * mad if mad else 1.253314 * float(deviations.mean())
    return tuple(int(i) for i in np.flatnonzero(deviations > _OUTLIER_SCORE * scale))


class Verdict(StrEnum):
    """What a comparison says about the second of the two."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"  # for a metric whose direction is neither
    SAME = "no practical difference"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """b ÷ a, paired by block. `low` and `high` bound the 95 % interval; they are None below six blocks."""

    estimate: float
    low: float | None
    high: float | None
    p: float | None  # two-sided, for "no difference"; None if the values are compared exactly
    n: int  # blocks that hold both
    verdict: Verdict
    more: int = 0  # about how many more blocks would decide; 0 if decided


class ByBlock(Protocol):
    """Samples with their blocks, two arrays of one length (harness.store.run.Series is one)."""

    @property
    def value(self) -> Floats: ...
    @property
    def block(self) -> NDArray[np.int32]: ...


def ratio(
    a: ByBlock,
    b: ByBlock,
    *,
    direction: Direction = Direction.SMALLER,
    deterministic: bool = False,
    practical: float = PRACTICAL,
) -> Ratio | None:
    """How many times `a` is `b`? The typical ratio over the blocks that hold both.

    None if no block holds both or a value is not positive: there is no ratio then. Deterministic metrics are
    compared exactly, by their one value; if the values of a cell differ, like any other metric.
    Otherwise `better`, `worse` and `different` need at least six blocks, an interval that excludes 1, p within
    `RATE` and an estimate beyond `practical`; `no practical difference` needs an interval within ±`practical` (two
    one-sided tests: Schuirmann 1987). `confirm` then judges the table as a whole.
    """
    if deterministic and _alike(a.value) and _alike(b.value):
        return _exact_ratio(float(a.value[0]), float(b.value[0]), min(a.value.size, b.value.size), direction)
    _, left, right = np.intersect1d(a.block, b.block, return_indices=True)
    first, second = a.value[left], b.value[right]
    if not first.size or min(first.min(), second.min()) <= 0:
        return None
    n, band = first.size, math.log1p(practical)
    shift = _shift(np.log(first), np.log(second))
    verdict = Verdict.UNDECIDED
    if n >= SMALLEST_DECIDABLE:
        if -band <= shift.low <= shift.high <= band:
            verdict = Verdict.SAME
        elif abs(shift.estimate) > band and not shift.low <= 0 <= shift.high and shift.p <= RATE:
            verdict = _judge(shift.estimate, direction)
    return Ratio(
        estimate=_exp(shift.estimate),
        low=_exp(shift.low) if n >= SMALLEST_DECIDABLE else None,
        high=_exp(shift.high) if n >= SMALLEST_DECIDABLE else None,
        p=shift.p,
        n=n,
        verdict=verdict,
        more=_more(n, shift, band) if verdict is Verdict.UNDECIDED else 0,
    )


def compared(metric: Metric, a: ByBlock, b: ByBlock) -> Ratio | None:
    """`ratio` by the metric's own rules: which direction is better, whether it is exact. None if it has no ratio."""
    if not metric.has_ratio:
        return None
    return ratio(a, b, direction=metric.direction, deterministic=metric.deterministic)


def blocks_to_exclude(answer: Ratio, value: float) -> int:
    """About how many more blocks it takes until the interval no longer contains `value`: its width falls with √n.

    At least 1; below six blocks, what is missing of them.
    """
    if answer.low is None or answer.high is None:
        return max(SMALLEST_DECIDABLE - answer.n, 1)
    distance = abs(math.log(answer.estimate / value))
    half = math.log(answer.high / answer.low) / 2
    share = min(half / max(distance, 1e-9), 1e3)
    return max(math.ceil(answer.n * (share**2 - 1)), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """b − a, paired by block, in the unit of the values, with its 95 % interval (absent below six blocks)."""

    estimate: float
    low: float | None
    high: float | None
    n: int


def difference(a: ByBlock, b: ByBlock) -> Difference | None:
    """By how much is `b` more than `a`? Like `ratio`, for metrics that add up; None if no block holds both."""
    _, left, right = np.intersect1d(a.block, b.block, return_indices=True)
    if not left.size:
        return None
    shift, few = _shift(a.value[left], b.value[right]), left.size < SMALLEST_DECIDABLE
    return Difference(
        estimate=shift.estimate,
        low=None if few else shift.low,
        high=None if few else shift.high,
        n=left.size,
    )


def control(pvalues: Sequence[float], *, rate: float = RATE) -> tuple[bool, ...]:
    """Which of the p-values stay significant if a share of `rate` of them may be false.

    Benjamini & Hochberg, Controlling the False Discovery Rate, JRSS B 57 (1995).
    """
    if not pvalues:
        return ()
    p = np.asarray(pvalues, dtype=np.float64)
    ordered = np.sort(p)
    passing = np.flatnonzero(ordered <= rate * np.arange(1, p.size + 1) / p.size)
    limit = ordered[passing[-1]] if passing.size else -1.0
    return tuple(bool(x) for x in p <= limit)


def confirm(ratios: Mapping[Key, Ratio], *, rate: float = RATE) -> dict[Key, Ratio]:
    """The comparisons of one table; the ones that do not survive `control` become undecided.

    Exact comparisons, comparisons without a p-value and comparisons with too few blocks are not part of the family.
    """
    family = {key: item.p for key, item in ratios.items() if item.p is not None and item.n >= SMALLEST_DECIDABLE}
    kept = dict(zip(family, control(list(family.values()), rate=rate), strict=True))
    limit = rate * (sum(kept.values()) + 1) / max(len(family), 1)  # the p that the next comparison would have to reach
    judged = (Verdict.BETTER, Verdict.WORSE, Verdict.DIFFERENT)
    return {
        key: item
        if kept.get(key, True) or item.verdict not in judged
        else replace(item, verdict=Verdict.UNDECIDED, more=_more_to_reach(limit, family[key], item.n))
        for key, item in ratios.items()
    }


def _alike(values: Floats) -> bool:
    return bool(values.size) and bool((values == values[0]).all())


def _exact_ratio(first: float, second: float, n: int, direction: Direction) -> Ratio | None:
    if first == second:  # also without p-values
        return Ratio(estimate=1.0, low=1.0, high=1.0, p=None, n=n, verdict=Verdict.SAME)
    if first <= 0 or second < 0:
        return None
    estimate, verdict = second / first, _judge(second - first, direction)
    return Ratio(estimate=estimate, low=estimate, high=estimate, p=None, n=n, verdict=verdict)


def _judge(difference: float, direction: Direction) -> Verdict:
    if direction is Direction.NEITHER:
        return Verdict.DIFFERENT
    return Verdict.BETTER if (difference < 0) == (direction is Direction.SMALLER) else Verdict.WORSE


@dataclass(frozen=True, slots=True)
class _Shift:
    """The centre of the differences: estimate, 95 % interval, two-sided p for a centre of 0, standard deviation.

    If there is no interval, its bounds are infinite.
    """

    estimate: float
    low: float
    high: float
    p: float
    deviation: float


def _shift(first: Floats, second: Floats) -> _Shift:
    """Hodges & Lehmann 1963, Wilcoxon 1945: the median of all pairwise averages, and their order statistics.

    Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, 3rd ed. 2014, §§ 3.1–3.3. Ties count against a
    difference. Above 200 values the median and the sign test (§§ 3.4–3.6).
    """
    ordered = np.sort(second - first)
    n = ordered.size
    if n > _MOST_PAIRED:
        averages, tails, rank = ordered, special.bdtr(np.arange(n + 1), n, 0.5), _rank(n)
    else:
        one, other = np.triu_indices(n)
        averages, tails = np.sort((ordered[one] + ordered[other]) / 2), signed_rank(n)
        rank = int(np.searchsorted(tails, (1 - CONFIDENCE) / 2, side="right"))
    against = averages.size - max(np.count_nonzero(averages > 0), np.count_nonzero(averages < 0))
    p = 2 * float(tails[against])
    if n < _FEW:
        p = 2 * min(p, mann_whitney(first, second))
    low, high = (float(averages[rank - 1]), float(averages[-rank])) if rank else (-math.inf, math.inf)
    deviation = float(ordered.std(ddof=1)) if n > 1 else math.inf
    return _Shift(float(np.median(averages)), low, high, min(1.0, p), deviation)


def _more(n: int, shift: _Shift, band: float) -> int:
    """Blocks until the interval of the log ratio will lie within the band, or p and the interval exclude 1.

    Both shrink with √n. An estimate on the very edge of the band would never be decided: then a quarter of the band is
    the aim.
    """
    if n < 3:
        return SMALLEST_DECIDABLE - n
    size = abs(shift.estimate)
    quantile, aim = (deviate(RATE / 2), size) if size > band else (deviate(1 - CONFIDENCE), max(band - size, band / 4))
    return max(SMALLEST_DECIDABLE - n, math.ceil((quantile * shift.deviation / aim) ** 2) - n, 1)


def _more_to_reach(limit: float, p: float, n: int) -> int:
    """Blocks until a two-sided p after `n` blocks will have fallen to `limit`, its deviate growing with √n."""
    return max(1, math.ceil(n * (deviate(limit) / deviate(p)) ** 2) - n)
