"""When the next night is due: as configured, or as the earlier nights show. Pure.

A schedule is written in `benchmarks/nightly.toml` and kept with every run of a night: `daily`, `weekdays`, `weekly`,
or days such as `mon wed fri`, and after a `±` the hours by which the scheduler may be late: `weekdays ±6h`.

If none is written it is learned. A gap between two nights is late if it is longer than one and a half times the usual
gap, and there were nights at the same hours of the week before and of the week before that, as far as the history
reaches back. So a weekly schedule and a schedule from Monday to Friday are both recognised after the first week.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.errors import UsageError

DAY = 86400.0  # s
_HOUR = 3600.0
_LATE = 12 * _HOUR  # s by which a night may be late if the schedule does not say
_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SETS = {"daily": _NAMES, "weekdays": _NAMES[:5]}
_UNLEARNED = 3.5 * DAY  # the longest gap that counts as usual if the history is younger than a week: a weekend
_JITTER = 6 * _HOUR  # for learned schedules
_LEARNED_FROM = 30  # nights


@dataclass(frozen=True, slots=True)
class Schedule:
    """Days of the week on which a night is due (0 is Monday; none: every seventh day), and how late it may be, s."""

    days: frozenset[int]
    late: float = _LATE

    def is_late(self, before: float, at: float) -> bool:
        """Whether a night was due after the night of `before` (Unix time, s), and `at` is too late for that night."""
        if not self.days:
            return at - before > 7 * DAY + self.late
        day = 1
        while before + day * DAY + self.late < at:
            if time.gmtime(before + day * DAY).tm_wday in self.days:
                return True
            day += 1
        return False


def parse_schedule(text: str) -> Schedule | None:
    """The schedule of a text; None if it is to be learned (""). Raises UsageError."""
    words = text.strip().lower()
    if words in ("", "learned"):
        return None
    days_text, _, late_text = words.partition("±")
    late = _LATE
    if late_text:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(h|m|min)\s*", late_text)
        if not match:
            raise UsageError(f"{late_text.strip()!r} is not a time", where=text, fix="Write ±6h or ±90m.")
        late = float(match[1]) * (_HOUR if match[2] == "h" else 60.0)
    days_text = days_text.strip()
    if days_text == "weekly":
        return Schedule(frozenset(), late)
    names = _SETS.get(days_text, tuple(re.split(r"[\s,]+", days_text)))
    unknown = [name for name in names if name[:3] not in _NAMES]
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is not a day",
            where=text,
            fix="Write daily, weekdays, weekly, or days such as mon wed fri.",
        )
    return Schedule(frozenset(_NAMES.index(name[:3]) for name in names), late)


def is_late(starts: Sequence[float], at: float, written: str = "") -> bool:
    """Whether a night is missing between the last of `starts` (Unix times, s, ascending) and `at`.

    `written` is the schedule that the last night was run by; with "" it is learned from `starts`.
    """
    if not starts or at <= starts[-1]:
        return False
    try:
        schedule = parse_schedule(written)
    except UsageError:  # the schedule of a stored run cannot be corrected now
        schedule = None
    if schedule is not None:
        return schedule.is_late(starts[-1], at)
    known = list(starts[-_LEARNED_FROM:])
    begin, gap = known[-1], at - known[-1]
    gaps = [later - earlier for earlier, later in pairwise(known) if later - earlier > _JITTER]
    if not gaps:
        return gap > 7 * DAY + _LATE  # one night shows no schedule: once a week is the longest usual schedule
    if gap <= 1.5 * statistics.median(gaps):
        return False
    weeks = [week * 7 * DAY for week in (1, 2) if known[0] <= begin - week * 7 * DAY + _JITTER]
    if not weeks:
        return gap > max(_UNLEARNED, 1.5 * max(gaps))
    return all(
        any(begin - back + _JITTER < start < at - back - _JITTER for start in known if start <= begin) for back in weeks
    )
