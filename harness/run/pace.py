"""Waiting for a quiet machine before each timed measurement, as long as waiting helps."""

from __future__ import annotations

from harness.host.quiet import PATIENCE, Monitor, Quiet
from harness.ledger import Ledger

SHARE = 0.05  # of a run's time may be spent waiting
_LEAST_PATIENCE = 0.5  # s to wait for a machine that was not quiet the last times


class Pace:
    """A machine that does not become quiet is measured as it is, and its load is stored: waiting must not eat the time.

    After each wait that was in vain the next one is half as long, and all waiting together takes at most SHARE of the
    run so far.
    """

    def __init__(self, monitor: Monitor, ledger: Ledger) -> None:
        self._monitor = monitor
        self._ledger = ledger
        self._patience = PATIENCE
        self._waited = 0.0  # s

    def wait(self) -> Quiet:
        """Return once the machine is quiet, or when the patience is at its end."""
        with self._ledger.spend("waiting"):
            allowed = max(SHARE * self._ledger.elapsed - self._waited, 0.0)
            quiet = self._monitor.wait(min(self._patience, allowed))
        self._waited += quiet.waited
        self._patience = PATIENCE if quiet.quiet else max(self._patience / 2, _LEAST_PATIENCE)
        return quiet

    def mark(self) -> None:
        """A measurement has ended: whatever runs from here on is somebody else's."""
        self._monitor.mark()
