"""Starting a container and waiting for its first valid answer: one sequence for probes and verification alike."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.cell.ask import Poller
from harness.engine.contract import ContainerSpec, Engine
from harness.errors import EngineError, TryFailed
from harness.model import App, Request, Status

LOG_TAIL = 40  # last lines of a failed container's output that are kept


@dataclass(frozen=True, slots=True)
class Door:
    """Where to ask an app, and which request to send: `ready` is polled for up to `timeout` seconds after the start
    call.
    """

    address: str
    port: int
    ready: Request
    timeout: float

    @classmethod
    def of(cls, app: App, address: str, port: int) -> Door:
        return cls(address, port, app.ready, app.start_timeout)


@dataclass(frozen=True, slots=True)
class Started:
    """A container that answers. Monotonic times (s): the create call, its return, the start call's return, the
    first valid answer (which may come before the start call has returned)."""

    container: str
    called: float
    created: float
    started: float
    ready: float

    @property
    def total(self) -> float:
        """s from the create call to the first valid answer."""
        return self.ready - self.called


def start_and_ask(engine: Engine, spec: ContainerSpec, door: Door) -> Started:
    """Create and start a container and wait for its first valid answer; the caller removes it.

    Raises TryFailed with the container's log; then the container is removed already.
    """
    container = ""
    try:
        with Poller(
            door.address, door.port, door.ready, timeout=door.timeout, alive=lambda: _gone(engine, container)
        ) as poller:
            called = time.monotonic()
            container = engine.create(spec)
            created = time.monotonic()
            engine.start(container)
            started = time.monotonic()
            poller.started()
            return Started(container, called, created, started, poller.result())
    except BaseException as error:  # on Ctrl-C too: a container must not outlive the call that made it
        log = _bury(engine, container)
        if isinstance(error, TryFailed):
            raise TryFailed(error.status, error.reason, log=log) from error
        if isinstance(error, EngineError):
            raise TryFailed(Status.ERROR, str(error), log=log) from error
        raise


def _gone(engine: Engine, container: str) -> str:
    """Why the container does not run (any more); "" while it does."""
    state = engine.state(container)
    if state.running:
        return ""
    why = "out of memory" if state.oom_killed else state.error or f"exit code {state.exit_code}"
    return f"the app exited before it answered ({why})"


def _bury(engine: Engine, container: str) -> str:
    """Remove the container; returns its last lines."""
    if not container:
        return ""
    try:
        return engine.logs(container, tail=LOG_TAIL)
    except EngineError:
        return ""
    finally:
        engine.remove(container)
