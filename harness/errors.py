"""The error tree.

    TareError                   every error that a user can see; the command line prints it without a traceback
    ├── CatalogueError          a mistake in apps/ or variants/: file, line, fix
    ├── UsageError              a request that cannot be met as asked
    ├── StoreError              a run folder that cannot be read or written
    ├── LabError                a piece of equipment (base, depot, registry, link, node) is not available
    │   └── BaseUnavailable     a base is not available; the cells that use it fail, and the run continues
    ├── EngineError             the container engine refused or failed
    │   ├── EngineUnavailable   no engine answers and none may or can be started
    │   ├── BuildFailed         a Dockerfile step failed: step, log tail
    │   ├── PullFailed          an image could not be fetched
    │   └── ContainerFailed     a container could not be created or started
    └── TryFailed               one try of a probe failed: status, reason, log tail; recorded, never fatal

Every error says what is wrong, where, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from harness.model import Status


class TareError(Exception):
    """A failure that is explained to the user in one message.

    `what` is the fault, `where` the file (and line) or object it lies in, `fix` what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.fix}" if self.fix else text


class CatalogueError(TareError):
    """A mistake in a file of apps/ or variants/."""

    def __init__(self, what: str, *, path: Path, line: int | None = None, fix: str) -> None:
        super().__init__(what, where=f"{path}:{line}" if line else str(path), fix=fix)
        self.path = path
        self.line = line


class UsageError(TareError):
    """A request that cannot be met as asked."""


class StoreError(TareError):
    """A run folder that cannot be read or written."""

    @classmethod
    def unwritable(cls, path: Path, error: OSError) -> Self:
        """What was to be written at `path` could not be."""
        why = error.strerror or str(error)
        return cls(f"cannot be written: {why}", where=str(path), fix="Free space, or check its permissions.")


class LabError(TareError):
    """A piece of equipment is not available."""


class BaseUnavailable(LabError):
    """A base is not available in this lane. The cells that use it fail with this reason."""


class EngineError(TareError):
    """The container engine refused or failed."""


class EngineUnavailable(EngineError):
    """No engine answers, and none may or can be started."""


class BuildFailed(EngineError):
    """A build step failed. `step` is the Dockerfile instruction, `log` the last lines it printed."""

    def __init__(self, what: str, *, step: str = "", log: str = "") -> None:
        super().__init__(what, where=step)
        self.step = step
        self.log = log


class PullFailed(EngineError):
    """An image could not be fetched."""


class ContainerFailed(EngineError):
    """A container could not be created or started."""


class TryFailed(TareError):
    """One try of a probe failed; the runner records it with its status and goes on."""

    def __init__(self, status: Status, reason: str, *, log: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.log = log
