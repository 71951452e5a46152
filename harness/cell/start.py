"""Starting a container and waiting until it works: one sequence for probes and verification alike.

What an app does to show that it works is its readiness: a valid answer, an accepted connection, a line of its log, or
its end. Answers and connections are polled from before the start call. A log line counts from the time at which the
engine received it, so it does not matter how often the log is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.cell.ask import Poller
from harness.engine.contract import ContainerSpec, Engine
from harness.errors import EngineError, TryFailed
from harness.model import App, Connection, LogLine, Readiness, Request, Status

LOG_TAIL = 40  # lines of a failed container's output that are kept
_LOG_INTERVAL = 0.05  # s between two looks at a log


@dataclass(frozen=True, slots=True)
class Door:
    """Where an app is asked, and for what: `ready` is waited for up to `timeout` seconds after the start call."""

    address: str
    port: int
    ready: Readiness
    timeout: float

    @classmethod
    def of(cls, app: App, address: str, port: int) -> Door:
        return cls(address, port, app.ready, app.start_timeout)


@dataclass(frozen=True, slots=True)
class Started:
    """A container that works, or a job that has ended. Monotonic times (s): the create call, its return, the start
    call's return, and when it was ready (which may be before the start call has returned)."""

    container: str
    called: float
    created: float
    started: float
    ready: float

    @property
    def total(self) -> float:
        """s from the create call until it was ready."""
        return self.ready - self.called


def start_and_ask(engine: Engine, spec: ContainerSpec, door: Door) -> Started:
    """Create and start a container and wait until it is ready; the caller removes it.

    Raises TryFailed with the container's log; then the container is removed already.
    """
    if isinstance(door.ready, Request | Connection):
        return _start_and_poll(engine, spec, door, door.ready)
    return _start_and_watch(engine, spec, door)


def _start_and_poll(engine: Engine, spec: ContainerSpec, door: Door, ready: Request | Connection) -> Started:
    container = ""
    try:
        with Poller(
            door.address, door.port, ready, timeout=door.timeout, alive=lambda: _gone(engine, container)
        ) as poller:
            called = time.monotonic()
            container = engine.create(spec)
            created = time.monotonic()
            engine.start(container)
            started = time.monotonic()
            poller.started()
            return Started(container, called, created, started, poller.result())
    except BaseException as error:  # also Ctrl-C: a container must not outlive the call that made it
        _fail(error, _bury(engine, container))
        raise


def _start_and_watch(engine: Engine, spec: ContainerSpec, door: Door) -> Started:
    """The same for what the container itself shows: nothing is asked over a network."""
    container = ""
    try:
        called = time.monotonic()
        container = engine.create(spec)
        created = time.monotonic()
        engine.start(container)
        started = time.monotonic()
        ready = (
            _written(engine, container, door) if isinstance(door.ready, LogLine) else _ended(engine, container, door)
        )
        return Started(container, called, created, started, max(ready, created))
    except BaseException as error:
        _fail(error, _bury(engine, container))
        raise


def _written(engine: Engine, container: str, door: Door) -> float:
    """Monotonic time at which the engine received the line that is waited for. Raises TryFailed."""
    assert isinstance(door.ready, LogLine)
    ahead = time.time() - time.monotonic()  # of Unix time, in which engines date their logs
    deadline = time.monotonic() + door.timeout
    since = 0.0
    while True:
        gone = _gone(engine, container)  # before the log, whose last line may be the one
        for at, line in engine.log_since(container, since):
            if door.ready.text in line:
                return at - ahead
            since = at
        if gone:
            raise TryFailed(Status.EXITED, gone)
        if time.monotonic() > deadline:
            reason = f"no log line with {door.ready.text!r} within {door.timeout:g} s of the start"
            raise TryFailed(Status.TIMEOUT, reason)
        time.sleep(_LOG_INTERVAL)


def _ended(engine: Engine, container: str, door: Door) -> float:
    """Monotonic time at which the engine reported that the container has ended. Raises TryFailed unless it ended
    well.
    """
    try:
        code = engine.wait(container, timeout=door.timeout)
    except EngineError as error:
        if engine.state(container).running:
            raise TryFailed(Status.TIMEOUT, f"it has not ended within {door.timeout:g} s of the start") from error
        raise
    at = time.monotonic()
    if code:
        why = "out of memory" if engine.state(container).oom_killed else f"exit code {code}"
        raise TryFailed(Status.EXITED, f"the job failed ({why})")
    return at


def _fail(error: BaseException, log: str) -> None:
    """Raise an error of a try with the container's last lines; returns if the error is of another kind."""
    if isinstance(error, TryFailed):
        raise TryFailed(error.status, error.reason, log=log) from error
    if isinstance(error, EngineError):
        raise TryFailed(Status.ERROR, str(error), log=log) from error


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
