"""Ends whatever the harness started, however the harness ends: Ctrl-C, SIGTERM, SIGHUP, an exception, kill -9.

A Reaper writes a record of a thing to its lease before the thing is made, and undoes the records in reverse order when
it closes. A guardian, a small process in a session of its own, undoes them if the harness dies. If the guardian died
too, the next start of a harness undoes what both left.

The name is that of Testcontainers' resource reaper, which does the same for containers.

Children are not given PR_SET_PDEATHSIG: it fires when the *thread* that started them ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from harness.errors import LabError
from harness.host.cache import open_cache
from harness.host.lease import Lease
from harness.host.undo import COOKIE, Record, find_program, started

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# s: how long the guardian waits for the lock of a dead harness, because a forked child may still hold it
_LOCK_PATIENCE = 1.0


class Scope:
    """Things that end together: registered before they are made, undone in reverse order by `close`."""

    def __init__(self, lease: Lease, token: str, outer: Scope | None = None) -> None:
        self.token = token  # belongs to this reaper alone; part of names and labels
        self._lease = lease
        self._outer = outer
        self._numbers: list[int] = []
        self._children: dict[int, subprocess.Popen[bytes]] = outer._children if outer else {}

    def scope(self) -> Scope:
        """A scope within this one. It may be closed earlier; otherwise this scope closes it."""
        return Scope(self._lease, self.token, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> list[str]:
        """Undo everything of this scope; returns what was removed. Harmless when repeated."""
        numbers, self._numbers = self._numbers, []
        removed = self._lease.undo(numbers)
        self._reap()
        return removed

    def spawn(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace: float = 3.0,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own; its output is appended to `log`, its input is empty.

        It is registered before the program runs: a shell waits for a line from us, and ends without one. At the
        end all processes of the session get SIGTERM and `grace` s, then SIGKILL; grace 0 kills at once.
        Raises LabError if there is no such program.
        """
        program = find_program(command[0])
        if program is None:
            raise LabError(f"{command[0]} is not installed", fix=f"Install the package that contains {command[0]}.")
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh", program, *command[1:]],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**(os.environ if env is None else env), COOKIE: self.token},
                cwd=cwd,
                start_new_session=True,
            )
        assert process.stdin is not None
        record = Record(
            kind="process",
            name=Path(program).name,
            pid=process.pid,
            start=started(process.pid),
            grace=grace,
            label=self.token,
        )
        with contextlib.suppress(BrokenPipeError), process.stdin as go:  # killed already: the caller sees it end
            try:
                self._children[self._add(record)] = process
            except BaseException:
                go.close()
                process.wait()
                raise
            go.write(b"go\n")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End one spawned program (and its session) before the scope ends."""
        self.release(next(number for number, child in self._children.items() if child is process))

    def folder(self, path: Path) -> Path:
        """Make a folder that is removed with all it holds. Raises LabError if it exists already."""
        if path.exists():
            raise LabError("the folder already exists", where=str(path), fix="Remove it.")
        self._add(Record(kind="folder", name=str(path.absolute())))
        path.mkdir(mode=0o711, parents=True)
        return path

    def short_folder(self) -> Path:
        """A new folder with a path short enough for sockets in it (at most 107 bytes, unix(7))."""
        parent = Path("/run") if os.access("/run", os.W_OK) else Path(tempfile.gettempdir())
        return self.folder(parent / f"tare-{secrets.token_hex(4)}")

    def file(self, path: Path) -> int:
        """Register a file that is not there yet; write it afterwards. Raises LabError if it exists already."""
        if path.exists():
            raise LabError("the file already exists", where=str(path), fix="Remove it.")
        return self._add(Record(kind="file", name=str(path.absolute())))

    def shared_folder(self, path: Path) -> None:
        """Make a folder if it is missing; it is removed at the end only if it is empty then."""
        if not path.is_dir():
            self._add(Record(kind="empty", name=str(path)))
            path.mkdir(parents=True, exist_ok=True)

    def link(self, name: str) -> int:
        """Register a network link (bridge, veth); make it afterwards. Returns the number to `release` it by."""
        return self._add(Record(kind="link", name=name))

    def mount(self, path: Path) -> int:
        """Register a mount point; mount afterwards."""
        return self._add(Record(kind="mount", name=str(path.absolute())))

    def cgroup(self, name: str) -> int:
        """Register a top-level cgroup, in all hierarchies."""
        return self._add(Record(kind="cgroup", name=name))

    def bridges(self, data: Path) -> int:
        """Register the bridges that a dockerd with this data root may make for networks it is asked for."""
        return self._add(Record(kind="bridges", name=str(data)))

    def objects(self, endpoint: str, label: str) -> int:
        """Register the containers, networks and images with a label (key=value) on an engine that stays."""
        return self._add(Record(kind="objects", name=endpoint, label=label))

    def release(self, number: int) -> None:
        """Undo one record now."""
        self._lease.undo([number])
        self._reap()

    def _add(self, record: Record) -> int:
        number = self._lease.add(record)
        scope: Scope | None = self
        while scope is not None:
            scope._numbers.append(number)
            scope = scope._outer
        return number

    def _reap(self) -> None:
        for number, process in list(self._children.items()):
            if number not in self._lease.records:
                process.wait()
                del self._children[number]


class Reaper(Scope):
    """The scope of a whole run, with its lease and its guardian. A context manager; `removed` lists what it undid.

    While it is open, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, as Ctrl-C does, unless the
    program has handlers of its own for them.
    """

    def __init__(self, cache: Path) -> None:
        token = secrets.token_hex(4)
        open_cache(cache)
        super().__init__(Lease.create(cache / "leases", token), token)
        self.removed: list[str] = []
        self._handled: list[signal.Signals] = []
        reading, self._alive = os.pipe()
        with self._lease.log.open("wb") as log:
            self._guardian: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, str(self._lease.path), str(os.getpid())],
                stdin=reading,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],  # the package is found from here even if it is not installed
                start_new_session=True,
            )
        os.close(reading)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _interrupt)
                    self._handled.append(number)
        return self

    def close(self) -> list[str]:
        """Undo everything still registered, scopes included, and dismiss the guardian."""
        if self._guardian is None:
            return self.removed
        self._numbers = list(self._lease.records)
        self.removed += super().close()
        self._lease.close()  # before the guardian may look: it must not wait for the lock
        os.close(self._alive)
        if not self._lease.records:
            self._guardian.kill()  # it may be starting still
        self._guardian.wait()
        self._guardian = None
        while self._handled:
            signal.signal(self._handled.pop(), signal.SIG_DFL)
        return self.removed


def sweep(cache: Path) -> list[str]:
    """Undo the leases whose owner and guardian are dead, and only those; returns what was removed.

    After a reboot only files and folders can be left. What cannot be undone is logged and left
    for the next sweep.
    """
    removed = []
    for path in sorted((cache / "leases").glob("*.json")):
        lease = Lease.take(path)
        if lease is not None:
            removed += lease.undo(list(lease.records))
            lease.close()
    return removed


def guard(path: Path, owner: int) -> None:
    """The guardian: wait for the owner's end, then undo what it left. Standard input is the owner's pipe."""
    for number in (signal.SIGINT, *_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    watched = [0]
    if hasattr(os, "pidfd_open"):  # a child forked by the owner may hold the pipe open longer than the owner lives
        with contextlib.suppress(ProcessLookupError):
            watched.append(os.pidfd_open(owner))
    if os.getppid() == owner:  # if not, it died before we came to this point
        select.select(watched, [], [])
    lease = Lease.take(path, patience=_LOCK_PATIENCE, force=True)
    if lease is not None:
        lease.undo(list(lease.records))
        lease.close()


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    guard(Path(sys.argv[1]), int(sys.argv[2]))
