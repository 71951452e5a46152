"""Change points in a history of nights. Pure: numbers in, numbers out.

A series is one number a night, the median of the night's samples, under one environment and track. Three questions:

- `exact`: when did a deterministic metric change? Every difference is a change; there is nothing to test.
- `changes`: where did a duration change, looking back? A recursive scan for the greatest shift of the mean (binary
  segmentation: Scott & Knott 1974, Vostrikova 1981), each with a seeded permutation test. If that finds nothing, a scan
  for a stretch that differs from both its sides (circular binary segmentation: Olshen & Venkatraman 2004). A change
  point cuts the baseline; so does an accepted change. A change that a line explains better than a step is a drift.
- `suspect`: did the last nights get worse? The same statistic for the last night, the last 2 and the last 3 only. A
  suspicion is not an alarm: the cell is measured against the last good image the same night, and only a confirmed
  suspicion alarms (harness/nights/nightly.py). So the test is generous: a false suspicion costs only an A/B.

These rules make the scan keep its promise on real nights (benchmarks/trend_simulation.py prints it):

- Logarithms, and values clipped at 3 robust standard deviations round their level, so that a spike counts as one bad
  night and not as a change; the permutations contain the remaining spikes, so the test stays valid.
- If noise depends on the night before (AR(1)), means wander further than with independent noise. The lag-one
  correlation is estimated from the residuals, corrected for its bias, and the statistic scaled by the standard error
  of a mean of correlated values (Bartlett 1946).
- A shift must exceed a practical size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.intervals import PRACTICAL, control
from harness.stats.segments import CLIP, LEAST_SEGMENT, NO_NOISE, SEED, Found, grown, memory_of, robust, split

TAILS = (1, 2, 3)  # nights that a suspicion may be based on
LEAST_BASELINE = 8  # nights before a shift of the last nights can be distinguished from noise
LONGEST_BASELINE = 60  # nights that a suspicion is judged against: older nights say little about today's machine
SUSPICIOUS = 0.15  # one-sided p at which the last nights are suspect: docs/trend.md has the trade-off
SUSPICIOUS_SHIFT = 0.02  # an estimate from two nights is itself uncertain by 1.5 %, so below PRACTICAL
JUMP = 0.10  # a shift of one night alone that is worth measuring again
_JUMP_SCORE = 5.0
_STRONG = 0.025
_CHANGED = 0.001  # share of the reported past changes that may be false
_PERMUTATIONS = 999

Floats = NDArray[np.float64]


class ChangeKind(StrEnum):
    STEP = "step"
    DRIFT = "drift"
    EXACT = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """A change of level. `index` is the first night of the new level (of a drift: of the stretch), counted from 0.

    `before` and `after` are in the unit of the values: medians of the segments on both sides (of a drift: where its
    line begins and ends). `p` is None for an exact difference.
    """

    index: int
    kind: ChangeKind
    before: float
    after: float
    p: float | None = None

    @property
    def ratio(self) -> float:
        """after ÷ before; infinite from nothing to something."""
        if self.before:
            return self.after / self.before
        return 1.0 if not self.after else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """The last `nights` look shifted from the baseline before them; p is of the permutation test, None for a jump."""

    nights: int
    before: float
    after: float
    p: float | None

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before else math.inf

    @property
    def strong(self) -> bool:
        """Whether to report it: one in six nights without any change gets an A/B, which is not worth a report."""
        return self.p is None or self.p <= _STRONG


def exact(values: ArrayLike) -> tuple[LevelChange, ...]:
    """Every night whose value differs from the night before."""
    array = np.asarray(values, dtype=np.float64)
    return tuple(
        LevelChange(index=int(i), kind=ChangeKind.EXACT, before=float(array[i - 1]), after=float(array[i]))
        for i in np.flatnonzero(array[1:] != array[:-1]) + 1
    )


def changes(values: ArrayLike, *, cuts: Iterable[int] = (), practical: float = PRACTICAL) -> tuple[LevelChange, ...]:
    """Candidates for change points of a noisy series, in order, not yet controlled for false discoveries.

    `cuts` are nights whose change was accepted: a new baseline begins there, and no segment spans one. Candidates
    have p ≤ 5 % and a shift beyond `practical`; `discoveries` selects the candidates of all series that hold.
    """
    array = np.asarray(values, dtype=np.float64)
    level = _levels(array)
    borders = sorted({0, array.size, *(cut for cut in cuts if 0 < cut < array.size)})
    found: list[Found] = []
    for begin, end in pairwise(borders):
        split(level, begin, end, found, practical)
    while True:
        told = tuple(_told(array, found, borders))
        small = [
            (size, item)
            for change, item in zip(told, sorted(found), strict=True)
            if change.kind is ChangeKind.STEP and (size := _log_size(change)) < math.log1p(practical)
        ]
        if not small:
            return told
        # no change between the levels that remain: it is the end of a stretch, a few nights off its place
        found.remove(min(small)[1])


def _log_size(change: LevelChange) -> float:
    return abs(math.log(change.ratio)) if 0 < change.ratio < math.inf else math.inf


def discoveries(candidates: Sequence[Sequence[LevelChange]]) -> list[tuple[LevelChange, ...]]:
    """The `changes` of many series that hold: at most 0.1 % of them are false (Benjamini-Hochberg). Exact changes all
    hold.
    """
    family = [change.p for series in candidates for change in series if change.p is not None]
    # scans without a candidate are tests too, with a p-value above 5 %
    silent = sum(not any(change.p is not None for change in series) for series in candidates)
    kept = iter(control([*family, *([1.0] * silent)], rate=_CHANGED))
    return [tuple(change for change in series if change.p is None or next(kept)) for series in candidates]


def suspect(
    values: ArrayLike, *, worse: int = 1, error: float = 0.0, suspicious: float = SUSPICIOUS
) -> Suspicion | None:
    """Whether the last nights got worse than the baseline: `values` since the last change point or accepted change.

    `worse` is 1 if larger values are worse, otherwise -1. With fewer than 8 nights before them, or for one night alone,
    only a jump is suspect: five standard deviations and 10 %. `error` is the relative standard error of a night's
    median by its own samples, the least noise that is assumed; if the noise is unknown, nothing is suspect.
    """
    array = np.asarray(values, dtype=np.float64)[-(LONGEST_BASELINE + max(TAILS)) :]
    if array.size < 2:
        return None
    level = worse * _levels(array)[None, :]
    if array.size >= LEAST_BASELINE + max(TAILS):
        p, shift, tail = tail_test(level)
        if p[0] <= suspicious and shift[0] >= math.log1p(SUSPICIOUS_SHIFT):
            return _suspicion(array, int(tail[0]), float(p[0]))
    return _suspicion(array, 1, None) if jumped(level, error=error)[0] else None


def tail_test(level: Floats, *, seed: int = SEED) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Did the last nights rise? By row of `level` (series × nights): one-sided p, shift, and the nights that it is
    based on.

    The statistic is the greatest standardised rise over the tails. Under the hypothesis of no change all orders of the
    residuals are equally likely; only the last nights of an order matter, so a thousand orders are cheap.
    """
    count, n = level.shape
    tails = np.array(TAILS)
    longest = max(TAILS)
    centre, spread = robust(level[:, :-longest])
    # the size of the rise comes from unclipped values: at little noise a clipped change would look too small
    rises = np.stack([np.median(level[:, -tail:], axis=1) for tail in TAILS], axis=1) - centre
    clipped = np.clip(level, centre - CLIP * spread, centre + CLIP * spread)
    sums = np.cumsum(clipped[:, ::-1], axis=1)  # of the last 1, 2 … nights
    shift = _shift(sums[:, tails - 1], sums[:, -1:], tails, n)
    # the residuals about the best split: a real shift must count neither as noise nor as memory
    plain = np.sqrt(1 / tails + 1 / (n - tails))
    rough = np.argmax(shift / plain, axis=1)[:, None]
    after = np.arange(n)[None, :] >= n - tails[rough]
    residual = clipped - np.where(after, np.take_along_axis(shift, rough, axis=1), 0.0)
    residual -= residual.mean(axis=1, keepdims=True)
    sigma = np.maximum(np.sqrt((residual**2).sum(axis=1, keepdims=True) / (n - 2)), NO_NOISE)
    memory = memory_of(residual)
    error = np.sqrt(grown(tails, memory) / tails + grown(n - tails, memory) / (n - tails))
    statistic = shift / (sigma * error)
    chosen = np.argmax(statistic, axis=1)[:, None]
    observed = np.take_along_axis(statistic, chosen, axis=1)
    orders = _last_of_orders(n, longest, seed)
    exceeding = np.zeros(count)
    for begin in range(0, count, 256):  # 256 × 999 × 3 numbers are 6 MB
        rows = slice(begin, begin + 256)
        last = np.cumsum(residual[rows][:, orders] * math.sqrt(n / (n - 2)), axis=2)[:, :, tails - 1]
        null = (_shift(last, 0.0, tails, n) / plain).max(axis=2) / sigma[rows]
        exceeding[rows] = (null >= observed[rows] - 1e-9).sum(axis=1)
    p = (exceeding + 1) / (_PERMUTATIONS + 1)
    return p, np.take_along_axis(rises, chosen, axis=1)[:, 0], tails[chosen[:, 0]]


def jumped(level: Floats, *, error: float = 0.0) -> NDArray[np.bool_]:
    """Whether the last night alone stands out upwards, by row of `level` (series × nights)."""
    before = level[:, :-1][:, -LONGEST_BASELINE:]
    centre, spread = robust(before)
    if before.shape[1] < LEAST_BASELINE:  # few deviations say little about their spread
        spread = np.maximum(spread, np.ptp(before, axis=1, keepdims=True) / 2)
    spread = np.hypot(spread, error)
    rise = level[:, -1:] - centre
    stands_out: NDArray[np.bool_] = (rise > math.log1p(JUMP)) & (spread > 0) & (rise > _JUMP_SCORE * spread)
    return stands_out[:, 0]


def _suspicion(array: Floats, nights: int, p: float | None) -> Suspicion:
    before, after = float(np.median(array[:-nights])), float(np.median(array[-nights:]))
    return Suspicion(nights=nights, before=before, after=after, p=p)


def _levels(array: Floats) -> Floats:
    """The values so that shifts are relative: logarithms, or shares of the typical size if some values are not
    positive.
    """
    if (array > 0).all():
        return np.log(array)
    return array / (float(np.median(np.abs(array))) or 1.0)


def _shift(last: Floats, total: Floats | float, tails: NDArray[np.int64], n: int) -> Floats:
    """Mean of the last nights less the mean of those before."""
    result: Floats = last / tails - (total - last) / (n - tails)
    return result


@lru_cache(maxsize=128)
def _last_of_orders(n: int, longest: int, seed: int) -> NDArray[np.int64]:
    """The last `longest` positions of random orders of n nights."""
    random = np.random.default_rng(seed)
    return random.permuted(np.tile(np.arange(n), (_PERMUTATIONS, 1)), axis=1)[:, :longest]


def _told(array: Floats, found: Sequence[Found], borders: Sequence[int]) -> Iterator[LevelChange]:
    """The change with the levels on both sides: medians of the segments, or of a drift's first and last tenth."""
    edges = sorted({*borders, *(item.begin for item in found), *(item.end for item in found)})
    for item in sorted(found):
        if item.drift:
            piece = array[item.begin : item.end]
            tenth = max(piece.size // 10, LEAST_SEGMENT)
            before, after = piece[:tenth], piece[-tenth:]
        else:
            place = edges.index(item.begin)
            before, after = array[edges[place - 1] : item.begin], array[item.begin : edges[place + 1]]
        yield LevelChange(
            index=item.begin,
            kind=ChangeKind.DRIFT if item.drift else ChangeKind.STEP,
            before=float(np.median(before)),
            after=float(np.median(after)),
            p=item.p,
        )
