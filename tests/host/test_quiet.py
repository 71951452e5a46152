"""Waiting for a quiet machine: the arithmetic on the kernel's counters, and the pooling of gaps."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host import quiet
from harness.host.quiet import Monitor, ProcessorTimes, Use, busy_share, parse_proc_stat, window_for

STAT = "cpu  100 0 50 800 30 1 2 17 0 0\ncpu0 50 0 25 400 15 0 1 8 0 0\ncpu1 50 0 25 400 15 1 1 9 0 0\nintr 1 2\n"
seconds = st.floats(0, 1e5)


class Machine:
    """Two processors with a clock that moves only when somebody sleeps; `load` maps a time to the load from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, load: Callable[[float], float]) -> None:
        self.now = 1000.0
        self.idle = 0.0
        self.slept: list[float] = []
        self._load = load
        monkeypatch.setattr(quiet, "read", self.read)
        monkeypatch.setattr(quiet.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(quiet.time, "sleep", self.sleep)

    def read(self) -> ProcessorTimes:
        return ProcessorTimes(self.now, 2, self.idle, 0.0, 0.0)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.work(seconds)

    def work(self, seconds: float, load: float | None = None) -> None:
        share = self._load(self.now) if load is None else load
        self.now += seconds
        self.idle += 2 * seconds * (1 - share)


def test_fields_of_proc_stat() -> None:
    reading = parse_proc_stat(STAT, at=5.0, own=1.0)
    tick = quiet._TICK
    assert (reading.processors, reading.at, reading.own) == (2, 5.0, 1.0)
    assert reading.idle == pytest.approx(830 * tick)  # waiting for a disk is idle
    assert reading.steal == pytest.approx(17 * tick)


def test_old_kernels_have_fewer_fields() -> None:
    assert parse_proc_stat("cpu 1 2 3 4 5\ncpu0 1 2 3 4 5\n", at=0, own=0).steal == 0


@given(st.integers(1, 512), seconds, seconds, seconds, seconds, seconds, seconds, seconds)
def test_shares_stay_shares(
    processors: int, at: float, lapse: float, idle: float, more: float, steal: float, stolen: float, own: float
) -> None:
    use = ProcessorTimes(at + lapse, processors, more, stolen, own).since(
        ProcessorTimes(at, processors, idle, steal, 0.0)
    )
    assert 0 <= use.busy_share <= 1
    assert 0 <= use.steal_share <= 1


@given(st.floats(0.01, 100), st.floats(0, 1), st.floats(0, 1))
def test_what_is_neither_idle_nor_stolen_nor_ours_is_others(lapse: float, idle: float, own: float) -> None:
    capacity = 4 * lapse
    own *= 1 - idle
    use = ProcessorTimes(lapse, 4, idle * capacity, 0.0, own * capacity).since(ProcessorTimes(0.0, 4, 0.0, 0.0, 0.0))
    assert use.busy_share == pytest.approx(1 - idle - own, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0.001, 10), st.floats(0, 1)), min_size=1))
def test_pooled_use_is_the_weighted_mean(gaps: list[tuple[float, float]]) -> None:
    total = sum((Use(capacity, capacity * share, 0.0) for capacity, share in gaps), Use(0, 0, 0))
    shares = [share for _, share in gaps]
    assert min(shares) - 1e-9 <= total.busy_share <= max(shares) + 1e-9


@given(st.floats(0.001, 0.5), st.integers(1, 256))
def test_a_window_can_tell_the_limit_from_zero(limit: float, processors: int) -> None:
    window = window_for(limit, processors)
    assert quiet._TICK / (processors * window) <= limit * (1 + 1e-9)


def test_a_quiet_machine_costs_one_window_and_then_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda _: 0.0)
    monitor = Monitor()
    assert monitor.wait().quiet
    assert machine.slept == [pytest.approx(window_for(quiet.LIMIT, 2))]
    for _ in range(5):
        machine.work(0.5, load=1.0)  # a try of ours
        monitor.mark()
        machine.work(0.01)  # its record is written
        assert monitor.wait().waited == 0
    assert len(machine.slept) == 1


def test_a_long_quiet_gap_is_window_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda _: 0.0)
    monitor = Monitor()
    machine.work(1.0)
    assert monitor.wait().quiet
    assert machine.slept == []


def test_old_gaps_do_not_vouch_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda _: 0.0)
    monitor = Monitor(fresh=5.0)
    monitor.wait()
    machine.work(6.0, load=1.0)
    monitor.mark()
    assert monitor.wait().quiet
    assert len(machine.slept) == 2


def test_load_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda now: 0.5 if now < 1003.0 else 0.01)
    result = Monitor().wait(patience=30.0)
    assert result.quiet
    assert 3.0 <= result.waited <= 3.3
    assert result.load == pytest.approx(0.01)
    assert machine.now == 1000.0 + result.waited


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, lambda _: 0.5)
    result = Monitor().wait(patience=2.0)
    assert not result.quiet
    assert result.load == pytest.approx(0.5)
    assert 2.0 <= result.waited <= 2.2


def test_load_that_begins_between_tries_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda now: 0.0 if now < 1000.55 else 1.0)
    monitor = Monitor()
    machine.work(0.5)
    assert monitor.wait().quiet
    monitor.mark()
    machine.work(0.06)
    machine.work(0.05)
    result = monitor.wait(patience=1.0)
    assert not result.quiet


def test_without_proc_stat_the_load_average_is_told_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(quiet, "_PROC_STAT", tmp_path / "missing")
    monkeypatch.setattr(quiet.time, "sleep", lambda _: pytest.fail("slept"))
    monkeypatch.setattr(quiet.os, "getloadavg", lambda: (1000.0, 0.0, 0.0), raising=False)
    assert busy_share() == 1.0
    assert Monitor().wait() == quiet.Quiet(0.0, 1.0, False)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat")
def test_a_spinning_process_is_seen() -> None:
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.1)  # let it start
        assert busy_share(0.2) >= 0.5 / (os.cpu_count() or 1)
    finally:
        hog.kill()
        hog.wait()


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat")
def test_our_own_spinning_is_told_apart() -> None:
    before = quiet.read()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    after = quiet.read()
    assert before is not None
    assert after is not None
    assert after.own - before.own >= 0.1
