"""The lease of a reaper: what it has made, on disk, so that another process can undo it.

A lease (<cache>/leases/<pid>-<start>-<token>.json) is JSON lines: a header, then a line for every record made or
undone, each synced to disk. Reaper and guardian hold a lock on it for as long as they live, so a lease that can be
locked is one whose owner is dead: that holds across pid namespaces and reboots, where a pid says nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

from harness.host.undo import Record, started, undo

_log = logging.getLogger(__name__)

_FILES = ("folder", "file", "empty")  # kinds of records that outlive a reboot


class Lease:
    """The file of records: what must be undone, by number, in the order in which it was made."""

    def __init__(self, path: Path, descriptor: int, records: dict[int, Record]) -> None:
        self.path = path
        self.log = path.with_suffix(".log")  # the guardian's log; it stays if something could not be undone
        self.records = records
        self._descriptor = descriptor
        self._next = max(records, default=-1) + 1
        self._guard = threading.RLock()

    @classmethod
    def create(cls, folder: Path, token: str) -> Self:
        """A new, locked lease; it takes its name only once it is locked, so that no sweep takes it for a dead one."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        start = started(os.getpid()).replace(" ", "-")
        path = folder / f"{os.getpid()}-{start}-{token}.json"
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        lease = cls(path, descriptor, {})
        lease._append({"version": 1, "boot": boot_id(), "pid": os.getpid(), "start": start})
        draft.rename(path)
        return lease

    @classmethod
    def take(cls, path: Path, *, patience: float = 0.0, force: bool = False) -> Self | None:
        """The lease of a dead owner; None if the owner lives (or may live) or if the file is gone.

        A caller that knows that the owner is dead sets `force`: then it goes on without the lock after `patience` s.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError:
            return None
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                if not force:
                    os.close(descriptor)
                    return None
            break
        if not path.exists():  # whoever held the lock has finished the work
            os.close(descriptor)
            return None
        boot, records = _parse(path.read_text(errors="replace").splitlines())
        if boot != boot_id():  # nothing but files outlives a reboot, and names may have come to mean other things
            records = {number: record for number, record in records.items() if record.kind in _FILES}
        return cls(path, descriptor, records)

    def add(self, record: Record) -> int:
        """Write the record to disk; returns its number. The thing may be made once this has returned."""
        with self._guard:
            number, self._next = self._next, self._next + 1
            self._append({"made": number, **asdict(record)})
            self.records[number] = record
            return number

    def drop(self, number: int) -> None:
        with self._guard:
            self._append({"undone": number})
            self.records.pop(number, None)

    def undo(self, numbers: Iterable[int]) -> list[str]:
        """Undo these, last made first, and never stop at a failure; returns what was there and is gone.

        What fails keeps its record, for the guardian or the next sweep to try again.
        """
        removed = []
        for number in sorted(numbers, reverse=True):
            record = self.records.get(number)
            if record is None:
                continue
            try:
                if undo(record):
                    _log.info("removed %s", record)
                    removed.append(str(record))
            except Exception as error:  # noqa: BLE001 - whatever one step meets, the others must still be undone
                _log.warning("%s is left: %s", record, error)
            else:
                self.drop(number)
        return removed

    def close(self) -> None:
        """Remove the file (and the guardian's log) if nothing is left to undo, and release the lock."""
        with self._guard:
            if not self.records:
                self.path.unlink(missing_ok=True)
                self.log.unlink(missing_ok=True)
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _append(self, entry: Mapping[str, object]) -> None:
        os.write(self._descriptor, (json.dumps(entry) + "\n").encode())
        os.fsync(self._descriptor)


def boot_id() -> str:
    """Identity of the running kernel's boot; "" if the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _parse(lines: Iterable[str]) -> tuple[str, dict[int, Record]]:
    """Boot id and the records not undone. A torn last line belongs to a thing that was never made."""
    boot = ""
    records: dict[int, Record] = {}
    for line in lines:  # one that is no record is passed over: the others must still be undone
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            entry = json.loads(line)
            if "boot" in entry:
                boot = str(entry["boot"])
            elif "undone" in entry:
                records.pop(entry["undone"], None)
            else:
                number = int(entry.pop("made"))
                records[number] = Record(**entry)
    return boot, records
