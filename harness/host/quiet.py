"""Waiting for a quiet machine: other load on the processors multiplies pulls and builds.

The busy share is taken from the kernel's *idle* time, which Linux keeps exactly between interrupts, and not from its
busy time, which it samples at ticks. /proc/stat rounds to 10 ms, so a share over `window` seconds is known to
10 ms ÷ (window × processors): `window_for` is the shortest window that can distinguish a limit from zero.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

LIMIT = 0.05  # share of the processors others may use; facts: below it pulls repeat within 1 to 4 %
PATIENCE = 30.0  # s

_TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_SHORTEST = 0.05  # s; shorter windows miss what wakes at every tenth of a second
_AVERAGE_LIMIT = 0.5  # of the one-minute load average, which contains our own last tries
_PROC_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class ProcessorTimes:
    """Processor time since boot, summed over the processors, s. `own` is what this process itself has used, s."""

    at: float  # monotonic clock, s
    processors: int
    idle: float
    steal: float  # taken by the hypervisor: neither idle nor busy
    own: float

    def since(self, earlier: ProcessorTimes) -> Use:
        capacity = (self.at - earlier.at) * self.processors
        idle = self.idle - earlier.idle
        steal = self.steal - earlier.steal
        # Rounding, a changed number of processors and the two clocks may push the share below 0 or above 1.
        others = capacity - idle - steal - (self.own - earlier.own)
        return Use(capacity, min(max(others, 0.0), capacity), min(max(steal, 0.0), capacity))


@dataclass(frozen=True, slots=True)
class Use:
    """What became of `capacity` seconds of processor time; `others` leaves out this process."""

    capacity: float
    others: float
    steal: float

    def __add__(self, other: Use) -> Use:
        return Use(self.capacity + other.capacity, self.others + other.others, self.steal + other.steal)

    @property
    def busy_share(self) -> float:
        return self.others / self.capacity if self.capacity else 0.0

    @property
    def steal_share(self) -> float:
        return self.steal / self.capacity if self.capacity else 0.0


@dataclass(frozen=True, slots=True)
class Quiet:
    """How the wait for a quiet machine ended. `load` and `steal` are shares of all processors, 0…1."""

    waited: float  # s
    load: float
    quiet: bool
    steal: float = 0.0


def parse_proc_stat(text: str, *, at: float, own: float) -> ProcessorTimes:
    """/proc/stat as ProcessorTimes. Fields as in proc(5): user nice system idle iowait irq softirq steal."""
    lines = text.splitlines()
    fields = [int(field) for field in lines[0].split()[1:]]
    fields += [0] * (8 - len(fields))
    processors = sum(line.startswith("cpu") for line in lines) - 1
    return ProcessorTimes(at, max(processors, 1), (fields[3] + fields[4]) * _TICK, fields[7] * _TICK, own)


def read() -> ProcessorTimes | None:
    """The processors now; None if there is no /proc/stat."""
    try:
        with _PROC_STAT.open() as file:
            text = file.read()
    except OSError:
        return None
    return parse_proc_stat(text, at=time.monotonic(), own=time.process_time())


def average_share() -> float:
    """One-minute load average per processor, at most 1: all that is known if there is no /proc/stat."""
    try:
        return min(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)
    except (OSError, AttributeError):
        return 0.0


def window_for(limit: float, processors: int) -> float:
    """Shortest window (s) over which one tick of rounding stays within `limit`."""
    return max(_SHORTEST, _TICK / (processors * limit)) if limit > 0 else 1.0


def busy_share(window: float = 0.1) -> float:
    """Share of all processors that others than this process used during the next `window` seconds, 0…1."""
    before = read()
    if before is None:
        return average_share()
    time.sleep(window)
    after = read()
    return after.since(before).busy_share if after else average_share()


class Monitor:
    """Knows whether the machine is quiet. It does not sleep if the gaps between tries already show it.

    Call `mark` when a try has ended and `wait` before the next one. The time between is a gap in which only others
    should run; the gaps of the last `fresh` seconds are pooled until they make a window, so that many short tries in a
    row need one window now and then, and not one window each. A gap that looks busy is followed by whole windows.
    """

    def __init__(self, *, limit: float = LIMIT, fresh: float = 5.0) -> None:
        self.limit = limit
        self.fresh = fresh
        self._gaps: deque[tuple[float, Use]] = deque()
        self._last = read()

    def mark(self) -> None:
        """A try has ended: load from here on comes from other programs."""
        self._last = read()

    def wait(self, patience: float = PATIENCE) -> Quiet:
        """Return as soon as the machine is quiet, and after about `patience` seconds in any case."""
        if self._last is None:  # a load average includes our own tries for a minute: waiting for it would never end
            share = average_share()
            return Quiet(0.0, share, share <= _AVERAGE_LIMIT)
        started = time.monotonic()
        processors = self._last.processors
        window = window_for(self.limit, processors)
        use = self._pooled()
        while True:
            short = window - use.capacity / processors
            if short <= 0:
                if use.busy_share <= self.limit or time.monotonic() - started >= patience:
                    break
                self._gaps.clear()
                short = window
            time.sleep(short)
            use = self._pooled()
        return Quiet(time.monotonic() - started, use.busy_share, use.busy_share <= self.limit, use.steal_share)

    def _pooled(self) -> Use:
        """What happened in the fresh gaps, including the gap since the last reading; a new gap begins."""
        now = read()
        if now is not None and self._last is not None:
            self._gaps.append((now.at, now.since(self._last)))
            self._last = now
            while self._gaps[0][0] < now.at - self.fresh:
                self._gaps.popleft()
        return sum((use for _, use in self._gaps), Use(0.0, 0.0, 0.0))
