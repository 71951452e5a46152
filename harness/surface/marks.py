"""What programs contain about themselves beside their lists of packages: notes, names and version strings.

Formats: ELF notes (System V ABI, gabi 4.1) of type NT_GNU_BUILD_ID and FDO_PACKAGING_METADATA
(https://uapi-group.org/specifications/specs/package_metadata_for_executable_files/); DT_SONAME of the dynamic section;
the `release` file of a Java runtime. Each project compiles these strings into its program; the binary classifiers of
syft collect them (https://github.com/anchore/syft, syft/pkg/cataloger/binary).
"""

from __future__ import annotations

import json
import re
import struct
from typing import NamedTuple

from harness.surface import elf
from harness.surface.finding import Ecosystem, Mark, Package

_BUILD_ID = 3  # NT_GNU_BUILD_ID
_PACKAGING = 0xCAFE1A7E  # FDO_PACKAGING_METADATA
_SONAME = 14  # DT_SONAME
_MAX_SOUGHT = 128 << 20  # B of a program that are searched for a version
_ECOSYSTEMS = {"deb": Ecosystem.DEB, "rpm": Ecosystem.RPM, "apk": Ecosystem.APK, "alpm": Ecosystem.PACMAN}


class _Product(NamedTuple):
    names: re.Pattern[str]  # of the file
    product: str
    version: re.Pattern[bytes]  # its first group


def _product(names: str, product: str, version: bytes) -> _Product:
    return _Product(re.compile(names), product, re.compile(version))


_NUMBER = rb"(\d+\.\d+(?:\.\d+)*[a-z]?)"
_PRODUCTS = (
    _product(r"libc\.so\.6|libc-2.*\.so|ld-linux.*", "glibc", rb"GNU C Library [^\n]{0,60}version " + _NUMBER),
    _product(r"ld-musl-.*\.so\.1|libc\.musl-.*", "musl", rb"musl libc[^\n]{0,20}\n?Version " + _NUMBER),
    _product(r"lib(?:crypto|ssl)\.so.*|openssl|node|libnode\.so.*", "openssl", rb"OpenSSL " + _NUMBER + rb"[ +]"),
    _product(r"libsqlite3\.so.*|sqlite3", "sqlite", rb"(?:SQLite version |\0)(3\.\d\d\.\d)\0"),
    _product(r"libexpat\.so.*", "expat", rb"expat_" + _NUMBER),
    _product(r"libz\.so.*|node", "zlib", rb"(?:de|in)flate (1\.\d+[.\d]*)[^\0]{0,12} Copyright"),
    _product(r"libcurl.*\.so.*|curl", "curl", rb"libcurl/" + _NUMBER),
    _product(r"libpython3\.\d+\.so.*|python3\.\d+", "python", rb"\0(3\.\d{1,2}\.\d{1,2}(?:rc\d|[ab]\d)?\+?)\0"),
    _product(r"node|libnode\.so.*", "node", rb"node(?:\.js/|/|\0)v(\d{2}\.\d{1,2}\.\d{1,2})"),
    _product(r"libperl\.so.*|perl(?:5.*)?", "perl", rb"/usr/(?:local/)?(?:share|lib)/perl/(5\.\d+\.\d+)\0"),
    _product(r"libruby.*\.so.*|ruby.*", "ruby", rb"ruby (\d\.\d\.\d+)p?\d* \("),
    _product(r"php(?:-fpm)?\d?.*|libphp.*", "php", rb"X-Powered-By: PHP/" + _NUMBER),
    _product(r"nginx", "nginx", rb"nginx/" + _NUMBER),
    _product(r"httpd|apache2", "httpd", rb"Apache/" + _NUMBER),
    _product(r"redis-server|valkey-server", "redis", rb"Redis version=" + _NUMBER),
    _product(r"postgres", "postgresql", rb"PostgreSQL\) " + _NUMBER),
    _product(r"mariadbd|mysqld", "mariadb", rb"\0(\d+\.\d+\.\d+)-MariaDB"),
    _product(r"bash", "bash", rb"@\(#\)Bash version " + _NUMBER),
    _product(r"busybox(?:\..*)?", "busybox", rb"BusyBox v" + _NUMBER),
    _product(r"haproxy", "haproxy", rb"HAProxy version " + _NUMBER),
    _product(r"traefik", "traefik", rb"Traefik version " + _NUMBER),
    _product(r"libmagic\.so.*", "file", rb"file-" + _NUMBER),
    _product(r"libxml2\.so.*", "libxml2", rb"\0(2\.\d{1,2}\.\d{1,2})\0"),
)
_JAVA = re.compile(rb"^JAVA_(?:RUNTIME_)?VERSION=\"?([^\"\n]+)", re.MULTILINE)
_IMPLEMENTOR = re.compile(rb"^IMPLEMENTOR=\"?([^\"\n]+)", re.MULTILINE)


def of_program(path: str, data: bytes, found: elf.Sections) -> Mark:
    """The mark of an ELF file; it is empty if the file has none, but still shows that it is a program or library."""
    order = "<" if data[5] == 1 else ">"
    build_id, note = "", None
    for section in (b".note.gnu.build-id", b".note.package"):
        if section not in found:
            continue
        for kind, content in _notes(data, found[section], order):
            if kind == _BUILD_ID:
                build_id = content[:64].hex()
            elif kind == _PACKAGING:
                note = _packaging(content)
    product, evidence = (note, "ELF note") if note else (_by_string(path, data), "version string")
    soname = _soname(data, found, order)
    return Mark(product=product, evidence=evidence if product else "", soname=soname, build_id=build_id)


def of_release(path: str, data: bytes) -> Mark | None:
    """The Java runtime that a file `release` at its root describes."""
    if not path.endswith("/release") or b"JAVA_VERSION=" not in data:
        return None
    versions = dict.fromkeys(match[1].decode("utf-8", "replace") for match in _JAVA.finditer(data))
    maker = _IMPLEMENTOR.search(data)
    product = Package(
        ecosystem=Ecosystem.GENERIC,
        name="openjdk",
        version=max(versions, key=len),
        group=maker[1].decode("utf-8", "replace") if maker else "",
    )
    return Mark(product=product, evidence="release file")


def _by_string(path: str, data: bytes) -> Package | None:
    name = path.rpartition("/")[2]
    # a program's own name comes first, because node carries OpenSSL's version too
    for product in sorted(_PRODUCTS, key=lambda one: one.product != name):
        if product.names.fullmatch(name) and len(data) <= _MAX_SOUGHT and (match := product.version.search(data)):
            version = match[1].decode("ascii", "replace")
            return Package(ecosystem=Ecosystem.GENERIC, name=product.product, version=version)
    return None


def _notes(data: bytes, section: tuple[int, int], order: str) -> list[tuple[int, bytes]]:
    """Kind and content of each note of a section."""
    notes: list[tuple[int, bytes]] = []
    at, end = section[0], sum(section)
    while at + 12 <= end and len(notes) < 64:
        name, size, kind = struct.unpack_from(order + "3I", data, at)
        at += 12 + name + -name % 4
        if at + size > end:
            break
        notes.append((kind, data[at : at + size]))
        at += size + -size % 4
    return notes


def _packaging(content: bytes) -> Package | None:
    """The package that a note names, by the ecosystem of its distribution."""
    try:
        said = json.loads(content.rstrip(b"\0"))
        ecosystem = _ECOSYSTEMS.get(str(said["type"]), Ecosystem.GENERIC)
        return Package(
            ecosystem=ecosystem,
            name=str(said["name"]),
            version=str(said["version"]),
            architecture=str(said.get("architecture", "")),
        )
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None


def _soname(data: bytes, found: elf.Sections, order: str) -> str:
    if b".dynamic" not in found or b".dynstr" not in found:
        return ""
    wide = data[4] == 2
    entry = struct.Struct(order + ("QQ" if wide else "II"))
    start, size = found[b".dynamic"]
    for number in range(min(size // entry.size, 256)):
        tag, value = entry.unpack_from(data, start + number * entry.size)
        if tag == _SONAME and value < found[b".dynstr"][1]:
            at = found[b".dynstr"][0] + value
            return data[at : data.find(b"\0", at, at + 256)].decode("utf-8", "replace")
        if tag == 0:
            break
    return ""
