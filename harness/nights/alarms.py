"""When a budget counts as broken: exact metrics at once, durations by an A/B, limits by whole intervals. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.model import Direction, Metric
from harness.nights.budgets import Budget, Severity
from harness.nights.records import Confirmation, NightSeries
from harness.stats.intervals import Ratio, Verdict

_RECENT = 3  # nights whose median is today's level


class Cause(StrEnum):
    """Why a series has an alarm."""

    GROWN = "exceeds the growth that its budget allows"  # deterministic
    SLOWER = "confirmed: worse than the last good image"
    LIMIT = "is above its limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A broken budget. `index` is the night in which it broke; before and after are in the metric's unit."""

    index: int
    before: float
    after: float
    cause: Cause
    severity: Severity
    budget: Budget
    confirmation: Confirmation | None = None

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before else math.inf


def growth_of(metric: Metric, answer: Ratio) -> float:
    """How much worse the second of a comparison is, as a share: 0.05 is 5 % worse, whether small or large values are
    better.
    """
    times = answer.estimate if metric.direction is not Direction.LARGER else 1 / max(answer.estimate, 1e-12)
    return times - 1


def is_broken(metric: Metric, answer: Ratio, budget: Budget) -> bool:
    """Whether an A/B shows that the budget's growth is exceeded."""
    return budget.growth is not None and answer.verdict is Verdict.WORSE and growth_of(metric, answer) > budget.growth


def grown(line: NightSeries, start: int, budget: Budget) -> Alarm | None:
    """Deterministic: beyond the limit, or beyond the best value since the baseline by more than the budget."""
    values = line.median[start:]
    smaller = line.metric.direction is Direction.SMALLER
    best = np.minimum.accumulate(values) if smaller else np.maximum.accumulate(values)
    broken = np.zeros(values.size, bool)
    cause = Cause.GROWN
    if budget.growth is not None:
        broken |= values > best * (1 + budget.growth) if smaller else values < best * (1 - budget.growth)
    if budget.limit is not None:
        over = values > budget.limit if smaller else values < budget.limit
        cause = Cause.LIMIT if over[-1] else cause
        broken |= over
    if not broken[-1]:
        return None
    before = float(best[-1]) if cause is Cause.GROWN else float(budget.limit or 0.0)
    return Alarm(
        index=start + _began(broken),
        before=before,
        after=float(values[-1]),
        cause=cause,
        severity=budget.severity,
        budget=budget,
    )


def slower(line: NightSeries, accepted: int, confirmed: Sequence[Confirmation], budget: Budget) -> Alarm | None:
    """A duration: growth beyond the budget that an A/B since the accepted night confirmed and no later A/B revoked.

    An A/B closes the alarm if it finds no practical difference, or less than half of the budget. So does a level that
    fell by half of the confirmed growth: then the image is not measured again.
    """
    if budget.growth is None:
        return None
    places = {run: index for index, run in enumerate(line.runs)}
    since = [(places[item.night], item) for item in confirmed if places.get(item.night, -1) > accepted]
    found: list[tuple[int, Confirmation]] = []  # the A/Bs that agree, the newest first
    for index, item in sorted(since, key=lambda pair: pair[0], reverse=True):
        if is_broken(line.metric, item.ratio, budget):
            found.append((index, item))
        elif _clears(line.metric, item.ratio, budget):
            break
    if not found:
        return None
    index, newest = found[0]
    # tonight's level, and the level that it would have without the change
    after = float(np.median(line.median[index:][-_RECENT:]))
    before = float(line.median[index]) / newest.ratio.estimate
    more = growth_of(line.metric, newest.ratio)
    smaller = line.metric.direction is Direction.SMALLER
    still = after > before * (1 + more / 2) if smaller else after < before / (1 + more / 2)
    if index < len(line.runs) - 1 and not still:
        return None
    return Alarm(
        index=found[-1][0],
        before=before,
        after=after,
        cause=Cause.SLOWER,
        severity=budget.severity,
        budget=budget,
        confirmation=newest,
    )


def _clears(metric: Metric, answer: Ratio, budget: Budget) -> bool:
    if answer.verdict in (Verdict.SAME, Verdict.BETTER):
        return True
    return answer.verdict is Verdict.WORSE and growth_of(metric, answer) < (budget.growth or 0.0) / 2


def above(line: NightSeries, start: int, budget: Budget) -> Alarm | None:
    """A duration whose whole interval is beyond an absolute limit, two nights in a row."""
    if budget.limit is None:
        return None
    edge = line.low if line.metric.direction is Direction.SMALLER else -line.high
    bound = budget.limit if line.metric.direction is Direction.SMALLER else -budget.limit
    over = (edge > bound)[start:]  # NaN is not
    if over.size < 2 or not over[-2:].all():
        return None
    return Alarm(
        index=start + _began(over),
        before=budget.limit,
        after=float(line.median[-1]),
        cause=Cause.LIMIT,
        severity=budget.severity,
        budget=budget,
    )


def _began(broken: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int:
    """The first night of the stretch of broken ones that lasts until tonight."""
    fine = np.flatnonzero(~broken)
    return int(fine[-1]) + 1 if fine.size else 0
