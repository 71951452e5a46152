"""The end of a budget: whatever the main thread does then, however long it would take, is ended."""

from __future__ import annotations

import signal
import threading
import time
from types import TracebackType
from typing import Any, Self

_CLOSING = 0.03  # share of a budget that is kept for what follows the last measurement: closing the lab, the tables …
_LONGEST_CLOSING = 20.0  # … but not more than this, s


class OutOfTime(BaseException):
    """The budget is spent. Not an Exception: no failure of a try may swallow it."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def working_time(budget: float) -> float:
    """The seconds of a budget that may be spent until the last measurement has ended."""
    return budget - min(_CLOSING * budget, _LONGEST_CLOSING)


def closing_time(budget: float) -> float:
    """The seconds of a budget after which a measurement that still goes on is ended."""
    return (budget + working_time(budget)) / 2


class Deadline:
    """Raises OutOfTime in the main thread after `seconds`, unless cancelled before; None: never.

    SIGTERM raises Terminated meanwhile. In any other thread than the main one nothing happens.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._before: dict[int, Any] = {}
        self._timer = 0.0  # s that another timer of this process had left
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
        """The work has ended: what follows is not interrupted any more."""
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
