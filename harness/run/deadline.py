"""The end of a budget: it interrupts the main thread, whatever that does."""

from __future__ import annotations

import signal
import threading
import time
from types import TracebackType
from typing import Any, Self

_CLOSING = 0.03  # share of a budget that is kept for the work after the last measurement: closing the lab, the tables …
_LONGEST_CLOSING = 20.0  # … but not more than this, s


class OutOfTime(BaseException):
    """The budget is spent. It is not an Exception, so that no handler of a failed try catches it."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def working_time(budget: float) -> float:
    """The seconds of a budget until the last measurement must have ended."""
    return budget - min(_CLOSING * budget, _LONGEST_CLOSING)


def closing_time(budget: float) -> float:
    """The seconds of a budget after which a running measurement is interrupted."""
    return (budget + working_time(budget)) / 2


class Deadline:
    """Raises OutOfTime in the main thread after `seconds`, unless cancelled before; None: never.

    SIGTERM raises Terminated within the block. In other threads than the main thread nothing happens.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._before: dict[int, Any] = {}
        self._timer = 0.0  # s that were left of another timer of this process
        self._began = 0.0
        self._active = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._active = True
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, _terminate)
            if self._seconds is not None:
                self._began = time.monotonic()
                self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _end)
                self._timer, _ = signal.setitimer(signal.ITIMER_REAL, max(self._seconds, 1e-3))
        return self

    def cancel(self) -> None:
        """The work has ended: nothing after it is interrupted."""
        if not self._active:
            return
        self._active = False
        if signal.SIGALRM in self._before:
            left = self._timer - (time.monotonic() - self._began)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3) if self._timer else 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def _end(*_: object) -> None:
    raise OutOfTime


def _terminate(*_: object) -> None:
    raise Terminated
