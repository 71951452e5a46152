"""A build context as a tar archive, for engines that take it in the body of POST /build."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, cast

from harness.image.context import BuildContext
from harness.image.context_tree import ContextEntry

_NS = 1_000_000_000
_BLOCK = 1 << 18


def write_context(context: BuildContext, out: IO[bytes], *, beside: Mapping[str, bytes], hide: frozenset[str]) -> None:
    """Write what a Dockerfile of this context can copy, and the files `beside` it, by name at the top.

    A file of the context whose name is in `hide` is left out. Owners are root, as with Docker's own clients. Raises
    UsageError, OSError.
    """
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK) as tar:
        for entry in context.entries():
            if entry.path not in hide:
                _add(tar, entry)
        for name, data in beside.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, cast("IO[bytes]", _Pieces(iter((data,)))))


def _add(tar: tarfile.TarFile, entry: ContextEntry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mode = entry.mode & 0o7777
    info.mtime = entry.modified // _NS
    if entry.is_folder:
        info.type = tarfile.DIRTYPE
    elif entry.is_link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    elif entry.is_file and entry.link:  # another name of a file that is in the archive already
        info.type, info.linkname = tarfile.LNKTYPE, entry.link
    elif entry.is_file:
        info.size = entry.size
        tar.addfile(info, cast("IO[bytes]", _Pieces(entry.read())))
        return
    else:
        return  # a socket or device: no builder copies it
    tar.addfile(info)


class _Pieces:
    """Pieces of bytes as the file that tarfile reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
