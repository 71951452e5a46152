"""How a choice depends on the weights: how often each strategy is first, and at which weight another one wins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.intervals import PRACTICAL

DRAWS = 10_000  # weightings tried; the share's standard error is at most half a per cent
NEAR = 2.0  # weights "near" the given ones: each between half and double
BAND = math.log1p(PRACTICAL)  # difference of log ratios within which two count as equal

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flip:
    """Another strategy is first if a criterion's weight, now `given`, passes `limit`."""

    criterion: str
    given: float
    limit: float
    strategy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """How often each strategy is first: under any weights at all, and under weights near the given weights."""

    anyhow: Mapping[str, float]
    near: Mapping[str, float]
    alone: Mapping[str, str]  # criterion → the strategy that is first by it alone, beyond the practical threshold
    flips: tuple[Flip, ...]  # sorted by how little a weight must change


def sensitivity_of(
    logs: Floats, weights: Floats, strategies: Sequence[str], names: Sequence[str], take: str
) -> Sensitivity:
    """`logs` is options × criteria. Draws are seeded: the same data give the same shares."""
    random = np.random.default_rng(1)
    anyhow = random.dirichlet(np.ones(weights.size), DRAWS)
    near = weights * np.exp(random.uniform(-math.log(NEAR), math.log(NEAR), (DRAWS, weights.size)))
    alone = {}
    for index, name in enumerate(names):
        column = logs[:, index]
        best = int(np.argmin(column))
        if column[strategies.index(take)] - column[best] > BAND:
            alone[name] = strategies[best]
    return Sensitivity(
        anyhow=_shares(logs, anyhow, strategies),
        near=_shares(logs, near, strategies),
        alone=alone,
        flips=_flips(logs, weights, strategies, names, take),
    )


def _shares(logs: Floats, draws: Floats, strategies: Sequence[str]) -> dict[str, float]:
    first = np.argmin(draws @ logs.T, axis=1)
    counts = np.bincount(first, minlength=len(strategies))
    order = sorted(range(len(strategies)), key=lambda i: -int(counts[i]))
    return {strategies[i]: float(counts[i]) / draws.shape[0] for i in order if counts[i]}


def _flips(
    logs: Floats, weights: Floats, strategies: Sequence[str], names: Sequence[str], take: str
) -> tuple[Flip, ...]:
    """Per criterion the limit nearest to its weight beyond which another option is first, if there is one."""
    mine = logs[strategies.index(take)]
    flips = []
    for index, name in enumerate(names):
        given = float(weights[index])
        found = []
        for row, strategy in zip(logs, strategies, strict=True):
            ahead = row - mine  # positive: the choice is better
            rest = float(ahead @ weights - ahead[index] * given)
            if ahead[index] and (limit := -rest / float(ahead[index])) >= 0:
                found.append(Flip(name, given, limit, strategy))
        if found:
            flips.append(min(found, key=_distance))
    return tuple(sorted(flips, key=_distance))


def _distance(flip: Flip) -> float:
    return abs(math.log(max(flip.limit, 1e-9) / flip.given))
