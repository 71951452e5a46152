"""How a try ended: a reading, or a status with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import TryFailed
from harness.model import Status
from harness.probes.base import Reading


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reading, or a reason."""

    reading: Reading | None = None
    status: Status = Status.OK
    reason: str = ""
    log: str = ""

    @classmethod
    def of(cls, error: Exception) -> Outcome:
        status = error.status if isinstance(error, TryFailed) else Status.ERROR
        return cls(None, status, str(error), getattr(error, "log", ""))
