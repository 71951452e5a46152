"""Where the time goes: every second of a run is booked on one account.

The harness's own share is shown twice, so that it cannot hide: as the time that is booked on no activity, and as the
processor time that this process has used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

HARNESS = "harness"


class Ledger:
    """Accounts of seconds. Activities may nest: a second belongs to the innermost."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._last = clock()
        self._cpu = time.process_time()
        self._stack = [HARNESS]
        self._accounts: dict[str, float] = {}

    @contextmanager
    def spend(self, activity: str) -> Iterator[None]:
        """Book the time of the block on `activity`."""
        self._book()
        self._stack.append(activity)
        try:
            yield
        finally:
            self._book()
            self._stack.pop()

    def _book(self) -> None:
        now = self._clock()
        account = self._stack[-1]
        self._accounts[account] = self._accounts.get(account, 0.0) + now - self._last
        self._last = now

    def divide(self, account: str, shares: Mapping[str, float]) -> None:
        """Book what is on `account` on the activities of `shares` instead, in proportion.

        It is meant for work that is done side by side: its seconds overlap, so only their proportion is known.
        """
        self._book()
        whole = sum(shares.values())
        if not whole:
            return
        seconds = self._accounts.pop(account, 0.0)
        for activity, share in shares.items():
            self._accounts[activity] = self._accounts.get(activity, 0.0) + seconds * share / whole

    @property
    def elapsed(self) -> float:
        """Seconds since the ledger was opened."""
        return self._clock() - self._began

    @property
    def processor(self) -> float:
        """Processor seconds this process has used since then."""
        return time.process_time() - self._cpu

    def accounts(self) -> Mapping[str, float]:
        """Seconds by activity, the longest first."""
        self._book()
        return dict(sorted(self._accounts.items(), key=lambda item: -item[1]))

    def line(self) -> str:
        """One line for people: "builds 312 s (52 %), …; harness 4 s (0.6 %), 9 s of processor"."""
        accounts = dict(self.accounts())
        whole = sum(accounts.values()) or 1.0
        own = accounts.pop(HARNESS, 0.0)
        parts = [f"{name} {seconds:.0f} s ({seconds / whole:.0%})" for name, seconds in accounts.items()]
        return f"{', '.join(parts)}; harness {own:.1f} s ({own / whole:.1%}), {self.processor:.0f} s of processor"
