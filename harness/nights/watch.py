"""The state of a history tonight: changes, suspicions, alarms, accepted changes, staleness. Pure.

An alarm is a budget that is broken and counts as sure (harness/nights/budgets.py says how sure each kind of metric must
be). It stays open night after night until the metric recovers or the change is accepted with a reason. A change that is
not sure is listed as suspect or as changed and raises no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.model import Direction, Metric
from harness.nights.accepted import Acceptance
from harness.nights.alarms import Alarm, above, grown, slower
from harness.nights.budgets import Budget, Severity, budget_for
from harness.nights.records import Confirmation, Failure, Key, Night, NightSeries
from harness.nights.stale import STOPPED_WITHIN, Stale, of_schedule, stale
from harness.stats import changepoints
from harness.stats.changepoints import ChangeKind, LevelChange, Suspicion, changes, discoveries, exact, suspect
from harness.stats.intervals import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A series with everything to report about it. `accepted` holds the reason by the night in which the baseline
    begins.
    """

    line: NightSeries
    changes: tuple[LevelChange, ...]
    accepted: Mapping[int, str]
    suspicion: Suspicion | None
    alarm: Alarm | None
    current: bool  # its cell is still measured in this environment: the newest, or one of several that alternate
    answer: Confirmation | None = None  # result of the newest night's A/B, whatever it is
    answers: tuple[Confirmation, ...] = ()  # results of all A/Bs of this line's nights, the oldest first

    @property
    def key(self) -> Key:
        return self.line.key

    @property
    def doubtful(self) -> bool:
        """Whether to report the suspicion: a weak suspicion gets an A/B, and is reported only if the A/B confirms
        it.
        """
        if not self.suspicion or not self.current:
            return False
        return self.suspicion.strong or bool(self.answer and self.answer.ratio.verdict is Verdict.WORSE)

    @property
    def urgency(self) -> tuple[int, float]:
        """The order by need of attention: alarms, suspicions, changes of the last nights; the largest first."""
        recent = [c for c in self.changes if self.current and c.index >= len(self.line.runs) - STOPPED_WITHIN]
        if self.alarm:
            return (0 if self.alarm.severity is Severity.HARD else 1), -_size(self.alarm.ratio)
        if self.suspicion and self.doubtful:
            return 2, -_size(self.suspicion.ratio)
        worse = [c.ratio for c in recent if is_worse(self.line.metric, c.before, c.after)]
        if worse:
            return 3, -max(map(_size, worse))
        return (4, -max(_size(c.ratio) for c in recent)) if recent else (5, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The state of all series; the series that need attention come first."""

    series: tuple[Watched, ...]
    stale: tuple[Stale, ...]
    nights: tuple[Night, ...]
    environments: Mapping[str, Mapping[str, str]]  # facts by fingerprint
    accepted: tuple[Acceptance, ...] = ()

    @property
    def alarms(self) -> tuple[Watched, ...]:
        return tuple(item for item in self.series if item.alarm and item.alarm.severity is Severity.HARD)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 an alarm is open, 3 data is stale or missing. The code that measures adds 2, could not measure."""
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
    """Judge all series. `now` (Unix time, s) is when the question is asked; without it, the newest night is the
    present.
    """
    order = {night.run: place for place, night in enumerate(nights)}
    lines = list(lines)
    tracks = {night.track for night in nights} | {line.key.track for line in lines}
    marks = [_marks(line, accepted, order) for line in lines]
    candidates = [
        exact(line.median)
        if line.metric.deterministic
        else _changes(line.median.tobytes(), tuple(sorted(mark)))
        if line.metric.has_ratio
        else ()
        for line, mark in zip(lines, marks, strict=True)
    ]
    # of the rounds of one night only the last counts, because it includes the pairs of the earlier rounds
    confirmed: dict[tuple[str, str], dict[str, Confirmation]] = {}
    for item in confirmations:
        confirmed.setdefault((item.cell, item.metric), {})[item.night] = item
    living = {(track, kind): _living(nights, track, deterministic=kind) for track in tracks for kind in (True, False)}
    planned = {night.track: night for night in of_schedule(nights)}  # in order, so the last one stays
    series = [
        _judge(
            line,
            found,
            mark,
            tuple(confirmed.get((line.key.cell, line.key.metric), {}).values()),
            budget_for(budgets, line.key.cell, line.metric),
            current=line.key.fingerprint in living[line.key.track, line.metric.deterministic]
            and _is_planned(line.key.cell, planned.get(line.key.track)),
        )
        for line, found, mark in zip(lines, discoveries(candidates), marks, strict=True)
    ]
    return Watch(
        series=tuple(sorted(series, key=lambda item: (item.urgency, item.key))),
        stale=tuple(stale(lines, nights, failures, accepted, now)),
        nights=tuple(nights),
        environments=environments or {},
        accepted=tuple(accepted),
    )


@lru_cache(maxsize=1 << 14)
def _changes(values: bytes, cuts: tuple[int, ...]) -> tuple[LevelChange, ...]:
    """`changes`, computed once for the same values, because a night looks at its history before its A/B and after
    it.
    """
    return changes(np.frombuffer(values, np.float64), cuts=cuts)


@lru_cache(maxsize=1 << 14)
def _suspect(values: bytes, worse: int, error: float, suspicious: float) -> Suspicion | None:
    return suspect(np.frombuffer(values, np.float64), worse=worse, error=error, suspicious=suspicious)


def _living(nights: Sequence[Night], track: str, *, deterministic: bool) -> frozenset[str]:
    """Fingerprints of the environments a track is measured in: the newest environment, and environments that alternate
    with it.

    Two machines that alternate are both in use; the environment before an upgrade is not.
    """
    prints = [night.exact if deterministic else night.fingerprint for night in nights if night.track == track]
    living = set(prints[-1:])
    recent = prints[-STOPPED_WITHIN:]
    for place, print_ in enumerate(recent):
        if print_ in recent[:place] and recent[place - 1] != print_:
            living.add(print_)
    return frozenset(living)


def _is_planned(cell: str, night: Night | None) -> bool:
    return not night or not night.cells or not cell or cell in night.cells


def is_worse(metric: Metric, before: float, after: float) -> bool:
    """Whether `after` is on the bad side of `before`."""
    if metric.direction is Direction.NEITHER:
        return False
    return (after > before) == (metric.direction is Direction.SMALLER) and after != before


def baseline(item: Watched) -> int:
    """The night in which the present baseline begins: the last change or accepted change."""
    steps = [change.index for change in item.changes if change.kind is ChangeKind.STEP]
    return max([0, *steps, *item.accepted])


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
        if line.metric.deterministic or not line.metric.has_ratio:
            alarm = grown(line, start, budget)
        else:
            alarm = slower(line, max(marks, default=-1), confirmed, budget) or above(line, start, budget)
    suspicion = None
    judged = line.metric.headline and line.metric.has_ratio and line.metric.direction is not Direction.NEITHER
    if current and judged and not line.metric.deterministic and not alarm:
        begin = max([0, *marks, *(c.index for c in found if c.kind is ChangeKind.STEP)])
        worse = 1 if line.metric.direction is Direction.SMALLER else -1
        suspicion = _suspect(line.median[begin:].tobytes(), worse, _error(line), changepoints.SUSPICIOUS)
    runs = set(line.runs)
    return Watched(
        line=line,
        changes=tuple(found),
        accepted=dict(marks),
        suspicion=suspicion,
        alarm=alarm,
        current=current,
        answer=next((item for item in reversed(confirmed) if item.night == line.runs[-1]), None),
        answers=tuple(item for item in confirmed if item.night in runs),
    )


def _error(line: NightSeries) -> float:
    """Relative standard error of one night's median, from the intervals of the last nights; 0 if there are none."""
    half = (line.high - line.low) / 2 / np.abs(line.median)
    known = half[np.isfinite(half)][-10:]
    return float(np.median(known)) / 1.96 if known.size else 0.0
