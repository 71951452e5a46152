"""Reads tar archives from a stream, fast and exactly; content is neither kept nor copied.

Formats: POSIX ustar and pax (IEEE Std 1003.1 pax), GNU tar (long names, base-256 numbers, sparse files), V7. Where
readers differ, this module does the same as Go's archive/tar, because container engines unpack with it: global pax
headers are not applied, a missing end mark is no fault if the stream ends between two entries, links and folders have
no content whatever their size field says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from harness.errors import TareError

BLOCK = 512
MAX_PATH = 4096  # bytes; PATH_MAX of Linux: a longer name cannot be unpacked
MAX_EXTENDED = 1 << 20  # bytes of one pax header or GNU long name; the limit of Go's archive/tar
_MAX_SIZE = 1 << 63
_ZEROS = bytes(BLOCK)
# the prefix with which star, and therefore every engine, writes extended attributes
_CAPABILITY = b"SCHILY.xattr.security.capability"

# name, mode, uid, gid, size, time, checksum, type, link name, magic and version, device major and minor, prefix
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12x")
_USTAR = b"ustar\0"


class LayerError(TareError):
    """An image archive or a layer that is broken, cut off or hostile."""

    def __init__(self, what: str, *, where: str = "", fix: str = "Save or build the image again.") -> None:
        super().__init__(what, where=where, fix=fix)


class Kind(StrEnum):
    """What an entry makes: the file types of the OCI image specification, layer.md."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHARACTER = "character"
    BLOCK = "block"
    FIFO = "fifo"


# Members of an enum under a name of the module, because looking them up in the class took a third of the time.
_FILE, _DIRECTORY, _SYMLINK, _HARDLINK = Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, Kind.HARDLINK
_DEVICES = (Kind.CHARACTER, Kind.BLOCK)
_KINDS = {
    b"0": _FILE,
    b"\0": _FILE,
    b"7": _FILE,  # contiguous
    b"S": _FILE,  # GNU sparse
    b"1": _HARDLINK,
    b"2": _SYMLINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"5": _DIRECTORY,
    b"6": Kind.FIFO,
}


class Entry(NamedTuple):
    """One entry of a layer. A tuple, not a dataclass, because an image has tens of thousands of entries and tuples are
    made four times as fast.
    """

    path: str  # from the root, without leading or trailing slash; "" is the root itself
    kind: Kind
    mode: int  # permission bits, with set-id and sticky
    uid: int
    gid: int
    size: int  # B of a regular file after unpacking (including holes of sparse files), 0 for everything else
    link: str  # target: of a symlink as written, of a hard link a path as above; otherwise ""
    device: tuple[int, int] | None  # major, minor of a device
    modified: int = 0  # Unix time, s
    capability: bytes = b""  # the extended attribute security.capability, as the kernel stores it


class Source:
    """A stream of pieces, read forward only. `offset` is the number of bytes read or skipped so far."""

    __slots__ = ("_at", "_before", "_end", "_piece", "_pieces")

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._piece = memoryview(b"")
        self._at = 0  # position in the piece
        self._end = 0  # its length
        self._before = 0  # bytes of all pieces before it

    @property
    def offset(self) -> int:
        return self._before + self._at

    def upto(self, count: int) -> bytes:
        """`count` bytes, fewer only if the stream ends."""
        start = self._at
        end = start + count
        if end <= self._end:
            self._at = end
            return bytes(self._piece[start:end])
        parts = []
        while count and (self._at < self._end or self._next()):
            view = self._piece[self._at : self._at + count]
            self._at += len(view)
            count -= len(view)
            parts.append(view)
        return b"".join(parts)

    def read(self, count: int) -> bytes:
        """`count` bytes. Raises LayerError if the stream ends before."""
        data = self.upto(count)
        if len(data) < count:
            raise self._cut_off()
        return data

    def skip(self, count: int) -> None:
        """Pass over `count` bytes. Raises LayerError if the stream ends before."""
        at = self._at + count
        while at > self._end:
            at -= self._end
            if not self._next():
                raise self._cut_off()
        self._at = at

    def take(self, count: int) -> Iterator[memoryview]:
        """`count` bytes as views, not copied. Raises LayerError if the stream ends before."""
        while count:
            if self._at == self._end and not self._next():
                raise self._cut_off()
            view = self._piece[self._at : self._at + count]
            self._at += len(view)
            count -= len(view)
            yield view

    def rest(self) -> Iterator[memoryview]:
        """All that is left, as views."""
        while self._at < self._end or self._next():
            view = self._piece[self._at :]
            self._at = self._end
            yield view

    def drain(self) -> None:
        """Pass over all that is left."""
        for _ in self.rest():
            pass

    def _next(self) -> bool:
        """Go on to the next piece when the present piece is used up; False if there is none."""
        for piece in self._pieces:
            if len(piece):
                self._before += self._end
                self._piece = memoryview(piece)
                self._at, self._end = 0, len(piece)
                return True
        self._at = self._end
        return False

    def _cut_off(self) -> LayerError:
        return LayerError(f"cut off after {self.offset} bytes")


def entries(source: Source, *, limit: int) -> Iterator[tuple[Entry, int]]:
    """The entries of a tar archive, each with the number of content bytes that follow in `source`.

    The caller may read those bytes, or some of them, before it asks for the next entry. Ends after the end mark; bytes
    after it are left in the source. Raises LayerError, also for more than `limit` entries.
    """
    extended: dict[bytes, bytes] = {}  # settings of the next entry from pax headers and GNU long names
    while block := source.upto(BLOCK):
        if not block[0] and block == _ZEROS:
            if source.upto(BLOCK) not in (_ZEROS, b""):
                raise LayerError(f"one lone block of zeros before byte {source.offset}")
            break
        if not is_header(block):
            fault = "cut off" if len(block) < BLOCK else "no tar header"
            raise LayerError(f"{fault} at byte {source.offset - len(block)}")
        kind_flag = block[156:157]
        if kind_flag in b"xLKgX":
            _extend(extended, kind_flag, source, _number(block[124:136]))
            continue
        limit -= 1
        if limit < 0:
            raise LayerError("the archive has more entries than any real image")
        entry, stored = _entry(block, extended, source)
        if extended:
            extended = {}
        end = source.offset + stored
        yield entry, stored
        source.skip(end - source.offset + -stored % BLOCK)
    if extended:
        raise LayerError(f"cut off after {source.offset} bytes, between an extended header and its entry")


def is_header(block: bytes) -> bool:
    """Whether a block is a tar header, by its checksum: the sum of its bytes, the checksum's own taken as spaces.

    The lower half of Adler-32 is one plus the sum of the bytes modulo 65 521, which 256 bytes cannot reach: two
    calls in C instead of 512 additions in Python. Some old writers summed signed bytes.
    """
    if len(block) != BLOCK:
        return False
    field = block[148:156]
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    expected = total - sum(field) + 8 * 32
    if field == b"%06o\0 " % expected:  # the form of nearly all writers
        return True
    try:
        stored = _number_of(field)
    except LayerError:
        return False
    return stored == expected or stored == expected - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def clean(path: str) -> str:
    """A path of an archive as Entry has it. Raises LayerError for a path that leaves the root or is impossible."""
    if len(path) > MAX_PATH or "\0" in path:
        raise LayerError(f"no such path can be: {path[:60]!r}…")
    path = path.removeprefix("./").removesuffix("/")
    if path[:1] not in ("", ".", "/") and "//" not in path and "/." not in path:
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise LayerError(f"a path that leaves the root: {path[:60]!r}")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _entry(block: bytes, extended: dict[bytes, bytes], source: Source) -> tuple[Entry, int]:
    name, mode, uid, gid, size, modified, _, flag, link, magic, major, minor, prefix = _HEADER.unpack(block)
    kind = _KINDS.get(flag)
    if kind is None:
        raise LayerError(f"an entry of type {flag!r} before byte {source.offset}, which no layer may have")
    name = name.split(b"\0", 1)[0]
    if prefix[0] and magic[:6] == _USTAR:
        name = prefix.split(b"\0", 1)[0] + b"/" + name
    stored = _number(size)
    user, group = _number(uid), _number(gid)
    unpacked = None
    if extended:
        name = extended.get(b"L") or extended.get(b"GNU.sparse.name") or extended.get(b"path") or name
        stored = _decimal(extended, b"size", stored)
        user, group = _decimal(extended, b"uid", user), _decimal(extended, b"gid", group)
        unpacked = _decimal(extended, b"GNU.sparse.realsize", _decimal(extended, b"GNU.sparse.size", stored))
    if flag == b"\0" and name.endswith(b"/"):  # V7 had no type for folders
        kind = _DIRECTORY
    if kind is not _FILE:
        stored = 0
    elif flag == b"S":
        unpacked = _number_of(block[483:495])
        more = block[482]
        while more:  # further blocks of the map of a GNU sparse file
            more = source.read(BLOCK)[504]
    target = ""
    if kind is _SYMLINK or kind is _HARDLINK:
        link = extended.get(b"K") or extended.get(b"linkpath") or link.split(b"\0", 1)[0]
        if len(link) > MAX_PATH:
            raise LayerError(f"a link of {len(link)} bytes before byte {source.offset}")
        target = link.decode("utf-8", "surrogateescape")
        if kind is _HARDLINK:
            target = clean(target)
    entry = Entry(
        clean(name.decode("utf-8", "surrogateescape")),
        kind,
        _number(mode) & 0o7777,
        user,
        group,
        0 if kind is not _FILE else stored if unpacked is None else unpacked,
        target,
        (_number(major), _number(minor)) if kind in _DEVICES else None,
        _time(modified),
        extended.get(_CAPABILITY, b"") if extended else b"",
    )
    return entry, stored


def _extend(extended: dict[bytes, bytes], flag: bytes, source: Source, size: int) -> None:
    """Read a header that extends the next entry."""
    if size > MAX_EXTENDED:
        raise LayerError(f"an extended header of {size} bytes before byte {source.offset}")
    data = source.read(size)
    source.skip(-size % BLOCK)
    if flag in b"LK":
        extended[flag] = data.split(b"\0", 1)[0]
    elif flag in b"xX":
        extended |= _pax(data)


def _pax(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header, each `length key=value\\n`; the length counts itself."""
    records = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 10)
        digits = data[at:space]
        end = at + int(digits) if space > at and digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        # a length of zero, or a length that leads back, would be read forever
        if not at < space < end <= len(data) or data[end - 1] != ord("\n") or not equals:
            raise LayerError("a broken pax header")
        records[key] = value
        at = end
    return records


def _decimal(records: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    text = records.get(key)
    if not text:
        return otherwise
    if not text.isdigit() or len(text) > 19 or int(text) >= _MAX_SIZE:
        raise LayerError(f"a pax header with {key.decode('ascii', 'replace')} {text[:30]!r}")
    return int(text)


def _number_of(field: bytes) -> int:
    """A number field: octal digits between spaces and NULs or, as GNU writes it, base 256 after a set first bit."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << 8 * len(field) - 1) - 1)
        if field[0] & 0x40 or value >= _MAX_SIZE:
            raise LayerError(f"a number below zero or too large: {field!r}")
        return value
    digits = field.strip(b"\0 ").split(b"\0", 1)[0]
    if not digits:
        return 0
    if not digits.isdigit():  # int() would take signs and underscores
        raise LayerError(f"not a number: {field!r}")
    try:
        return int(digits, 8)
    except ValueError:
        raise LayerError(f"not an octal number: {field!r}") from None


def _time(field: bytes) -> int:
    """A time before 1970 or an invalid time counts as no time: nothing depends on it."""
    try:
        return _number(field)
    except LayerError:
        return 0


# modes, owners, sizes and times: few distinct values, tens of thousands of times
_number = lru_cache(maxsize=4096)(_number_of)
