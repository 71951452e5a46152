"""Finds what is missing in a history: nights, tracks, series, cells that fail. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.nights.accepted import Acceptance
from harness.nights.records import NIGHTLY, Failure, Night, NightSeries
from harness.nights.schedule import DAY, is_late

STOPPED_WITHIN = 14  # number of nights in which a series that stopped is looked for
_LEAST_SEEN = 3  # of those nights, the number that a series must have had
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Something that should be there and is not."""

    what: str
    cell: str = ""


def of_schedule(nights: Sequence[Night]) -> Sequence[Night]:
    """The nights that a scheduler ran, if there are any; runs made by hand between them do not show a schedule."""
    return [night for night in nights if night.purpose == NIGHTLY] or nights


def stale(
    lines: Sequence[NightSeries],
    nights: Sequence[Night],
    failures: Sequence[Failure],
    accepted: Sequence[Acceptance],
    now: float | None,
) -> Iterable[Stale]:
    """Everything that is missing tonight. `now` is Unix time, s; without it, the newest night is the present."""
    if not nights:
        yield Stale(what="no night is stored")
        return
    last = nights[-1]
    starts = [night.started for night in of_schedule(nights)]
    if now is not None and is_late(starts, now, last.schedule):
        yield Stale(what=f"nothing was measured for {_days(now - last.started)}: the last night is {last.run}")
    by_lane: dict[str, list[Night]] = {}
    for night in of_schedule(nights):
        by_lane.setdefault(night.track, []).append(night)
    for track, own in by_lane.items():
        before = [night.started for night in own[:-1]]
        if len(by_lane) > 1 and is_late([*before, own[-1].started], last.started, own[-1].schedule):
            away = _days(last.started - own[-1].started)
            yield Stale(what=f"track {track}: not measured for {away}: its last night is {own[-1].run}")
        if before and is_late(before, own[-1].started, own[-2].schedule):
            gap = _days(own[-1].started - before[-1])
            yield Stale(what=f"track {track}: nothing was measured for {gap} before {own[-1].run}")
        yield from _stopped(lines, own, accepted)
    yield from _failing(nights, failures)


def _stopped(lines: Sequence[NightSeries], nights: Sequence[Night], accepted: Sequence[Acceptance]) -> Iterable[Stale]:
    """Series of this track that were there in the last nights, whatever the environment, and are not tonight.

    A cell or metric that tonight's plan does not name was renamed or retired: only the first night without it reports
    so. `tare accept` ends reports of both kinds.
    """
    if len(nights) < 2:
        return
    recent = {night.run for night in nights[-1 - STOPPED_WITHIN : -1]}
    order = {night.run: place for place, night in enumerate(nights)}
    tonight, before = nights[-1], nights[-2]
    seen: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for line in lines:
        if line.key.track == tonight.track:
            name = line.key.cell, line.key.metric
            own = [order[run] for run in line.runs if run in order]
            seen[name] = seen.get(name, 0) + sum(run in recent for run in line.runs[-1 - STOPPED_WITHIN :])
            last[name] = max(last.get(name, -1), *own, -1)
    lost: dict[tuple[str, str], list[str]] = {}
    for (cell, metric), count in seen.items():
        place = last[cell, metric]
        if place == len(nights) - 1 or _is_accepted(accepted, cell, metric, place, order):
            continue
        why = _retired(tonight, before, cell, metric)
        if why is None:
            if count >= _LEAST_SEEN:
                lost.setdefault((cell, "not measured tonight"), []).append(metric)
        elif why and place == len(nights) - 2:
            lost.setdefault((cell, why), []).append(metric)
    for (cell, why), metrics in sorted(lost.items()):
        named = ", ".join(sorted(metrics)[:_MOST_NAMED])
        more = f" and {len(metrics) - _MOST_NAMED} more" if len(metrics) > _MOST_NAMED else ""
        yield Stale(what=f"{cell or 'engine'}: {why} in track {tonight.track}: {named}{more}", cell=cell)


def _retired(tonight: Night, before: Night, cell: str, metric: str) -> str | None:
    """The report of the first night whose plan has no such cell or metric; None if the plan has both."""
    if not tonight.cells or not before.cells:  # the night was stored before plans were kept
        return None
    if cell and cell not in tonight.cells:
        return "is no longer in the plan (renamed or retired; this is reported once)"
    if metric not in tonight.metrics:
        return "is no longer measured (reported once)"
    return None


def _is_accepted(accepted: Sequence[Acceptance], cell: str, metric: str, last: int, order: Mapping[str, int]) -> bool:
    """Whether a person has accepted, after its last night, that this series ends."""
    return any(item.names(cell, metric) and order.get(item.since, -1) > last for item in accepted)


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
    return f"{seconds / DAY:.1f} days" if seconds < 10 * DAY else f"{seconds / DAY:.0f} days"
