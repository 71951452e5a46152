"""Examines the files of an image as they pass: which files, and how much of them, with bounded memory.

A file is read whole if it is small, or if it is a program, a jar or a document that lists packages; of all other files
four bytes are read. The results are small: packages, the places of secrets, and the few documents that assign files to
packages once the whole tree is known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from harness.image.tar import Entry, Source
from harness.surface import databases, elf, jars, marks, secrets
from harness.surface.finding import Finding, Package, Program, Secret, Unreadable
from harness.surface.listed import latent, listed

SMALL = 1 << 20  # B; a file up to this size is read whole, and looked through for secrets if it is text
LARGE = 192 << 20  # B; no program, jar or database above this size is read …
DOCUMENT = 8 << 20  # B; … and no document above this
MOST_BYTES = 32 << 20  # B of documents and packages that are kept of an image
_PACKAGE_BYTES = 400  # memory of a Package, about
_PATH_BYTES = 120  # memory of a path of a database, about

DPKG = "var/lib/dpkg/"
STATUS = DPKG + "status"
STATUS_D = DPKG + "status.d/"
INFO = DPKG + "info/"
APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_DOCUMENTS = frozenset(("etc/passwd", "etc/os-release", "usr/lib/os-release", *APK))
_NOTHING = Finding()
# Checked first, because an image has tens of thousands of files and few of them are documents.
_PLACES = ("var/lib/", "usr/lib/sysimage/", "usr/share/rpm/")
_ENDINGS = (".json", "/RECORD")
_LATENT = frozenset((b"{", b"M"))  # the beginning of a list of packages under another name
_MAY_BE_ZIP = frozenset((b"PK", b"#!"))  # the beginning of a zip, or of a script before a zip
_LIBRARY = re.compile(r"\.so(?:\.[\d.]+)?$")
# What package managers write beside the files of packages; it belongs to no component.
RECORDS = (
    *("var/lib/dpkg/", "var/lib/apt/", "var/cache/", "lib/apk/", "usr/lib/apk/", "var/lib/rpm/", "var/lib/pacman/"),
    *("usr/lib/sysimage/rpm/", "var/log/", "var/lib/chisel/", "var/lib/rpmmanifest/"),
)


class Examiner:
    """`harness.image.read.Examine` for one image, or for a layer of it. Its limits hold for the whole image.

    `room` is how many bytes of documents and packages may be kept, and `limits` the limits of its jars, if layers below
    have used a part of them. The MD5 of each file of at most `hashed` bytes is computed as the file passes, except of
    the records of package managers.
    """

    def __init__(self, room: int = MOST_BYTES, limits: jars.Jars | None = None, *, hashed: int = 0) -> None:
        self.room = room
        self.short = False  # whether something was left out because a limit was reached
        self.hashed = hashed
        self.md5: dict[str, bytes] = {}  # by path in the layer's archive
        self._jars = limits or jars.Jars()

    def __call__(self, entry: Entry, stored: int, source: Source) -> Finding | None:
        if stored != entry.size:
            return None  # a sparse file: its bytes are not its content
        hashed = stored <= self.hashed and not entry.path.startswith(RECORDS)
        if stored <= SMALL:
            data = source.read(stored)
            if hashed:
                self._hash(entry.path, (data,))
            return self._look(entry, data)
        head = source.read(4)
        limit = _limit(entry, head)
        if stored <= limit:
            data = b"".join(chain((head,), source.take(stored - 4)))
            if hashed:
                self._hash(entry.path, (data,))
            return self._look(entry, data)
        if hashed:
            self._hash(entry.path, chain((head,), source.take(stored - 4)))
        program = _program(entry, head)
        if limit:
            return Finding(program=program, unread=f"more than {limit >> 20} MiB")
        return Finding(program=program) if program else None

    def _hash(self, path: str, pieces: Iterable[bytes | memoryview]) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in pieces:
            digest.update(piece)
        self.md5[path] = digest.digest()

    def _look(self, entry: Entry, data: bytes) -> Finding | None:
        path = entry.path
        program = _program(entry, data)
        if data[:4] == elf.MAGIC:
            sections = dict(elf.sections(data))
            found, language = elf.packages(data, sections)
            language = "" if found else language
            said = marks.of_program(path, data, sections)
            return self._kept(Finding(packages=found, program=program, language=language, mark=said))
        if data[:2] in _MAY_BE_ZIP and jars.is_zip(path, data, executable=bool(entry.mode & 0o111)):
            found, unread = self._jars.packages(data, path.rpartition("/")[2])
            self.short |= self._jars.spent
            return self._kept(Finding(packages=found, unread=unread, program=program))
        if path.startswith(_PLACES) or path.endswith(_ENDINGS) or path in _DOCUMENTS:
            if databases.is_database(path):
                return self._database(path, data)
            if _is_document(path):
                return self._kept(Finding(text=data))
        reader = listed(path)
        try:
            found = tuple(reader(data)) if reader else ()
        except Unreadable as error:
            return Finding(unread=str(error), program=program)
        name, other = "", tuple[Package, ...]()
        if reader is None and data[:1] in _LATENT and (hint := latent(data)):
            name, read = hint
            other = tuple(read(data))
        mark = marks.of_release(path, data) if path.endswith("/release") else None
        hidden: tuple[Secret, ...] = ()
        if len(data) <= SMALL and b"\0" not in data[:512]:
            hidden = secrets.in_file(path, data)
        if not (found or hidden or program or other or mark):
            return None
        return self._kept(Finding(packages=found, latent=(name, other), secrets=hidden, program=program, mark=mark))

    def _database(self, path: str, data: bytes) -> Finding | None:
        try:
            return self._kept(Finding(listings=databases.listings(path, data)))
        except Unreadable as error:
            return Finding(unread=str(error))

    def _kept(self, finding: Finding) -> Finding | None:
        """The finding, without its documents if there are too many; None if it is empty."""
        if finding == _NOTHING:
            return None
        need = len(finding.text) + _PACKAGE_BYTES * (len(finding.packages) + len(finding.latent[1]))
        need += sum(_PACKAGE_BYTES + _PATH_BYTES * len(listing.paths) for listing in finding.listings)
        if need > self.room:
            self.short = True
            unread = f"more than {MOST_BYTES >> 20} MiB of package lists"
            return replace(finding, packages=(), listings=(), latent=("", ()), text=b"", unread=unread)
        self.room -= need
        return finding


def _limit(entry: Entry, head: bytes) -> int:
    """The largest size at which a file above SMALL is read; 0 if it is not read at all."""
    path = entry.path
    if head == elf.MAGIC or jars.may_be_zip(path, head, executable=bool(entry.mode & 0o111)):
        return LARGE
    if databases.is_database(path):
        return LARGE
    return DOCUMENT if _is_document(path) else 0


def _is_document(path: str) -> bool:
    """Whether a file is needed together with others: dpkg's status, the lists of the files of packages."""
    if path.startswith(DPKG):
        listing = path.startswith(INFO) and path.endswith((".list", ".md5sums"))
        return listing or path == STATUS or path.startswith(STATUS_D)
    return path in _DOCUMENTS or path.endswith(".dist-info/RECORD") or databases.is_pacman(path)


def is_package_document(path: str) -> bool:
    """Whether a file is (a part of) a distribution's database of packages."""
    return databases.is_database(path) or path in APK or path.startswith(DPKG) or databases.is_pacman(path)


def _program(entry: Entry, data: bytes) -> Program | None:
    if not entry.mode & 0o111:
        return None
    if data[:4] == elf.MAGIC:  # libraries need no execute bit, and many have one
        return None if _LIBRARY.search(entry.path) else Program.ELF
    return Program.SCRIPT if data[:2] == b"#!" else None
