"""Waiting for a quiet machine before each timed measurement, as long as waiting helps."""

from __future__ import annotations

from harness.host.quiet import PATIENCE, Monitor, Quiet
from harness.ledger import Ledger

SHARE = 0.05  # share of a run's time that may be spent waiting
_LEAST_PATIENCE = 0.5  # s to wait for a machine that was not quiet the last few times


class Pace:
    """If the machine does not become quiet, it is measured as it is and its load is stored, because waiting must not
    use up the time.

    After each wait in vain the next wait is half as long, and all waits together take at most SHARE of the run so far.
    """

    def __init__(self, monitor: Monitor, ledger: Ledger) -> None:
        self._monitor = monitor
        self._ledger = ledger
        self._patience = PATIENCE
        self._waited = 0.0  # s

    def wait(self) -> Quiet:
        """Return once the machine is quiet, or when the patience has ended."""
        with self._ledger.spend("waiting"):
            allowed = max(SHARE * self._ledger.elapsed - self._waited, 0.0)
            quiet = self._monitor.wait(min(self._patience, allowed))
        self._waited += quiet.waited
        self._patience = PATIENCE if quiet.quiet else max(self._patience / 2, _LEAST_PATIENCE)
        return quiet

    def mark(self) -> None:
        """A measurement has ended: load from here on comes from other programs."""
        self._monitor.mark()
