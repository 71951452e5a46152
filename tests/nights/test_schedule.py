"""When a night is late: schedules that are written, and schedules that are learned."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.nights.schedule import DAY, is_late, parse_schedule

MONDAY = 1_736_128_800.0  # 2025-01-06 02:00 UTC


def starts(days: list[float]) -> list[float]:
    return [MONDAY + day * DAY for day in days]


WEEKDAYS = [week * 7 + day for week in range(5) for day in range(5)]
WEEKLY = [week * 7.0 for week in range(8)]
DAILY = list(range(20))


@pytest.mark.parametrize("days", [WEEKDAYS, WEEKLY, DAILY, [0, 14, 28, 42]])
def test_a_learned_schedule_is_never_late_while_it_is_kept(days):
    known = starts(days)
    for count in range(2 if days[1] > 7 else 1, len(days)):
        assert not is_late(known[:count], known[count]), count


@pytest.mark.parametrize(
    ("days", "at"),
    [(WEEKDAYS, 28 + 9), (WEEKLY, 49 + 14), (DAILY, 22), ([0, 1, 2, 3], 7), ([0], 9), (WEEKDAYS[:-3], 32)],
)
def test_a_learned_schedule_shows_what_was_missed(days, at):
    assert is_late(starts(days), MONDAY + at * DAY)


@pytest.mark.parametrize(
    ("text", "before", "at", "late"),
    [
        ("daily", 0, 1.4, False),
        ("daily", 0, 1.6, True),
        ("daily ±2h", 0, 1.2, True),
        ("weekdays", 4, 7, False),
        ("weekdays", 4, 8, True),
        ("weekdays", 1, 3, True),
        ("weekly", 0, 7.4, False),
        ("weekly", 0, 7.6, True),
        ("mon wed fri", 0, 2, False),
        ("mon wed fri", 0, 3, True),
        ("Monday", 0, 7, False),
    ],
)
def test_a_written_schedule(text, before, at, late):
    assert is_late([MONDAY + before * DAY], MONDAY + at * DAY, text) is late


def test_a_wrong_schedule_is_an_error():
    assert parse_schedule("") is None
    with pytest.raises(UsageError, match="not a day"):
        parse_schedule("fortnightly")
    with pytest.raises(UsageError, match="not a time"):
        parse_schedule("daily ±soon")
