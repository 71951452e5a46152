"""Progress for people: what stays in a log, and what does not."""

from __future__ import annotations

import io

import pytest

from harness.text import display as module
from harness.text.display import Display


@pytest.fixture
def clocked(monkeypatch):
    """A display over a text, and a clock to set."""

    class Time:
        now = 5.0  # the clock of a machine that has just started

        @classmethod
        def monotonic(cls):
            return cls.now

    monkeypatch.setattr(module, "time", Time)
    out = io.StringIO()
    return Display(out), out, Time


def test_a_log_has_no_line_for_each_block_of_a_burst(clocked):
    display, out, time = clocked
    for number in range(60):
        time.now += 0.5
        display.block(f"floor: block {number + 1}", 60.0)
    lines = out.getvalue().splitlines()
    assert lines[0] == "[0:00] floor: block 1, about 1:00 left"
    assert len(lines) == 10  # in half a minute, one every three seconds


def test_blocks_that_take_their_time_have_a_line_each(clocked):
    display, out, time = clocked
    for number in range(5):
        time.now += 4.0
        display.block(f"start: block {number + 1}", 60.0)
    assert len(out.getvalue().splitlines()) == 5


def test_a_burst_does_not_silence_what_is_said(clocked):
    display, out, _ = clocked
    display.block("start: block 1", 60.0)
    display.block("start: block 2", 60.0)
    display.say("the first answer is complete")
    assert out.getvalue().splitlines()[-1] == "the first answer is complete"
