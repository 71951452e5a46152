"""The trees that a build context is read from: a folder with an edit laid over it, or files in memory."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_CHUNK = 256 * 1024  # B that are read at once; a message of gRPC may have 4 MiB


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """A file, folder, link or device of a tree.

    `path` is relative, with slashes; bytes that are not UTF-8 are escaped as in os.fsdecode. `mode` is the mode of
    stat(2), with the type; `modified` is Unix time in ns; `link` is the target of a symbolic link.
    """

    path: str
    mode: int
    size: int = 0  # B; 0 except for regular files and symbolic links
    modified: int = 0
    link: str = ""
    inode: tuple[int, int] | None = None  # device and number, of a file that has more names than one
    device: int = 0  # st_rdev
    content: Path | bytes = b""
    attributes: Mapping[str, bytes] = field(default_factory=dict)  # extended attributes

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def read(self) -> Iterator[bytes]:
        """A regular file's content in pieces. Raises OSError."""
        if isinstance(self.content, bytes):
            for start in range(0, len(self.content), _CHUNK):
                yield self.content[start : start + _CHUNK]
            return
        with self.content.open("rb") as file:
            while piece := file.read(_CHUNK):
                yield piece


class ContextTree(Protocol):
    """A source of files for a build: a folder, or files in memory."""

    def names(self, folder: str) -> Sequence[str]:
        """Names in a folder ("" is the root), sorted by their bytes. Raises OSError."""
        ...

    def entry(self, path: str) -> ContextEntry | None:
        """The entry at a path, without following a link; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class FolderTree:
    """A folder on disk, with other contents for some of its files: an edit that never touches the disk.

    A changed file has the time of the edit, because BuildKit considers a file of the same size and time unchanged.
    """

    root: Path
    changed: Mapping[str, bytes] = field(default_factory=dict)
    changed_at: int = field(default_factory=time.time_ns)

    def names(self, folder: str) -> Sequence[str]:
        return sorted((place.name for place in (self.root / folder).iterdir()), key=os.fsencode)

    def entry(self, path: str) -> ContextEntry | None:
        place = self.root / path
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if path in self.changed:
            data = self.changed[path]
            return ContextEntry(path, found.st_mode, len(data), self.changed_at, content=data)
        mode, kind = found.st_mode, stat.S_IFMT(found.st_mode)
        linked = kind == stat.S_IFREG and found.st_nlink > 1
        return ContextEntry(
            path,
            mode,
            found.st_size if kind in (stat.S_IFREG, stat.S_IFLNK) else 0,
            found.st_mtime_ns,
            link=str(place.readlink()) if kind == stat.S_IFLNK else "",
            inode=(found.st_dev, found.st_ino) if linked else None,
            device=found.st_rdev if kind in (stat.S_IFBLK, stat.S_IFCHR) else 0,
            content=place,
            attributes=_attributes(place),
        )


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """Files by path, in memory, in folders of mode 0755.

    BuildKit considers a file of the same size and time unchanged, so the time (ns since 1970) is derived from the
    content.
    """

    files: Mapping[str, bytes]
    mode: int = 0o644

    def names(self, folder: str) -> Sequence[str]:
        prefix = f"{folder}/" if folder else ""
        found = {path.removeprefix(prefix).partition("/")[0] for path in self.files if path.startswith(prefix)}
        return sorted(found, key=os.fsencode)

    def entry(self, path: str) -> ContextEntry | None:
        if path in self.files:
            data = self.files[path]
            age = int.from_bytes(hashlib.sha256(data).digest()[:7])
            return ContextEntry(path, stat.S_IFREG | self.mode, len(data), age, content=data)
        if any(known.startswith(f"{path}/") for known in self.files):
            return ContextEntry(path, stat.S_IFDIR | 0o755)
        return None


def _attributes(place: Path) -> Mapping[str, bytes]:
    """Extended attributes, without following a link; none if the file system or the platform has none."""
    if not hasattr(os, "listxattr"):
        return {}
    try:
        return {
            name: os.getxattr(place, name, follow_symlinks=False) for name in os.listxattr(place, follow_symlinks=False)
        }
    except OSError:
        return {}
