"""Looking into the files of an image as they pass: which ones, and how far, with bounded memory.

A file is read whole where it is small, or is a program, a jar or a document that lists packages; of all others four
bytes are looked at. What is kept is small: packages, where secrets are, and the few documents that are needed when
the whole tree is known, which say which file belongs to which package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.image.tar import Entry, Source
from harness.surface import elf, jars, packages, secrets
from harness.surface.finding import Finding, Package, Program, Secret

SMALL = 1 << 20  # B; a file up to this size is read whole, and looked through for secrets if it is text
LARGE = 64 << 20  # B; no program or jar above this size is read …
DOCUMENT = 8 << 20  # B; … and no document above this
KEPT = 32 << 20  # B of documents and packages that are kept of an image
_PACKAGE_BYTES = 400  # what a Package takes in memory, about

DPKG = "var/lib/dpkg/"
STATUS = DPKG + "status"
STATUS_D = DPKG + "status.d/"
INFO = DPKG + "info/"
APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_DOCUMENTS = frozenset(("etc/passwd", "etc/os-release", "usr/lib/os-release", *APK))
_NOTHING = Finding()
_LIBRARY = re.compile(r"\.so(?:\.[\d.]+)?$")

_READERS: dict[str, Callable[[bytes], Iterable[Package]]] = {
    "METADATA": packages.python,
    "PKG-INFO": packages.python,
    "package.json": packages.node,
}


class Examiner:
    """`harness.image.read.Examine` for one image. Its limits are of the whole image, not of a layer."""

    def __init__(self) -> None:
        self._room = KEPT
        self._jars = jars.Jars()

    def __call__(self, entry: Entry, stored: int, source: Source) -> Finding | None:
        if stored != entry.size:
            return None  # a sparse file: its bytes are not its content
        path = entry.path
        if stored <= SMALL:
            return self._look(entry, source.read(stored))
        head = source.read(4)
        limit = _limit(path, head)
        if limit == 0:
            program = _program(entry, head)
            return Finding(program=program) if program else None
        if stored > limit:
            return Finding(program=_program(entry, head), unread=f"more than {limit >> 20} MiB")
        return self._look(entry, head + source.read(stored - 4))

    def _look(self, entry: Entry, data: bytes) -> Finding | None:
        path = entry.path
        program = _program(entry, data)
        if data[:4] == elf.MAGIC:
            found, language = elf.packages(data)
            language = "" if found else language
            return self._kept(Finding(packages=found, program=program, language=language))
        if data[:4] == jars.MAGIC:
            if not path.endswith(jars.SUFFIXES):
                return None
            found, unread = self._jars.packages(data, path.rpartition("/")[2])
            return self._kept(Finding(packages=found, unread=unread, program=program))
        if _is_document(path):
            return self._kept(Finding(text=data))
        listed = _listed(path)
        found = tuple(listed(data)) if listed else ()
        hidden: tuple[Secret, ...] = ()
        if len(data) <= SMALL and b"\0" not in data[:512]:
            hidden = secrets.in_file(path, data)
        if not (found or hidden or program):
            return None
        return self._kept(Finding(packages=found, secrets=hidden, program=program))

    def _kept(self, finding: Finding) -> Finding | None:
        """The finding, without its documents where they are too many; None where it says nothing."""
        if finding == _NOTHING:
            return None
        need = len(finding.text) + _PACKAGE_BYTES * len(finding.packages)
        if need > self._room:
            return replace(finding, packages=(), text=b"", unread=f"more than {KEPT >> 20} MiB of package lists")
        self._room -= need
        return finding


def _limit(path: str, head: bytes) -> int:
    """How large a file above SMALL may be to be read, 0 for one that says nothing."""
    if head == elf.MAGIC or (head == jars.MAGIC and path.endswith(jars.SUFFIXES)):
        return LARGE
    return DOCUMENT if _is_document(path) else 0


def _is_document(path: str) -> bool:
    """Whether a file is understood only beside others: dpkg's status, the lists that say what belongs to a package."""
    if path.startswith(DPKG):
        listing = path.startswith(INFO) and path.endswith((".list", ".md5sums"))
        return listing or path == STATUS or path.startswith(STATUS_D)
    return path in _DOCUMENTS or path.endswith(".dist-info/RECORD")


def _listed(path: str) -> Callable[[bytes], Iterable[Package]] | None:
    """What reads the package that the file tells of; None for a file that tells of none."""
    folder, _, name = path.rpartition("/")
    reader = _READERS.get(name)
    if reader is None:
        return packages.python if name.endswith(".egg-info") else None
    if name == "package.json":
        return reader if _is_node_package(folder) else None
    return reader if folder.endswith((".dist-info", ".egg-info")) else None


def _is_node_package(folder: str) -> bool:
    """Whether a folder is a package: a child of node_modules (or of Debian's usr/share/nodejs), or of a scope there."""
    parent, _, _ = folder.rpartition("/")
    above, _, scope = parent.rpartition("/")
    if scope.startswith("@"):
        parent = above
    return parent.endswith("node_modules") or parent in ("usr/share/nodejs", "usr/lib/nodejs")


def _program(entry: Entry, data: bytes) -> Program | None:
    if not entry.mode & 0o111:
        return None
    if data[:4] == elf.MAGIC:  # libraries need no execute bit, and many have one
        return None if _LIBRARY.search(entry.path) else Program.ELF
    return Program.SCRIPT if data[:2] == b"#!" else None
