"""A wire of known speed between a node and its registry.

The wire is a TCP proxy (proxy.py) in a process of its own, so that the harness's own work never disturbs it; it needs
no root and works wherever a socket does. What is shaped is *payload*: the bytes inside TCP. A real link of the same
nominal speed carries 4 to 6 % less, because of its frames and headers.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.errors import LabError

if TYPE_CHECKING:
    from harness.host.reaper import Scope

_PROXY = Path(__file__).with_name("proxy.py")
_READY = 10.0  # s


@dataclass(frozen=True, slots=True)
class Counters:
    """Payload that went through, B, and connections made since the link began. `down` is from target to client."""

    down: int
    up: int
    connections: int


class Link:
    """A link to `target` ("host:port") that listens on the address `bind`, as a context manager.

    `megabits` is the bandwidth from target to client in Mbit/s of payload, `up_megabits` the other direction
    (unlimited if not given), `rtt` the round-trip time added, s. Raises LabError if it cannot start.
    """

    def __init__(
        self,
        reaper: Scope,
        target: str,
        bind: str = "127.0.0.1",
        *,
        megabits: float = math.inf,
        up_megabits: float = math.inf,
        rtt: float = 0.0,
    ) -> None:
        if not (megabits > 0 and up_megabits > 0 and rtt >= 0):
            raise ValueError("a link needs a bandwidth above 0 and a round-trip time of at least 0")
        self._reaper = reaper
        self.target = target
        self.bind = bind
        self.megabits = megabits
        self.up_megabits = up_megabits
        self.rtt = rtt
        self.address = ""  # host:port, while it runs

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(self._reaper.scope())
            folder = scope.short_folder()
            self._control = folder / "control"
            log = folder / "log"
            # by its file and isolated: nothing of the harness or the user's environment is imported first
            argv = [sys.executable, "-I", str(_PROXY), self.target, "--bind", self.bind]
            argv += ["--control", str(self._control), "--rtt", repr(self.rtt)]
            argv += ["--megabits", repr(self.megabits), "--up-megabits", repr(self.up_megabits)]
            process = scope.spawn(argv, log=log)
            deadline = time.monotonic() + _READY
            while not self.address:
                with contextlib.suppress(OSError):
                    self.address = str(self._ask()["address"])
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text(errors="replace").strip().splitlines()[-1:]
                    raise LabError(
                        f"the link did not start: {said[0] if said else 'no answer'}",
                        where=f"{self.bind} → {self.target}",
                        fix="Check that the address is one of this machine's.",
                    )
                time.sleep(0.002)
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.address = ""
        self._running.close()

    def counters(self) -> Counters:
        """What has passed through so far. Raises LabError if the link is gone."""
        try:
            said = self._ask()
        except (OSError, ValueError) as error:
            raise LabError(f"the link does not answer: {error}", where=self.target) from error
        return Counters(*(int(str(said[name])) for name in ("down", "up", "connections")))

    def _ask(self) -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(2.0)
            control.connect(os.fspath(self._control))
            said: dict[str, object] = json.loads(b"".join(iter(lambda: control.recv(4096), b"")))
        return said
