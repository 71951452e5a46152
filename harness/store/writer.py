"""The only writer of a run folder: every try is on disk before the next one starts.

The folder's layout is in harness/store/run.py, which reads it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from harness.errors import StoreError
from harness.host.files import replace_file, sync_folder
from harness.model import Try
from harness.store import format as records
from harness.store.documents import FOLDER, versions
from harness.store.format import Lines, Manifest, encode, from_try, read_manifest, read_sessions


class RunWriter:
    """Appends to a run folder as its only writer: a second writer is refused. Use as a context manager, or
    `close()`.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, argv: Sequence[str]) -> None:
        """Use `create` or `resume`."""
        self.folder = folder
        self.manifest = manifest
        self._samples = _open_locked(folder)
        self._sessions = -1
        try:
            self.warnings = _set_torn_aside(folder / "samples.jsonl") + _set_torn_aside(folder / "sessions.jsonl")
            self._sessions = os.open(folder / "sessions.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            sync_folder(folder)
            self.session = len(read_sessions(folder)[0])
            self._event("start", argv=list(argv), pid=os.getpid())
        except BaseException:
            self._release()
            raise

    @classmethod
    def create(cls, results: Path, manifest: Manifest, *, argv: Sequence[str] = ()) -> Self:
        """A new folder under `results`, named by UTC time and four random digits. Raises StoreError."""
        now = time.time()
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"
        manifest = replace(manifest, run=name, started=now, schema=records.SCHEMA)
        folder = results / name
        try:
            folder.mkdir(parents=True)
            (folder / "samples.jsonl").touch()
            record = encode(manifest, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            replace_file(folder / "manifest.json", record, durable=True)  # a folder without manifest is no run yet
            sync_folder(results)
        except OSError as error:
            raise StoreError.unwritable(folder, error) from error
        return cls(folder, manifest, argv=argv)

    @classmethod
    def resume(cls, folder: Path, *, argv: Sequence[str] = ()) -> Self:
        """Go on with a run, after a kill too; `warnings` says what was set aside. Raises StoreError."""
        manifest = read_manifest(folder)
        if records.changes_of_samples(manifest.schema):  # new lines would not have the same form
            raise StoreError(
                f"the run was begun with schema {manifest.schema}, this Tare writes schema {records.SCHEMA}",
                where=str(folder),
                fix="You can report this run but not resume it. Start a new run.",
            )
        return cls(folder, manifest, argv=argv)

    def append(self, try_: Try) -> None:
        """Put a try on disk, stamped with this session. Returns when it would survive a power cut.

        Raises StoreError, and leaves the file as it was, if the disk is full or a number is not finite.
        """
        self._append(self._samples, encode(from_try(replace(try_, session=self.session))))

    def images(self, images: Mapping[str, str]) -> None:
        """Record the image ids (by cell) that this session measures; may be called again as cells are built."""
        self._event("images", images=dict(images))

    def artefact(self, cell: str, name: str, data: bytes | str) -> Path:
        """Keep `data` as artefacts/<cell>/<name>; if the newest document of that name has other data, it is kept as
        name.1, name.2 …
        """
        for part in (cell, name):
            if Path(part).name != part or part == "..":
                raise StoreError(f"{part!r} is not a valid name of an artefact", fix="Use a plain file name.")
        content = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        folder = self.folder / FOLDER / cell
        try:
            known = versions(self.folder, cell, name)
            if known and known[-1].read_bytes() == content:
                return known[-1]
            path = folder / (f"{name}.{len(known)}" if known else name)
            replace_file(path, content)
        except OSError as error:
            raise StoreError.unwritable(folder, error) from error
        return path

    def close(self, outcome: str = "complete") -> None:
        """End the session and free the folder. Nothing happens the second time."""
        if self._samples < 0:
            return
        try:
            self._event("end", outcome=outcome)
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("complete" if kind is None else "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")

    def _event(self, event: str, **more: object) -> None:
        record = {"session": self.session, "event": event, "at": time.time(), **more}
        self._append(self._sessions, encode(record))

    def _append(self, descriptor: int, line: bytes) -> None:
        if descriptor < 0:
            raise StoreError("the run is closed", where=str(self.folder), fix="Resume the run to append to it.")
        size = os.fstat(descriptor).st_size
        data = line + b"\n"
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError("the disk wrote only a part of the line")
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, size)  # a half line would spoil the next one
            raise StoreError.unwritable(self.folder, error) from error

    def _release(self) -> None:
        for descriptor in (self._samples, self._sessions):
            if descriptor >= 0:
                os.close(descriptor)
        self._samples = self._sessions = -1


def _open_locked(folder: Path) -> int:
    """The lock lies on samples.jsonl itself and ends with the process, however the process ends."""
    path = folder / "samples.jsonl"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise StoreError.unwritable(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        sessions, _ = read_sessions(folder)
        writer = f"process {sessions[-1].pid}" if sessions else "another process"
        raise StoreError(
            f"{writer} is writing this run", where=str(folder), fix="Wait until it ends, stop it, or start a new run."
        ) from None
    return descriptor


def _set_torn_aside(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    lines = Lines(path)
    for _ in lines:
        pass
    if not lines.torn:
        return ()
    taken = {name.name for name in path.parent.glob(f"{path.name}.torn-*")}
    number = 1 + max((int(match[1]) for name in taken if (match := re.search(r"torn-(\d+)$", name))), default=0)
    aside = path.with_name(f"{path.name}.torn-{number}")
    try:
        with aside.open("xb") as file:
            file.write(lines.torn)
            _sync(file)
        os.truncate(path, lines.good)
    except OSError as error:
        raise StoreError.unwritable(path.parent, error) from error
    return (f"{path}: the last line was unfinished; its {len(lines.torn)} bytes are kept in {aside.name}",)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
