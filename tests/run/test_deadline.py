"""The end of a budget, and of a process that is asked to end."""

from __future__ import annotations

import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.run.deadline import Deadline, OutOfTime, Terminated, closing_time, working_time


@pytest.fixture
def own_timer():
    """The test's time-out uses the same timer, so the test has none meanwhile."""
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_work_that_goes_on_is_ended(own_timer):
    def work():
        try:
            time.sleep(20)
        except Exception:  # noqa: BLE001 - as the recorder of failed tries does
            pytest.fail("the end of the budget is no failure of a try")

    handlers = [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)]
    with pytest.raises(OutOfTime), Deadline(0.05):
        work()
    assert [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)] == handlers


def test_work_that_has_ended_is_not(own_timer):
    with Deadline(0.05) as deadline:
        deadline.cancel()
        time.sleep(0.1)
    with Deadline(None):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_another_timer_goes_on_afterwards(own_timer):
    signal.setitimer(signal.ITIMER_REAL, 100)
    with Deadline(50):
        assert signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    assert 90 < signal.setitimer(signal.ITIMER_REAL, 0)[0] <= 100


def test_being_asked_to_end_is_like_ctrl_c():
    with pytest.raises(KeyboardInterrupt) as caught, Deadline(None):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert caught.type is Terminated


@given(st.floats(1, 1e6))
def test_there_is_time_for_the_tables(budget):
    assert 0.96 * budget <= working_time(budget) <= closing_time(budget) <= budget
