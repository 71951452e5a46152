"""On which engines a choice holds: runs of the same cells on several engines, made as one job. Pure.

Samples of different engines are never joined: each run has its own decision, and only the answers are compared. If they
differ, the figures of both strategies on both engines are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.decision.choice import Choice
from harness.decision.criteria import Criterion
from harness.store.run import CellInfo, Run

TOGETHER = "together"  # in a run's plan: the same name in all runs of one job
ENGINE = "engine"  # in a run's plan: the requested engine


@dataclass(frozen=True, slots=True, kw_only=True)
class OnEngine:
    """The answer of a run on one engine. `choices` are by app, "" over all."""

    engine: str
    run: Run
    choices: Mapping[str, Choice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """An engine on which another strategy comes first. Values are medians of `metric`, in its unit; None if absent."""

    engine: str
    metric: str
    ours: CellInfo
    theirs: CellInfo
    here: tuple[float | None, float | None]  # values of ours and theirs on the engine of the document
    there: tuple[float | None, float | None]  # the same on the other engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """For one app: the engines on which the same strategy comes first, the engines on which another does, and the
    engines without a choice.
    """

    same: tuple[str, ...]
    flips: tuple[Reversal, ...]
    without: tuple[str, ...]


def engine_of(run: Run) -> str:
    """The engine that was requested for a run; "" if it is not one of several."""
    return str(run.manifest.plan.get(ENGINE) or "")


def together(run: Run) -> str:
    """The name that the runs of one job on several engines share; "" for a single run."""
    return str(run.manifest.plan.get(TOGETHER) or "")


def holding(app: str, mine: OnEngine, others: Sequence[OnEngine], criteria: Sequence[Criterion]) -> Holding | None:
    """The engines on which the choice for an app holds; None if there is no choice or no other engine."""
    taken = mine.choices[app].take if app in mine.choices else None
    if taken is None or not others:
        return None
    same, flips, without = [mine.engine], [], []
    for other in others:
        choice = other.choices.get(app)
        if choice is None or choice.take is None:
            without.append(other.engine)
        elif choice.take.strategy == taken.strategy:
            same.append(other.engine)
        else:
            flips.append(_flip(mine, other, taken, choice.take, criteria))
    return Holding(same=tuple(same), flips=tuple(flips), without=tuple(without))


def _flip(mine: OnEngine, other: OnEngine, ours: CellInfo, theirs: CellInfo, criteria: Sequence[Criterion]) -> Reversal:
    """The flip with the metric in which the two strategies differ most, weighted like the criteria."""
    here, there = _medians(mine.run), _medians(other.run)

    def change(metric: str) -> float:
        values = [*_pair(here, ours, theirs, metric), *_pair(there, ours, theirs, metric)]
        if not all(value is not None and value > 0 for value in values):
            return -1.0
        a, b, c, d = (float(np.log(value)) for value in values if value is not None)
        return abs((a - b) - (c - d))

    weighed = [(item.weight * change(name), name) for item in criteria for name in item.metrics]
    metric = max(weighed, default=(0.0, ""))[1]
    return Reversal(
        engine=other.engine,
        metric=metric,
        ours=ours,
        theirs=theirs,
        here=_pair(here, ours, theirs, metric),
        there=_pair(there, ours, theirs, metric),
    )


def _medians(run: Run) -> dict[tuple[str, str], float]:
    return {key: float(np.median(series.value)) for key, series in run.series().items()}


def _pair(
    medians: Mapping[tuple[str, str], float], ours: CellInfo, theirs: CellInfo, metric: str
) -> tuple[float | None, float | None]:
    return medians.get((ours.id, metric)), medians.get((theirs.id, metric))
