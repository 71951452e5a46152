"""What ELF programs contain about themselves: the modules of a Go program, the crates of a Rust program.

Formats: ELF (System V ABI, gabi 4.1); Go's build information (debug/buildinfo of Go's library); cargo-auditable's
section .dep-v0 (https://github.com/rust-secure-code/cargo-auditable, PARSING.md). Nothing is trusted: broken data
yields no packages.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from harness.surface.finding import Ecosystem, Package

MAGIC = b"\x7fELF"
_MAX_SECTIONS = 4096
_MAX_AUDIT = 8 << 20  # B of an inflated .dep-v0
_MAX_MODULES = 16 << 20  # B of Go's module list
_GO_MAGIC = b"\xff Go buildinf:"
_GO_HEADER = 32
_GO_INLINE = 2  # flag: the strings follow the header, since Go 1.18
_GO_SENTINEL = 16  # B before and after the module list
_RUST_MARK = b"rustc version "
_UPX_MARK = b"UPX!"  # in the header of the loader that UPX puts in front of a packed program


Sections = Mapping[bytes, tuple[int, int]]  # by name: offset and size, B


def packages(data: bytes, found: Sections | None = None) -> tuple[tuple[Package, ...], str]:
    """The packages that an ELF file names, and its language: "go", "rust", "packed by UPX", "" if it does not say."""
    if _UPX_MARK in data[:4096]:
        return (), "packed by UPX"
    found = dict(sections(data)) if found is None else found
    if go := _go(data, found.get(b".go.buildinfo")):
        return tuple(go), "go"
    if (audit := found.get(b".dep-v0")) is not None:
        return tuple(_rust(data[audit[0] : audit[0] + audit[1]])), "rust"
    comment = found.get(b".comment", (0, 0))
    return (), "rust" if _RUST_MARK in data[comment[0] : comment[0] + min(comment[1], 4096)] else ""


def sections(data: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Name, offset and size of each section that has bytes in the file."""
    if len(data) < 64 or data[4] not in (1, 2) or data[5] not in (1, 2):
        return
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    # offset of the table; at its end, size and number of its entries and the index of the entry with the names
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    size, count, names = struct.unpack_from(order + "3H", data, 58 if wide else 46)
    # name, type, flags, address, offset, size
    header = struct.Struct(order + ("IIQQQQ" if wide else "6I"))
    if size < header.size or not 0 <= names < count <= _MAX_SECTIONS or table + size * count > len(data):
        return
    headers = [header.unpack_from(data, table + size * number) for number in range(count)]
    strings = headers[names][4]
    for name, kind, _, _, offset, length in headers:
        if kind != 8 and offset + length <= len(data):  # 8: occupies no bytes
            start = strings + name
            yield data[start : data.find(b"\0", start, start + 256)], (offset, length)


def _go(data: bytes, section: tuple[int, int] | None) -> list[Package]:
    """The modules of a Go program; the standard library is the module `stdlib`, as vulnerability databases call it."""
    at = section[0] if section else data.find(_GO_MAGIC)  # a program that others packed may have no sections
    if at < 0 or not data.startswith(_GO_MAGIC, at) or len(data) < at + _GO_HEADER:
        return []
    if not data[at + 15] & _GO_INLINE:
        return [_module("stdlib", "")]  # before Go 1.18 the version is reached through pointers
    version, at = _go_string(data, at + _GO_HEADER)
    modules, _ = _go_string(data, at)
    if len(modules) > 2 * _GO_SENTINEL and modules[-_GO_SENTINEL - 1 : -_GO_SENTINEL] == b"\n":
        modules = modules[_GO_SENTINEL:-_GO_SENTINEL]
    found = [_module("stdlib", version.decode("utf-8", "replace").removeprefix("go").split(" ")[0])]
    for line in modules.decode("utf-8", "replace").splitlines():
        kind, *words = line.split("\t")
        if kind == "mod" and len(words) >= 2:
            found.append(_module(words[0], words[1], application=True))
        elif kind == "dep" and len(words) >= 2:
            found.append(_module(words[0], words[1]))
        elif kind == "=>" and len(words) >= 2 and len(found) > 1 and not _is_folder(words[0]):
            found[-1] = _module(words[0], words[1], application=found[-1].application)
    return found


def _is_folder(replacement: str) -> bool:
    """Whether a `replace` names a folder beside the program's source instead of a module (go.mod reference, replace).

    Then the module keeps its own name, because a folder's name means nothing to others.
    """
    return replacement.startswith(("./", "../", "/")) or replacement in (".", "..")


def _module(name: str, version: str, *, application: bool = False) -> Package:
    return Package(ecosystem=Ecosystem.GO, name=name, version=version, application=application)


def _go_string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string after its length as a varint, and its end; empty if the data does not contain it."""
    length = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (data[at : at + length], at + length) if length <= _MAX_MODULES else (b"", at)
    return b"", at


def _rust(section: bytes) -> Iterator[Package]:
    try:
        document = json.loads(zlib.decompressobj().decompress(section, _MAX_AUDIT))
        listed: Any = document["packages"]
        for package in listed:
            if package.get("kind", "runtime") == "runtime":
                yield Package(
                    ecosystem=Ecosystem.RUST,
                    name=str(package["name"]),
                    version=str(package["version"]),
                    application=bool(package.get("root")),
                )
    except (zlib.error, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return
