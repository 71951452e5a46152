"""Sending a tree to BuildKit: moby.filesync.v1.FileSync/DiffCopy, with fsutil's packets.

BuildKit gets a description of every entry, asks for the contents that it does not have, and says when it is done.
Owners are sent as root, as Docker's own clients do. https://github.com/tonistiigi/fsutil (send.go, stat.go).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from harness.engine.buildkit_pb2 import Packet, Stat
from harness.image.context import walk
from harness.image.context_tree import ContextEntry, ContextTree

# Go's io/fs.FileMode
_FOLDER, _LINK, _DEVICE, _PIPE, _CHARACTER = 1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 21
_KINDS = {
    stat.S_IFDIR: _FOLDER,
    stat.S_IFLNK: _LINK,
    stat.S_IFBLK: _DEVICE,
    stat.S_IFCHR: _DEVICE | _CHARACTER,
    stat.S_IFIFO: _PIPE,
}
_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


class Sender:
    """One transfer. `answers` are packets to send; after the last one `done` is True.

    `error` says what could not be read: it is sent to BuildKit, and the transfer fails.
    """

    def __init__(
        self, tree: ContextTree, *, exclude: Sequence[str] = (), include: Sequence[str] = (), follow: Sequence[str] = ()
    ) -> None:
        self._entries = walk(tree, exclude=exclude, include=include, follow=follow)
        self._files: dict[int, ContextEntry] = {}  # entries whose contents may be requested
        self.done = False
        self.error = ""

    def start(self) -> Iterator[bytes]:
        """The descriptions of all entries in order, and an empty packet at the end."""
        return self._guarded(self._announced())

    def answer(self, message: bytes) -> Iterable[bytes]:
        """Handle a packet of the other side. Raises DecodeError."""
        packet = Packet.FromString(message)
        if packet.type == Packet.REQUEST:
            return self._guarded(self._content(packet.id))
        if packet.type == Packet.END:
            self.done = True
            return (Packet(type=Packet.END).SerializeToString(),)
        if packet.type == Packet.ERROR:
            self.done = True
        return ()

    def _announced(self) -> Iterator[bytes]:
        for number, entry in enumerate(self._entries):
            if entry.is_file:
                self._files[number] = entry
            yield Packet(type=Packet.STAT, stat=_stat(entry)).SerializeToString()
        yield Packet(type=Packet.STAT).SerializeToString()

    def _content(self, number: int) -> Iterator[bytes]:
        for piece in self._files.pop(number).read():
            if piece:
                yield Packet(type=Packet.DATA, id=number, data=piece).SerializeToString()
        yield Packet(type=Packet.DATA, id=number).SerializeToString()

    def _guarded(self, packets: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from packets
        except (OSError, ValueError, KeyError) as error:
            name = getattr(error, "filename", None)
            self.error = f"{name}: {error.strerror}" if isinstance(error, OSError) and name else str(error)
            yield Packet(type=Packet.ERROR, data=self.error.encode(errors="replace")).SerializeToString()


def _stat(entry: ContextEntry) -> Stat:
    mode = stat.S_IMODE(entry.mode) & 0o777 | _KINDS.get(stat.S_IFMT(entry.mode), 0)
    for bit, ours in _BITS.items():
        mode |= ours if entry.mode & bit else 0
    return Stat(
        path=os.fsencode(entry.path),
        mode=mode,
        size=entry.size,
        modified=entry.modified,
        link=os.fsencode(entry.link),
        device_major=os.major(entry.device) if entry.device else 0,
        device_minor=os.minor(entry.device) if entry.device else 0,
        attributes=dict(entry.attributes),
    )
