"""rpm's database of installed packages, in all three forms that images have.

Formats: a package is an rpm header (https://rpm-software-management.github.io/rpm/manual/format_header.html) in the
table Packages of an SQLite file (RHEL 9, Fedora), in the blobs of an NDB file (SUSE; lib/backend/ndb/rpmpkg.c) or in
the values of a Berkeley DB hash file (RHEL 8 and before; dbinc/db_page.h of Berkeley DB). No library reads these
without librpm and a database on disk. Nothing is trusted: broken data raises Unreadable.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing

from harness.surface.finding import Ecosystem, Listing, Package, Unreadable

PATHS = frozenset(
    f"{folder}/{name}"
    for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
    for name in ("rpmdb.sqlite", "Packages.db", "Packages")
)
MANIFEST = "var/lib/rpmmanifest/container-manifest-2"  # in Azure Linux's distroless images, which have no database

_SQLITE = b"SQLite format 3\0"
_NDB = b"RpmP"
_NDB_SLOT = b"Slot"
_NDB_BLOB = b"BlbS"
_NDB_PAGE = 4096
_BDB_HASH = 0x061561  # magic number of a Berkeley DB hash file
_BDB_UNSORTED, _BDB_SORTED = 2, 13  # kinds of pages that hold keys and values
_BDB_HERE, _BDB_OFF_PAGE = 1, 3  # kinds of items
_MAX_ENTRIES = 1 << 16  # of a header

# Tags of rpm's lib/rpmtag.h
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_DIR_INDEXES, _BASE_NAMES, _DIR_NAMES, _OLD_FILE_NAMES = 1116, 1117, 1118, 1027
_INT32, _STRING, _STRING_ARRAY, _I18N_STRING = 4, 6, 8, 9
_WANTED = frozenset(
    (_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE, _DIR_INDEXES, _BASE_NAMES, _DIR_NAMES, _OLD_FILE_NAMES)
)


def installed(data: bytes) -> tuple[Listing, ...]:
    """The packages of a database and the paths that each brought. Raises Unreadable."""
    if data.startswith(_SQLITE):
        headers = _of_sqlite(data)
    elif data.startswith(_NDB):
        headers = _of_ndb(data)
    elif len(data) >= 512 and _BDB_HASH in (struct.unpack_from(order + "I", data, 12)[0] for order in "<>"):
        headers = _of_bdb(data)
    else:
        raise Unreadable("not an rpm database")
    try:
        return tuple(listing for header in headers if (listing := _listing(_tags(header))))
    except (struct.error, IndexError, sqlite3.Error) as error:
        raise Unreadable(f"a broken rpm database: {error}") from None


def manifest(text: bytes) -> Iterator[Package]:
    """The packages of a container manifest: one a line, fields separated by tabs, as Azure Linux writes it."""
    for line in text.decode("utf-8", "replace").splitlines():
        fields = line.split("\t")
        if len(fields) >= 10:
            epoch = "" if fields[8] in ("0", "(none)") else fields[8]
            yield _package(fields[0], fields[1], epoch, fields[7], fields[9])


def _of_sqlite(data: bytes) -> Iterator[bytes]:
    # bytes 18 and 19 announce a write-ahead log beside the file, which a database in memory cannot have
    plain = data[:18] + b"\1\1" + data[20:]
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.deserialize(plain)
            for (blob,) in database.execute("SELECT blob FROM Packages ORDER BY hnum"):
                yield bytes(blob)
        except sqlite3.Error as error:
            raise Unreadable(f"a broken rpm database: {error}") from None


def _of_ndb(data: bytes) -> Iterator[bytes]:
    # magic, version, generation, pages of slots
    _, version, _, pages = struct.unpack_from("<4sIII", data)
    if version != 0 or not 0 < pages * _NDB_PAGE <= len(data):
        raise Unreadable("a broken NDB database")
    for at in range(32, pages * _NDB_PAGE, 16):
        # magic, number of the package, offset and count of its blocks of 16 bytes
        magic, number, offset, count = struct.unpack_from("<4sIII", data, at)
        if magic != _NDB_SLOT or not number:
            continue
        start = offset * 16
        blob, owner, _, length = struct.unpack_from("<4sIII", data, start)
        if blob != _NDB_BLOB or owner != number or length > count * 16:
            raise Unreadable(f"a broken NDB database: package {number} is not where its slot says")
        yield data[start + 16 : start + 16 + length]


def _of_bdb(data: bytes) -> Iterator[bytes]:
    order = "<" if struct.unpack_from("<I", data, 12)[0] == _BDB_HASH else ">"
    (size,) = struct.unpack_from(order + "I", data, 20)
    (last,) = struct.unpack_from(order + "I", data, 32)
    if size not in (512 << shift for shift in range(8)) or (last + 1) * size > len(data):
        raise Unreadable("a broken Berkeley DB database")
    for page in range(1, last + 1):
        start = page * size
        if data[start + 25] not in (_BDB_UNSORTED, _BDB_SORTED):
            continue
        (entries,) = struct.unpack_from(order + "H", data, start + 20)
        offsets = struct.unpack_from(f"{order}{entries}H", data, start + 26)
        for key, value in zip(offsets[::2], offsets[1::2], strict=False):
            where = start + value
            if data[where] == _BDB_OFF_PAGE:  # the first of a chain of pages, and the length of all
                first, length = struct.unpack_from(order + "II", data, where + 4)
                yield _chain(data, order, size, first, length)
            elif data[where] == _BDB_HERE and start + key - where > 16:  # its end is the beginning of its key
                yield data[where + 1 : start + key]


def _chain(data: bytes, order: str, size: int, page: int, length: int) -> bytes:
    """The bytes of an item that lies on pages of its own."""
    parts, left = [], length
    while page and left > 0:
        start = page * size
        (page,) = struct.unpack_from(order + "I", data, start + 16)  # the next one
        (used,) = struct.unpack_from(order + "H", data, start + 22)
        part = data[start + 26 : start + 26 + min(used, size - 26, left)]
        if not part:
            break
        parts.append(part)
        left -= len(part)
    if left:
        raise Unreadable("a broken Berkeley DB database: an item is cut off")
    return b"".join(parts)


def _tags(header: bytes) -> dict[int, Sequence[str] | Sequence[int]]:
    """The tags of a header that are wanted: strings or numbers."""
    count, length = struct.unpack_from(">II", header)
    if count > _MAX_ENTRIES or 8 + 16 * count + length > len(header):
        raise Unreadable("a broken rpm header")
    store = 8 + 16 * count
    found: dict[int, Sequence[str] | Sequence[int]] = {}
    for number in range(count):
        tag, kind, offset, items = struct.unpack_from(">IIiI", header, 8 + 16 * number)
        if tag not in _WANTED or offset < 0 or items > length:
            continue
        at = store + offset
        if kind == _INT32:
            found[tag] = struct.unpack_from(f">{items}I", header, at)
        elif kind in (_STRING, _STRING_ARRAY, _I18N_STRING):
            wanted = 1 if kind == _STRING else items
            texts = header[at : store + length].split(b"\0", wanted)[:wanted]
            found[tag] = [text.decode("utf-8", "surrogateescape") for text in texts]
    return found


def _listing(tags: dict[int, Sequence[str] | Sequence[int]]) -> Listing | None:
    """None for an entry that is not an installed package: the keys that rpm trusts are in the database too."""

    def one(tag: int) -> str:
        values = tags.get(tag, ())
        return str(values[0]) if values else ""

    name = one(_NAME)
    if not name or name == "gpg-pubkey":
        return None
    epoch = one(_EPOCH)
    version = f"{one(_VERSION)}-{one(_RELEASE)}"
    package = _package(name, version, "" if epoch == "0" else epoch, one(_ARCH), one(_SOURCE))
    folders, names = tags.get(_DIR_NAMES, ()), tags.get(_BASE_NAMES, ())
    indices = [index for index in tags.get(_DIR_INDEXES, ()) if isinstance(index, int)]
    paths = [f"{folders[index]}{base}".strip("/") for index, base in zip(indices, names, strict=False)]
    return Listing(package, tuple(paths or (str(path).strip("/") for path in tags.get(_OLD_FILE_NAMES, ()))))


def _package(name: str, version: str, epoch: str, architecture: str, source: str) -> Package:
    """`source` is the file name of the source package: openssl-3.0.7-27.el9.src.rpm."""
    stem = source.removesuffix(".rpm").rpartition(".")[0]
    base = stem.rsplit("-", 2)
    return Package(
        ecosystem=Ecosystem.RPM,
        name=name,
        version=f"{epoch}:{version}" if epoch else version,
        architecture="" if architecture == "(none)" else architecture,
        source=base[0] if len(base) == 3 and base[0] != name else "",
    )
