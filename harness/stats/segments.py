"""Where a noisy series changes: the scan behind harness/stats/changepoints.py, which describes its purpose. Pure.

All of it works on levels, in which a shift is relative (logarithms), one a night.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SEED = 20
CLIP = 3.0  # robust standard deviations
NO_NOISE = 1e-9  # if all values are equal
_SCAN_PERMUTATIONS = 99  # of a scan: the tail of their maxima is extrapolated
LEAST_SEGMENT = 3  # nights on either side of a past change that is reported
_LEAST_STRETCH = 5  # nights: two spikes in a row must not make one
_LEAST_DRIFT = 20  # nights
_MOST_CORRELATED = 0.9
_CANDIDATE = 0.05
_WINDOW = 60  # nights that are searched for a stretch at once
_STRETCH_SCORE = 4.0  # standard errors
_EULER = 0.5772156649015329

Floats = NDArray[np.float64]


class Found(NamedTuple):
    """A change of level at night `begin`, in a piece that ends before night `end`; a drift runs through all of it."""

    begin: int
    p: float
    end: int
    drift: bool = False


class _Line(NamedTuple):
    first: float  # level on the first night
    last: float
    p: float  # of a slope of 0


def robust(level: Floats) -> tuple[Floats, Floats]:
    """Median and scaled MAD along the last axis, kept as an axis."""
    centre = np.median(level, axis=-1, keepdims=True)
    return centre, 1.4826 * np.median(np.abs(level - centre), axis=-1, keepdims=True)


def memory_of(residual: Floats) -> Floats:
    """Lag-one correlation of each row, 0 … 0.9, corrected for the bias of short series (Kendall 1954)."""
    n = residual.shape[1]
    square = np.maximum((residual**2).sum(axis=1), 1e-300)
    raw = (residual[:, 1:] * residual[:, :-1]).sum(axis=1) / square
    corrected: Floats = np.clip((raw + 1 / n) / (1 - 3 / n), 0.0, _MOST_CORRELATED)
    return corrected[:, None]


def grown(k: NDArray[np.int64] | int, memory: Floats) -> Floats:
    """The factor on the variance of a mean of k values if they are AR(1) with this memory.

    1 + 2 Σ (1 − j/k) ρʲ, j = 1 … k − 1, in closed form (Bartlett 1946).
    """
    rho = memory
    grown: Floats = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**k) / (k * (1 - rho) ** 2)
    return grown


def split(level: Floats, begin: int, end: int, found: list[Found], practical: float) -> None:
    """Add the change points of level[begin:end] to `found`, the greatest first."""
    piece = level[begin:end]
    if piece.size < 2 * LEAST_SEGMENT:
        return
    least = math.log1p(practical)
    night, shift, p, line = _scan(piece)
    step = p <= _CANDIDATE and abs(shift) >= least
    inside, shift_inside, p_inside = _stretch(piece)
    stretch = p_inside <= _CANDIDATE and abs(shift_inside) >= least
    if not (step or stretch):
        return
    cuts = [night]
    # one end of a temporary change has a poor p-value alone: both ends together have a better one
    if stretch and (not step or (p_inside < p and _bic(piece, inside) < _bic(piece, cuts))):
        cuts, p = inside, p_inside
    steps = [Found(begin + cut, p, end) for cut in cuts]
    edges = [begin, *(begin + cut for cut in cuts), end]
    for left, right in pairwise(edges):
        split(level, left, right, steps, practical)
    if (
        line is not None
        and abs(line.last - line.first) >= least
        and _is_line(piece, line, [s.begin - begin for s in steps])
    ):
        steps = [Found(begin, line.p, end, drift=True)]
    found.extend(steps)


def _is_line(piece: Floats, line: _Line, cuts: Sequence[int]) -> bool:
    """Whether a line explains the piece better than the steps do."""
    straight = float(((_fenced(piece) - np.linspace(line.first, line.last, piece.size)) ** 2).sum())
    return piece.size * math.log(straight + NO_NOISE) + 2 * math.log(piece.size) < _bic(piece, cuts)


def _bic(piece: Floats, cuts: Sequence[int]) -> float:
    """The residuals of the steps, and the penalty for their parameters: a level each, and a place (Schwarz 1978)."""
    parts = np.split(_fenced(piece), sorted({*cuts} - {0}))
    left = float(sum(((part - part.mean()) ** 2).sum() for part in parts))
    return piece.size * math.log(left + NO_NOISE) + (2 * len(parts) - 1) * math.log(piece.size)


def _scan(piece: Floats) -> tuple[int, float, float, _Line | None]:
    """The best split of a piece: night, shift, p, and the line, if a line explains it better."""
    n = piece.size
    splits = np.arange(LEAST_SEGMENT, n - LEAST_SEGMENT + 1)
    plain = np.sqrt(1 / splits + 1 / (n - splits))
    clipped = _fenced(piece)
    night = int(splits[np.argmax(np.abs(_shift_at(clipped[None, :], splits)[0]) / plain)])
    inside = np.arange(n) >= night
    trimmed, residual, shift, statistic = _judge(clipped, inside)
    orders = _orders(residual)
    p = _tail((np.abs(_shift_at(orders, splits)) / plain).max(axis=1), statistic)
    return night, shift, p, _line(trimmed, float((residual**2).sum()))


def _stretch(piece: Floats) -> tuple[list[int], float, float]:
    """A stretch inside the piece that differs from both its sides: its two ends, shift and p.

    In windows of 60 nights, each half over the one before: a stretch of a few nights would not be found among a
    thousand. The p-value is multiplied by the number of windows.
    """
    n = piece.size
    best: tuple[list[int], float, float] = ([], 0.0, 1.0)
    if n < 2 * LEAST_SEGMENT + _LEAST_STRETCH:
        return best
    starts = list(range(0, max(n - _WINDOW, 0) + 1, _WINDOW // 2))
    if n > _WINDOW and starts[-1] != n - _WINDOW:
        starts.append(n - _WINDOW)
    for start in starts:
        window = _fenced(piece[start : start + _WINDOW])
        first, last = _stretches(window.size)
        plain = np.sqrt(1 / (last - first) + 1 / (window.size - last + first))
        rises = _rises(window[None, :], first, last)[0]
        place = int(np.argmax(np.abs(rises) / plain))
        inside = (np.arange(window.size) >= first[place]) & (np.arange(window.size) < last[place])
        _, residual, shift, statistic = _judge(window, inside)
        # most windows end here without a permutation test, because it would find nothing
        if statistic < _STRETCH_SCORE:
            continue
        maxima = (np.abs(_rises(_orders(residual), first, last)) / plain).max(axis=1)
        p = min(_tail(maxima, statistic) * len(starts), 1.0)
        if p < best[2]:
            best = [start + int(first[place]), start + int(last[place])], shift, p
    return best


@lru_cache(maxsize=128)
def _stretches(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First night and night after the last of every stretch of five nights or more, with three on either side."""
    first, last = np.triu_indices(n + 1, _LEAST_STRETCH)
    inner = (first >= LEAST_SEGMENT) & (last <= n - LEAST_SEGMENT)
    return first[inner], last[inner]


def _rises(rows: Floats, first: NDArray[np.int64], last: NDArray[np.int64]) -> Floats:
    """Mean inside less mean outside each stretch, by row."""
    n = rows.shape[1]
    sums = np.concatenate([np.zeros((rows.shape[0], 1)), np.cumsum(rows, axis=1)], axis=1)
    inside = sums[:, last] - sums[:, first]
    result: Floats = inside / (last - first) - (sums[:, -1:] - inside) / (n - last + first)
    return result


def _judge(values: Floats, inside: NDArray[np.bool_]) -> tuple[Floats, Floats, float, float]:
    """Values fenced on either side, their residuals, the shift inside, and its size in standard errors."""
    trimmed = values.copy()
    residual = np.empty_like(values)
    for side in (inside, ~inside):
        trimmed[side] = _fenced(values[side])
        residual[side] = trimmed[side] - trimmed[side].mean()
    n, k = values.size, int(inside.sum())
    shift = float(trimmed[inside].mean() - trimmed[~inside].mean())
    sigma = max(math.sqrt(float((residual**2).sum()) / (n - 2)), NO_NOISE)
    memory = memory_of(residual[None, :])[0]
    sizes = np.array([k, n - k])
    error = sigma * math.sqrt(float((grown(sizes, memory) / sizes).sum()))
    middle = float(np.median(values[inside]) - np.median(values[~inside]))
    smaller = min(abs(shift), abs(middle)) if shift * middle > 0 else 0.0  # half of the nights must have it
    return trimmed, residual, math.copysign(smaller, shift), abs(shift) / error


def _fenced(values: Floats) -> Floats:
    """Clipped at 3 robust standard deviations; if more than half are equal, there is no measure of spread."""
    centre, spread = robust(values)
    if not spread[0]:
        return values
    return np.clip(values, centre - CLIP * spread, centre + CLIP * spread)


def _shift_at(rows: Floats, splits: NDArray[np.int64]) -> Floats:
    """Mean after less mean before each split, by row."""
    sums = np.cumsum(rows, axis=1)
    before, n = sums[:, splits - 1], rows.shape[1]
    result: Floats = (sums[:, -1:] - before) / (n - splits) - before / splits
    return result


def _orders(residual: Floats) -> Floats:
    """Random orders of the residuals, in standard deviations, a row each."""
    sigma = max(math.sqrt(float((residual**2).sum()) / (residual.size - 2)), NO_NOISE)
    random = np.random.default_rng(SEED)
    return random.permuted(np.tile(residual / sigma, (_SCAN_PERMUTATIONS, 1)), axis=1)


def _tail(maxima: Floats, observed: float) -> float:
    """P(the greatest standardised shift of a random order ≥ observed).

    Maxima of many follow Gumbel's law (Fisher & Tippett 1928), fitted by moments to the permutations. Its tail is
    heavier than that of maxima of normal values, so an extrapolated p-value is too large rather than too small.
    """
    scale = max(float(maxima.std(ddof=1)) * math.sqrt(6) / math.pi, NO_NOISE)
    place = float(maxima.mean()) - _EULER * scale
    return -math.expm1(-math.exp(min(-(observed - place) / scale, 700.0)))


def _line(values: Floats, squares_of_step: float) -> _Line | None:
    """The least-squares line, if its residuals are smaller than the step's; a step has one more parameter."""
    n = values.size
    if n < _LEAST_DRIFT:
        return None
    at = np.arange(n) - (n - 1) / 2
    spread = float((at**2).sum())
    slope = float((at * values).sum()) / spread
    residual = values - values.mean() - slope * at
    left = float((residual**2).sum())
    if left / (n - 2) >= squares_of_step / (n - 3):
        return None
    memory = float(memory_of(residual[None, :])[0, 0])
    # for a slope, too, correlated values count as fewer: (1 − ρ)/(1 + ρ) of them
    error = max(math.sqrt(left / (n - 2) / spread * (1 + memory) / (1 - memory)), NO_NOISE)
    p = math.erfc(abs(slope) / error / math.sqrt(2))
    return _Line(float(values.mean() + slope * at[0]), float(values.mean() + slope * at[-1]), p)
