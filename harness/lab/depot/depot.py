"""The depot: a caching proxy that builds fetch their packages from, private to the harness.

nginx from the distribution, started by hand (nginx.py has its configuration), with the host's own upstreams and
certificate authorities behind it (upstreams.py). Builds find it through files that are mounted for the length of a RUN
(clients.py). The cache outlives a run: what was fetched once is served with the network gone.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from harness.engine.contract import RunStep
from harness.errors import LabError
from harness.lab.apt.sources import without_credentials
from harness.lab.depot import clients, nginx
from harness.lab.depot.upstreams import Upstreams, read
from harness.settings import Settings

if TYPE_CHECKING:
    from harness.host.reaper import Scope

SIZE = 20 * 1000**3  # B: the largest size of the cache; the least recently used file is removed first

_SERVED = ("HIT", "STALE", "UPDATING")  # answered from the cache alone
_NO_ROUTE = ("502", "504")  # RFC 9110, 15.6.3 and 15.6.5: the upstream could not be reached, or was silent
_READY = 10.0  # s
_PORT_TRIES = 5  # another program may take a free port before nginx does


@dataclass(frozen=True, slots=True)
class DepotStats:
    """What the depot has answered since it was opened. `bytes` counts bodies as sent; a miss is an answer that an
    upstream was asked for.
    """

    requests: int
    hits: int
    misses: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.hits} from the cache, {self.bytes / 1e6:.1f} MB"


class Depot:
    """A depot on address `bind`, for as long as its `with` block lasts.

    `announce` is called with a message if a program has to be installed first. Raises LabError if it cannot be started.
    """

    def __init__(
        self,
        settings: Settings,
        reaper: Scope,
        bind: str,
        *,
        announce: Callable[[str], None] = lambda _: None,
        upstreams: Upstreams | None = None,
    ) -> None:
        self.upstreams = upstreams or read()
        self.bind = bind
        self.port = 0
        self._cache = settings.cache / "depot"
        self._reaper = reaper
        self._announce = announce

    @staticmethod
    def impossible(upstreams: Upstreams | None = None) -> str:
        """Why nginx cannot reach what this machine reaches; "" if it can."""
        upstreams = upstreams or read()
        if proxied := sorted(without_credentials(url) for url in upstreams.proxies):
            return f"this machine reaches {proxied[0]} through a proxy, and nginx cannot use a proxy"
        if not upstreams.nameservers:
            return "/etc/resolv.conf names no server"
        return "" if upstreams.authorities else "this machine has no certificate authorities"

    @property
    def url(self) -> str:
        return f"http://{self.bind}:{self.port}"

    @property
    def secrets(self) -> Mapping[str, bytes]:
        """Secret id → file, for the session of a build."""
        return clients.files(self.upstreams, self.bind, self.port)

    def secrets_for(self, step: RunStep) -> Mapping[str, str]:
        """Which of the secrets a step of a build gets, by path; see clients.secrets_for."""
        return clients.secrets_for(step, self.secrets)

    def stats(self) -> DepotStats:
        requests = hits = sent = 0
        for fields in self._answers_since(0):
            if fields["cache"] != "-":
                requests += 1
                hits += fields["cache"] in _SERVED
                sent += int(fields["bytes"])
        return DepotStats(requests, hits, requests - hits, sent)

    def position(self) -> int:
        """The present length of its log, for `missed` and `unreachable`."""
        return (self._folder / "access.log").stat().st_size

    def missed(self, since: int) -> int:
        """How many answers after the position `since` an upstream was asked for."""
        return sum(fields["cache"] not in (*_SERVED, "-") for fields in self._answers_since(since))

    def unreachable(self, since: int) -> tuple[str, ...]:
        """Hosts that could not be reached, by answers after the position `since`, because clients seldom say why they
        fail.
        """
        failed = (fields["target"] for fields in self._answers_since(since) if fields["status"] in _NO_ROUTE)
        return tuple(sorted({urlsplit(target).netloc.rpartition("@")[2] for target in failed} - {""}))

    def _answers_since(self, position: int) -> Iterator[dict[str, str]]:
        with (self._folder / "access.log").open(errors="replace") as log:
            log.seek(position)
            for line in log:
                fields = line.rstrip("\n").split("\t")
                if len(fields) == len(nginx.LOG_FIELDS):
                    yield dict(zip(nginx.LOG_FIELDS, fields, strict=True))

    def offline(self, cut: bool) -> None:
        """Disconnect the upstreams, or connect them again."""
        if cut:
            (self._folder / "offline").touch()
        else:
            (self._folder / "offline").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        from harness.host.packages import ensure

        if reason := self.impossible(self.upstreams):
            raise LabError(reason, where="depot", fix="Use TARE_DEPOT=off. Builds then fetch packages directly.")
        program = ensure({"nginx": "nginx"}, announce=self._announce, reaper=self._reaper)["nginx"]
        self._cache.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(self._reaper.scope())
            self._folder = scope.short_folder()  # the folder holds a socket
            (self._folder / "temp").mkdir()
            bundle = self._folder / "authorities.pem"
            bundle.write_bytes(b"\n".join(path.read_bytes() for path in self.upstreams.authorities))
            for left in reversed(range(_PORT_TRIES)):
                self.port = _free_port(self.bind)
                attempt = stack.enter_context(self._reaper.scope())
                try:
                    self._start(attempt, program, bundle)
                    break
                except LabError:
                    attempt.close()
                    if not left:
                        raise
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, scope: Scope, program: str, bundle: Path) -> None:
        config = self._folder / "nginx.conf"
        text = nginx.configuration(
            self.upstreams,
            bind=self.bind,
            port=self.port,
            folder=self._folder,
            cache=self._cache,
            size=SIZE,
            bundle=bundle,
            user="root" if os.geteuid() == 0 else "",
        )
        config.touch(mode=0o600)  # it may hold passwords
        config.write_text(text, encoding="utf-8")
        log = self._folder / "nginx.log"
        process = scope.spawn([program, "-c", str(config), "-p", str(self._folder)], log=log)
        deadline = time.monotonic() + _READY
        while process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.01)
        said = [line for line in log.read_text(errors="replace").splitlines() if "[emerg]" in line][-1:]
        raise LabError(f"nginx did not start: {said[0] if said else 'no answer'}", where=f"{self.bind}:{self.port}")

    def _answers(self) -> bool:
        """Whether our nginx answers: it refuses an address that belongs to no upstream."""
        connection = http.client.HTTPConnection(self.bind, self.port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.client.FORBIDDEN
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port(address: str) -> int:
    """A port that is free on it. Raises LabError if the address does not belong to this machine."""
    with socket.socket() as listener:
        try:
            listener.bind((address, 0))
        except OSError as error:
            raise LabError(f"no port can be opened: {error}", where=address) from error
        port: int = listener.getsockname()[1]
        return port
