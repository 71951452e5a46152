"""Where files come from: lists of files with their packages, by content and by path.

A list holds the files of one source: the files of a base image with the packages that its database gives them, or the
files of one distribution package. Lists are made once and kept in an SQLite file; an image's files are looked up in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.image.tar import Entry, Source
from harness.surface.examine import DPKG, LARGE, Examiner
from harness.surface.finding import Ecosystem, Finding, Package

_FORMAT = 1  # version of the file; if it is raised, the lists are made anew
_MOST_KNOWN = 20_000  # files whose origins are kept in memory: about 20 MB
_MERGED = re.compile(r"^usr/(?=(?:bin|sbin|lib|lib32|lib64|libx32)/)")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS list (id INTEGER PRIMARY KEY, name TEXT UNIQUE, label TEXT, system TEXT);
CREATE TABLE IF NOT EXISTS package (id INTEGER PRIMARY KEY, said TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS file (md5 BLOB, path TEXT, package INTEGER, list INTEGER);
CREATE INDEX IF NOT EXISTS by_md5 ON file (md5);
CREATE INDEX IF NOT EXISTS by_path ON file (path);
"""


class Origin(NamedTuple):
    """A file of a list."""

    package: Package | None  # None: the source holds the file without a package
    path: str  # canonical
    label: str  # the source: "base sdk-python", "libc6_2.41-12_amd64.deb"
    system: Mapping[str, str]  # os-release of the source; empty for a package


class ListedFile(NamedTuple):
    """One line of a list. `md5` is None if only the path is known."""

    md5: bytes | None
    path: str
    package: Package | None


class Origins(Protocol):
    """The known origins of an image's files."""

    def md5(self, wanted: Mapping[int, frozenset[str]]) -> Mapping[tuple[int, str], bytes]:
        """The MD5 of files of the image, by layer and path in the layer's archive, for the given sets of paths."""

    def by_content(self, md5: bytes) -> Sequence[Origin]:
        """The files of that content, files of the image's own build first."""

    def by_path(self, path: str) -> Sequence[Origin]:
        """The files of that path in any form, files of the image's own build first."""

    def in_app(self, md5: bytes) -> str:
        """The path of a file of that content in the app's folder; "" for none."""


def canonical(path: str) -> str:
    """The canonical path of a file that has two paths, because /bin, /sbin and /lib are links into /usr."""
    return _MERGED.sub("", path, count=1)


class FileLists:
    """The kept lists. May be used by several threads, and its file by several processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, timeout=120, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # it can be made again
        if self._database.execute("PRAGMA user_version").fetchone()[0] not in (0, _FORMAT):
            for table in ("list", "package", "file"):
                self._database.execute(f"DROP TABLE IF EXISTS {table}")
        self._database.executescript(_SCHEMA)
        self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        # images of one strategy hold the same files: each is looked up once
        self._known: dict[bytes | str, list[Origin]] = {}

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def names(self) -> frozenset[str]:
        with self._lock:
            return frozenset(name for (name,) in self._database.execute("SELECT name FROM list"))

    def add(self, name: str, label: str, system: Mapping[str, str], files: Iterable[ListedFile]) -> None:
        """Keep a list; an existing list stays as it is."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            known = self._database.execute(
                "INSERT OR IGNORE INTO list (name, label, system) VALUES (?, ?, ?)", (name, label, json.dumps(system))
            )
            if known.rowcount == 0:
                return
            self._known.clear()
            ids: dict[Package | None, int | None] = {None: None}
            rows = [
                (file.md5, canonical(file.path), self._package(file.package, ids), known.lastrowid) for file in files
            ]
            self._database.executemany("INSERT INTO file VALUES (?, ?, ?, ?)", rows)

    def by_content(self, md5: bytes) -> list[Origin]:
        return self._look("file.md5 = ?", md5)

    def by_path(self, path: str) -> list[Origin]:
        return self._look("file.path = ?", canonical(path))

    def _look(self, where: str, value: bytes | str) -> list[Origin]:
        with self._lock:
            if (known := self._known.get(value)) is not None:
                return known
            rows = self._database.execute(
                "SELECT package.said, file.path, list.label, list.system FROM file JOIN list ON list.id = file.list"
                f" LEFT JOIN package ON package.id = file.package WHERE {where} ORDER BY list.id LIMIT 64",
                (value,),
            ).fetchall()
            found = [
                Origin(_package(said) if said else None, path, label, _system(system))
                for said, path, label, system in rows
            ]
            if len(self._known) < _MOST_KNOWN:
                self._known[value] = found
            return found

    def _package(self, package: Package | None, ids: dict[Package | None, int | None]) -> int | None:
        if package not in ids:
            said = json.dumps(asdict(replace(package, inside="")) if package else {}, sort_keys=True)
            self._database.execute("INSERT OR IGNORE INTO package (said) VALUES (?)", (said,))
            (ids[package],) = self._database.execute("SELECT id FROM package WHERE said = ?", (said,)).fetchone()
        return ids[package]


@lru_cache(maxsize=4096)
def _system(said: str) -> Mapping[str, str]:
    return dict(json.loads(said))


@lru_cache(maxsize=16384)
def _package(said: str) -> Package:
    fields = json.loads(said)
    return Package(**{**fields, "ecosystem": Ecosystem(fields["ecosystem"])})


class Hashing:
    """Examines files as an `Examiner` does, and computes the MD5 of each: for the list of a base."""

    def __init__(self) -> None:
        self._examiner = Examiner()

    def __call__(self, entry: Entry, stored: int, source: Source) -> Finding | None:
        if stored > LARGE:
            return self._examiner(entry, stored, source)
        data = source.read(stored)
        finding = self._examiner(entry, stored, Source((data,))) or Finding()
        return replace(finding, md5=hashlib.md5(data, usedforsecurity=False).digest())


class Documents:
    """Examines only the package manager's own files: for the list of a base that has checksums of all files."""

    def __init__(self) -> None:
        self._examiner = Examiner()

    def __call__(self, entry: Entry, stored: int, source: Source) -> Finding | None:
        path = entry.path
        wanted = path.startswith(DPKG) or path.endswith("os-release")
        return self._examiner(entry, stored, source) if wanted else None


class AllFound(Exception):
    """All files that were looked for have been read; the rest of the layer need not be."""


class Wanted:
    """Computes the MD5 of some files of a layer, by their paths in its archive, and examines no other file.

    `count` is how often these paths occur in the layer, if that is known: after the last time it raises AllFound.
    """

    def __init__(self, paths: frozenset[str], count: int = 0) -> None:
        self._paths = paths
        self._left = count or -1
        self.found: dict[str, bytes] = {}

    def __call__(self, entry: Entry, stored: int, source: Source) -> None:
        if entry.path not in self._paths:
            return
        self._left -= 1
        if stored == entry.size:  # not a sparse file, whose bytes are not its content
            digest = hashlib.md5(usedforsecurity=False)
            for piece in source.take(stored):
                digest.update(piece)
            self.found[entry.path] = digest.digest()
        if self._left == 0:
            raise AllFound
