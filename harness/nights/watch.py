"""What a history says tonight: changes, suspicions, alarms, accepted changes, staleness. Pure.

An alarm is a budget that is broken and counts as sure (harness/nights/budgets.py says how sure each kind of metric must
be). It stays open night after night until the metric recovers or the change is accepted with a reason. What is not sure
is listed as suspect or as changed, and rings nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

import numpy as np

from harness.model import Direction, Metric, Unit
from harness.nights.budgets import Budget, Severity, budget_for
from harness.nights.history import Confirmation, Failure, Key, Night, NightSeries
from harness.stats.changepoints import ChangeKind, LevelChange, Suspicion, changes, discoveries, exact, suspect
from harness.stats.intervals import Verdict

MISSED_AFTER = 36 * 3600.0  # s between nights, above which one was missed
STOPPED_WITHIN = 14  # nights in which a series that stopped is looked for
_LEAST_SEEN = 3  # of those nights, to have been a series at all
_RECENT = 3  # nights whose median is today's level


class Cause(StrEnum):
    """Why a series has an alarm."""

    GROWN = "exceeds the growth that its budget allows"  # deterministic
    SLOWER = "confirmed: worse than the last good image"
    LIMIT = "is above its limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A change of a series that is meant: from night `since` on a new baseline holds. `at` is Unix time, s."""

    cell: str
    metric: str
    since: str  # run id
    at: float
    reason: str

    def holds_for(self, key: Key) -> bool:
        return fnmatchcase(key.cell, self.cell) and fnmatchcase(key.metric, self.metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A broken budget. `index` is the night it broke; before and after are in the metric's unit."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A series with all that is to be said of it. `accepted` holds the reason by the night the baseline begins."""

    line: NightSeries
    changes: tuple[LevelChange, ...]
    accepted: Mapping[int, str]
    suspicion: Suspicion | None
    alarm: Alarm | None
    current: bool  # belongs to the newest environment of its track
    answer: Confirmation | None = None  # of the A/B of the newest night, whatever it said

    @property
    def key(self) -> Key:
        return self.line.key

    @property
    def urgency(self) -> tuple[int, float]:
        """What needs attention first sorts first: alarms, suspicions, changes of the last nights; the largest first."""
        recent = [c for c in self.changes if self.current and c.index >= len(self.line.runs) - STOPPED_WITHIN]
        if self.alarm:
            return (0 if self.alarm.severity is Severity.HARD else 1), -_size(self.alarm.ratio)
        if self.suspicion and self.current:
            return 2, -_size(self.suspicion.ratio)
        worse = [c.ratio for c in recent if is_worse(self.line.metric, c.before, c.after)]
        if worse:
            return 3, -max(map(_size, worse))
        return (4, -max(_size(c.ratio) for c in recent)) if recent else (5, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Something that should be there and is not."""

    what: str
    cell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The state of all series, what needs attention first."""

    series: tuple[Watched, ...]
    stale: tuple[Stale, ...]
    nights: tuple[Night, ...]
    environments: Mapping[str, Mapping[str, str]]  # facts by fingerprint

    @property
    def alarms(self) -> tuple[Watched, ...]:
        return tuple(item for item in self.series if item.alarm and item.alarm.severity is Severity.HARD)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 an alarm is open, 3 data is stale or missing. 2, could not measure, is told by the measuring."""
        return 1 if self.alarms else 3 if self.stale else 0


def watch(
    lines: Iterable[NightSeries],
    nights: Sequence[Night],
    *,
    budgets: Sequence[Budget],
    accepted: Sequence[Acceptance] = (),
    confirmations: Sequence[Confirmation] = (),
    failures: Sequence[Failure] = (),
    environments: Mapping[str, Mapping[str, str]] | None = None,
    now: float | None = None,
) -> Watch:
    """Judge all series. `now` (Unix time, s) is when the question is asked; without it the newest night is now."""
    newest = {night.track: night.fingerprint for night in nights}  # in order, so the last one stays
    order = {night.run: place for place, night in enumerate(nights)}
    lines = list(lines)
    marks = [_marks(line, accepted, order) for line in lines]
    candidates = [
        exact(line.median)
        if line.metric.deterministic
        else changes(line.median, cuts=mark)
        if _continuous(line.metric)
        else ()
        for line, mark in zip(lines, marks, strict=True)
    ]
    confirmed: dict[tuple[str, str], list[Confirmation]] = {}
    for item in confirmations:
        confirmed.setdefault((item.cell, item.metric), []).append(item)
    series = [
        _judge(
            line,
            found,
            mark,
            confirmed.get((line.key.cell, line.key.metric), ()),
            budget_for(budgets, line.key.cell, line.metric),
            current=newest.get(line.key.track) == line.key.fingerprint,
        )
        for line, found, mark in zip(lines, discoveries(candidates), marks, strict=True)
    ]
    return Watch(
        series=tuple(sorted(series, key=lambda item: (item.urgency, item.key))),
        stale=tuple(_stale(lines, nights, failures, now)),
        nights=tuple(nights),
        environments=environments or {},
    )


def is_worse(metric: Metric, before: float, after: float) -> bool:
    """Whether `after` is on the bad side of `before`."""
    if metric.direction is Direction.NEITHER:
        return False
    return (after > before) == (metric.direction is Direction.SMALLER) and after != before


def baseline(item: Watched) -> int:
    """The night the present baseline begins: the last change or accepted change."""
    steps = [change.index for change in item.changes if change.kind is ChangeKind.STEP]
    return max([0, *steps, *item.accepted])


def _continuous(metric: Metric) -> bool:
    return metric.unit in (Unit.SECONDS, Unit.BYTES, Unit.COUNT)


def _size(ratio: float) -> float:
    """How large a change is, up or down alike."""
    return abs(math.log(ratio)) if 0 < ratio < math.inf else math.inf


def _marks(line: NightSeries, accepted: Sequence[Acceptance], order: Mapping[str, int]) -> dict[int, str]:
    """Reasons by the first night of this series that is not before the accepted one."""
    marks = {}
    for item in accepted:
        if not item.holds_for(line.key) or item.since not in order:
            continue
        later = [i for i, run in enumerate(line.runs) if order[run] >= order[item.since]]
        if later:
            marks[later[0]] = item.reason
    return marks


def _judge(
    line: NightSeries,
    found: Sequence[LevelChange],
    marks: Mapping[int, str],
    confirmed: Sequence[Confirmation],
    budget: Budget | None,
    *,
    current: bool,
) -> Watched:
    alarm = None
    if budget and current and line.metric.direction is not Direction.NEITHER:
        start = max(marks, default=0)
        if line.metric.deterministic or not _continuous(line.metric):
            alarm = _grown(line, start, budget)
        else:
            alarm = _slower(line, max(marks, default=-1), confirmed, budget) or _above(line, start, budget)
    suspicion = None
    judged = line.metric.headline and _continuous(line.metric) and line.metric.direction is not Direction.NEITHER
    if current and judged and not line.metric.deterministic and not alarm:
        begin = max([0, *marks, *(c.index for c in found if c.kind is ChangeKind.STEP)])
        suspicion = suspect(
            line.median[begin:],
            worse=1 if line.metric.direction is Direction.SMALLER else -1,
            error=_error(line),
        )
    return Watched(
        line=line,
        changes=tuple(found),
        accepted=dict(marks),
        suspicion=suspicion,
        alarm=alarm,
        current=current,
        answer=next((item for item in reversed(confirmed) if item.night == line.runs[-1]), None),
    )


def _error(line: NightSeries) -> float:
    """Relative standard error of one night's median, by the intervals of the last nights; 0 where there are none."""
    half = (line.high - line.low) / 2 / np.abs(line.median)
    known = half[np.isfinite(half)][-10:]
    return float(np.median(known)) / 1.96 if known.size else 0.0


def _grown(line: NightSeries, start: int, budget: Budget) -> Alarm | None:
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
    fine = np.flatnonzero(~broken)
    first = int(fine[-1]) + 1 if fine.size else 0
    before = float(best[-1]) if cause is Cause.GROWN else float(budget.limit or 0.0)
    return Alarm(
        index=start + first,
        before=before,
        after=float(values[-1]),
        cause=cause,
        severity=budget.severity,
        budget=budget,
    )


def _slower(line: NightSeries, accepted: int, confirmed: Sequence[Confirmation], budget: Budget) -> Alarm | None:
    """A duration: what an A/B confirmed beyond the budget, not accepted since, and not recovered."""
    if budget.growth is None:
        return None
    smaller = line.metric.direction is Direction.SMALLER
    for item in reversed(confirmed):
        if item.night not in line.runs or item.ratio.verdict is not Verdict.WORSE:
            continue
        index = line.runs.index(item.night)
        if index <= accepted:
            continue
        grown = item.ratio.estimate if smaller else 1 / item.ratio.estimate
        if grown <= 1 + budget.growth:
            continue
        # tonight's level, and what it would be without the change
        after = float(np.median(line.median[index:][-_RECENT:]))
        before = float(np.median(line.median[index : index + 1])) / item.ratio.estimate
        recovered = line.runs[-1] != item.night and not _beyond(after, before, (grown - 1) / 2, smaller)
        if recovered:
            continue
        return Alarm(
            index=index,
            before=before,
            after=after,
            cause=Cause.SLOWER,
            severity=budget.severity,
            budget=budget,
            confirmation=item,
        )
    return None


def _beyond(after: float, before: float, growth: float, smaller: bool) -> bool:
    return after > before * (1 + growth) if smaller else after < before / (1 + growth)


def _above(line: NightSeries, start: int, budget: Budget) -> Alarm | None:
    """A duration whose whole interval is beyond an absolute limit, two nights in a row."""
    if budget.limit is None:
        return None
    edge = line.low if line.metric.direction is Direction.SMALLER else -line.high
    bound = budget.limit if line.metric.direction is Direction.SMALLER else -budget.limit
    over = (edge > bound)[start:]  # NaN is not
    if over.size < 2 or not over[-2:].all():
        return None
    fine = np.flatnonzero(~over)
    first = int(fine[-1]) + 1 if fine.size else 0
    return Alarm(
        index=start + first,
        before=budget.limit,
        after=float(line.median[-1]),
        cause=Cause.LIMIT,
        severity=budget.severity,
        budget=budget,
    )


def _stale(
    lines: Sequence[NightSeries], nights: Sequence[Night], failures: Sequence[Failure], now: float | None
) -> Iterable[Stale]:
    if not nights:
        yield Stale(what="no night is stored")
        return
    last = nights[-1]
    if now is not None and now - last.started > MISSED_AFTER:
        yield Stale(what=f"nothing was measured for {_days(now - last.started)}; the last night is {last.run}")
    by_track: dict[str, list[Night]] = {}
    for night in nights:
        by_track.setdefault(night.track, []).append(night)
    for track, own in by_track.items():
        if len(by_track) > 1 and last.started - own[-1].started > MISSED_AFTER:
            away = _days(last.started - own[-1].started)
            yield Stale(what=f"track {track}: not measured for {away}: its last night is {own[-1].run}")
        if len(own) > 1 and own[-1].started - own[-2].started > MISSED_AFTER:
            gap = _days(own[-1].started - own[-2].started)
            yield Stale(what=f"track {track}: nothing was measured for {gap} before {own[-1].run}")
        yield from _stopped(lines, own)
    yield from _failing(nights, failures)


def _stopped(lines: Sequence[NightSeries], nights: Sequence[Night]) -> Iterable[Stale]:
    """Series of this track that were there in the last nights, whatever the environment, and are not tonight."""
    recent = {night.run for night in nights[-1 - STOPPED_WITHIN : -1]}
    tonight, track = nights[-1].run, nights[-1].track
    seen: dict[tuple[str, str], int] = {}
    there: set[tuple[str, str]] = set()
    for line in lines:
        if line.key.track == track:
            name = line.key.cell, line.key.metric
            seen[name] = seen.get(name, 0) + sum(run in recent for run in line.runs[-1 - STOPPED_WITHIN :])
            if line.runs[-1] == tonight:
                there.add(name)
    lost: dict[str, list[str]] = {}
    for (cell, metric), count in seen.items():
        if (cell, metric) not in there and count >= _LEAST_SEEN:
            lost.setdefault(cell, []).append(metric)
    for cell, metrics in sorted(lost.items()):
        named = ", ".join(sorted(metrics)[:4]) + (f" and {len(metrics) - 4} more" if len(metrics) > 4 else "")
        yield Stale(what=f"{cell or 'engine'}: not measured tonight in track {track}: {named}", cell=cell)


def _failing(nights: Sequence[Night], failures: Sequence[Failure]) -> Iterable[Stale]:
    """Cells that failed in each of the last two nights or more."""
    by_cell: dict[str, dict[str, Failure]] = {}
    for failure in failures:
        by_cell.setdefault(failure.cell, {}).setdefault(failure.run, failure)
    for cell, runs in sorted(by_cell.items()):
        count = 0
        for night in reversed(nights):
            if night.run not in runs:
                break
            count += 1
        if count >= 2:
            last = runs[nights[-1].run]
            yield Stale(
                what=f"{cell or 'engine'}: {last.probe} has failed for {count} nights: {last.status}: {last.reason}",
                cell=cell,
            )


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds < 10 * 86400 else f"{seconds / 86400:.0f} days"
