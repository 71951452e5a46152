"""Services that apps need beside them, for example a database. A service starts when a cell first needs it, and runs to
the end.

A service runs in a container of its own on the engine's network. It works only while an app that needs it is measured,
so it does not disturb the measurements of other cells.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from harness.engine.contract import ContainerSpec, Engine
from harness.errors import BaseUnavailable, EngineError, TryFailed
from harness.host.reaper import Scope
from harness.lab.bases.bases import BaseImage, Bases
from harness.lab.link import Link
from harness.model import Cell, Service, Status

_LOOPBACK = "127.0.0.1"
_LOG_TAIL = 40  # lines
_POLL = 0.05  # s


@dataclass(slots=True)
class _Running:
    container: str
    address: str  # host:port on the engine's network
    relay: Link | None = None


class Services:
    """The services of all cells, by app. `bind` is the address of this machine that nodes reach."""

    def __init__(
        self,
        engine: Engine,
        store: Bases,
        bases: Mapping[str, BaseImage | BaseUnavailable],
        reaper: Scope,
        bind: str,
    ) -> None:
        self._engine = engine
        self._store = store
        self._bases = bases
        self._reaper = reaper
        self._bind = bind
        self._running: dict[str, _Running] = {}
        self._guard = threading.Lock()

    def env(self, cell: Cell, *, on_node: bool = False) -> dict[str, str]:
        """The environment of a cell's container, with the address of each service in it; starts those that do not run.

        `on_node` gives addresses that a node's containers reach. Raises TryFailed if a service does not start.
        """
        addresses: dict[str, str] = {}
        for service in cell.app.services:
            if service in cell.beside:
                addresses[service.placeholder] = self._address(cell.app.name, service, on_node=on_node)
            else:
                addresses[service.placeholder] = f"{_LOOPBACK}:{service.port}"
        env = dict(cell.app.env)
        for placeholder, address in addresses.items():
            env = {name: value.replace(placeholder, address) for name, value in env.items()}
        return env

    def close(self) -> None:
        with self._guard:
            for running in self._running.values():
                self._end(running)
            self._running.clear()

    def _end(self, running: _Running) -> None:
        if running.relay:
            running.relay.__exit__(None, None, None)
        with contextlib.suppress(EngineError):  # the engine itself may be gone, and the container with it
            self._engine.remove(running.container)

    def _address(self, app: str, service: Service, *, on_node: bool) -> str:
        with self._guard:
            name = _name(app, service)
            running = self._running.get(name)
            if running is None or not self._engine.state(running.container).running:
                if running:
                    self._end(running)
                running = self._running[name] = self._start(app, service)
            if not on_node or self._bind == _LOOPBACK:
                return running.address
            # every node reaches this machine's own address, however the firewall treats bridges
            if running.relay is None:
                running.relay = Link(self._reaper, running.address, self._bind).__enter__()
            return running.relay.address

    def _start(self, app: str, service: Service) -> _Running:
        base = self._bases[service.base]
        what = f"{service.title}, a service of {app},"
        if isinstance(base, BaseUnavailable):
            raise TryFailed(Status.ERROR, f"{what} has no base: {base}") from base
        container = ""
        try:
            self._store.load(self._engine, (base,))
            spec = ContainerSpec(image=base.name, command=service.command or None, env=service.env)
            container = self._engine.create(spec)
            self._engine.start(container)
            address = self._wait(container, service, what)
        except BaseException as error:  # also Ctrl-C: no container may outlive the call that made it
            log = self._engine.logs(container, tail=_LOG_TAIL) if container else ""
            if container:
                self._engine.remove(container)
            if isinstance(error, TryFailed):
                raise TryFailed(error.status, error.reason, log=log) from error
            if isinstance(error, EngineError):
                raise TryFailed(Status.ERROR, f"{what} cannot be started: {error}", log=log) from error
            raise
        return _Running(container, f"{address}:{service.port}")

    def _wait(self, container: str, service: Service, what: str) -> str:
        """The container's address, once it accepts connections there.

        If the engine is on another machine, nothing can be asked from here; then the app itself must wait for the
        service.
        """
        deadline = time.monotonic() + service.start_timeout
        while True:
            state = self._engine.state(container)
            if not state.running:
                raise TryFailed(Status.EXITED, f"{what} exited with code {state.exit_code}")
            if not self._engine.info.local:
                return state.address
            try:
                socket.create_connection((state.address, service.port), timeout=1.0).close()
            except OSError:
                pass
            else:
                return state.address
            if time.monotonic() > deadline:
                silence = f"{what} accepts no connection on port {service.port} in {service.start_timeout:g} s"
                raise TryFailed(Status.TIMEOUT, silence)
            time.sleep(_POLL)


def _name(app: str, service: Service) -> str:
    """Tells services apart: two revisions of an app may each have a service of one name that runs differently."""
    return repr((app, service.name, service.base, service.port, service.command, sorted(service.env.items())))
