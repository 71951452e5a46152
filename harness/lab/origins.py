"""Where a cell's files may come from: its bases, the distribution packages that are available, its app's folder.

A base's files are listed once, with the packages that the base's own database assigns them to. A package's files are
listed by the checksums inside it. The packages are the ones that bases were made of and the ones that the depot served
to builds, so every package that a build stage installed from a distribution is among them. The lists outlive the run:
`files.sqlite` in the cache.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.engine.contract import Engine
from harness.errors import TareError
from harness.host.collector import held_back
from harness.image.compression import inflate, is_compressed
from harness.image.read import ImageContents, read_image, read_layers
from harness.image.tar import LayerError
from harness.image.tree import Tree
from harness.lab.bases.bases import BaseImage
from harness.surface import databases
from harness.surface.inventory import list_files
from harness.surface.origins import Documents, FileLists, Hashing, ListedFile, Origin

_AR = b"!<arch>\n"
_AR_HEADER = 60
_HEAD = 8192  # B of a file of the depot's cache in which the answer's body begins, and the control part of a package
_PIECE = 1 << 20
_NOT_WRITTEN = {".git", ".venv", "__pycache__", "build", "dist", "node_modules", "target", "venv"}
_MAX_APP_FILES = 20_000
_MAX_APP_FILE = 8 << 20  # B
_MAX_CONTROL = 16 << 20  # B of a package's control part after inflation


MD5s = Callable[[Mapping[int, frozenset[str]]], Mapping[tuple[int, str], bytes]]  # as `Origins.md5`


class KnownFiles:
    """The lists of one lab. May be used by several threads."""

    def __init__(self, engine: Engine, cache: Path) -> None:
        self._engine = engine
        self._cache = cache
        self._lock = threading.Lock()
        self._lists: FileLists | None = None
        self._seen: set[str] = set()  # files of the cache that were examined
        self._apps: dict[Path, dict[bytes, str]] = {}

    def close(self) -> None:
        if self._lists:
            self._lists.close()

    def ensure(self, bases: Iterable[BaseImage]) -> FileLists:
        """The lists, including the lists of the bases and of all available packages."""
        with self._lock:
            if self._lists is None:
                self._lists = FileLists(self._cache / "files.sqlite")
            known = self._lists.names()
            for base in bases:
                if base.image_id not in known:
                    self._list_base(self._lists, base)
            self._list_packages(self._lists, known)
            return self._lists

    def of_app(self, folder: Path) -> Mapping[bytes, str]:
        """The files of an app's folder: path by MD5."""
        with self._lock:
            if folder not in self._apps:
                self._apps[folder] = dict(_app_files(folder))
            return self._apps[folder]

    def _list_base(self, lists: FileLists, base: BaseImage) -> None:
        try:
            with held_back():
                contents = self._contents(base)
                system, files = list_files(contents, Tree(contents))
        except (TareError, OSError):
            return  # its files are then traced in another way, or not at all
        lists.add(base.image_id, f"base {base.role}", system, files)

    def _contents(self, base: BaseImage) -> ImageContents:
        if not base.layers:  # an upstream image, of whatever distribution
            return read_image(self._engine.save(base.name), examine=Hashing())
        config = {"rootfs": {"diff_ids": list(base.diff_ids)}}
        # made of Debian's packages, which bring checksums of their files: that saves reading gigabytes
        return read_layers(config, (_pieces(path) for path in base.layers), examine=Documents())

    def _list_packages(self, lists: FileLists, known: frozenset[str]) -> None:
        for folder, name in _packages(self._cache):
            if name in self._seen or name in known:
                continue
            self._seen.add(name)
            path = Path(folder, name)
            try:
                files = list(_package_files(path))
            except (OSError, EOFError, LayerError, lzma.LZMAError, zlib.error, tarfile.TarError, ValueError):
                continue  # not a package, or one that is being written
            if files and (package := files[0].package):
                lists.add(name, f"{package.name}_{package.version}_{package.architecture}.deb", {}, files)


class CellOrigins:
    """The known origins for one cell: `harness.surface.origins.Origins`. `own` are the labels of its build's bases."""

    def __init__(
        self,
        lists: FileLists,
        own: frozenset[str],
        app: Mapping[bytes, str],
        md5: MD5s,
    ) -> None:
        self._lists = lists
        self._own = own
        self._app = app
        self.md5 = md5

    def by_content(self, md5: bytes) -> Sequence[Origin]:
        return self._sorted(self._lists.by_content(md5))

    def by_path(self, path: str) -> Sequence[Origin]:
        return self._sorted(self._lists.by_path(path))

    def in_app(self, md5: bytes) -> str:
        return self._app.get(md5, "")

    def _sorted(self, found: list[Origin]) -> list[Origin]:
        """Of the base of another cell, only the files of its packages."""
        known = (origin for origin in found if origin.package or origin.label in self._own)
        return sorted(known, key=lambda origin: origin.label not in self._own)


def _app_files(folder: Path) -> Iterator[tuple[bytes, str]]:
    """MD5 and path of the files that an app's author wrote; files that tools have put beside them are left out."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _NOT_WRITTEN)
        for name in sorted(names):
            path = Path(place, name)
            count += 1
            if count > _MAX_APP_FILES:
                return
            if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size <= _MAX_APP_FILE:
                digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).digest()
                yield digest, path.relative_to(folder).as_posix()


def _packages(cache: Path) -> Iterator[tuple[str, str]]:
    """Folder and name of the available distribution packages: those of bases, and files of the depot's cache, whose
    names say nothing.
    """
    for folder, _, names in os.walk(cache / "debs"):
        yield from ((folder, name) for name in names if name.endswith(".deb"))
    for folder, _, names in os.walk(cache / "depot"):
        yield from ((folder, name) for name in names if len(name) == 32)


def _package_files(path: Path) -> Iterator[ListedFile]:
    """The files of a Debian package (deb(5)), by the checksums in its control part. Nothing for another file."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        start = head.find(_AR)  # after the header that the depot's nginx keeps with an answer
        if start < 0 or (start and b".deb" not in head[:start]):
            return
        at = start + len(_AR)
        for _ in range(3):
            file.seek(at)
            header = file.read(_AR_HEADER)
            name, size = header[:16].decode("ascii").strip(" /"), int(header[48:58])
            if name.startswith("control.tar"):
                yield from _control(_inflated(name, file.read(min(size, _MAX_CONTROL))))
                return
            at += _AR_HEADER + size + size % 2


def _control(data: bytes) -> Iterator[ListedFile]:
    texts = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in ("control", "md5sums", "conffiles") and (content := archive.extractfile(member)):
                texts[name] = content.read()
    package = next(databases.dpkg(texts.get("control", b""), installed_only=False), None)
    if package is None:
        return
    for path, md5 in databases.checksums(texts.get("md5sums", b"")):
        yield ListedFile(md5, _text(path), package)
    for line in texts.get("conffiles", b"").decode("utf-8", "surrogateescape").splitlines():
        yield ListedFile(None, _text(line.strip("/")), package)


def _text(path: str) -> str:
    """A path as text that a database accepts, whatever its bytes are."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _inflated(name: str, data: bytes) -> bytes:
    if name.endswith(".xz"):
        return lzma.LZMADecompressor().decompress(data, _MAX_CONTROL)
    return b"".join(inflate(data[:4], iter((memoryview(data),)))) if is_compressed(data) else data


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
