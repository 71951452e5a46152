"""File trees as image layers, and layers as an image archive; the same input gives the same bytes.

A layer is an OCI layer: a tar with entries sorted by path, numeric owners, and whiteouts (`.wh.NAME`) for files that
the layers below have and this layer deletes (OCI image specification, layer.md). An archive has the form that `docker
load` of every engine reads: manifest.json, the image configuration, and the layers.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from harness.image.tar import LayerError

WHITEOUT = ".wh."
_BLOCK = 1 << 18
_SAMPLED = 64  # blocks of a layer from which its packed size is estimated


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The properties by which two files of an image are the same. `content` is a SHA-256, a link's target, or "" for a
    folder.
    """

    kind: str  # file | folder | link
    mode: int  # permission bits, set-id and sticky bits included
    uid: int
    gid: int
    size: int  # B; 0 for everything that is not a file
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLayer:
    """A stored layer. `packed` is its size gzipped, estimated from a sample; bytes."""

    diff_id: str  # sha256:… of the tar
    size: int  # B of the tar
    content: int  # B in files
    files: int
    packed: int


def snapshot(root: Path) -> dict[str, FileIdentity]:
    """Every file, folder and symbolic link below `root`, by path without leading slash.

    Sockets, pipes and device nodes are left out: official images have none.
    """
    found: dict[str, FileIdentity] = {}
    hashed: dict[tuple[int, int], str] = {}  # a file with several names is read once
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            info = path.lstat()
            size = 0
            if stat.S_ISREG(info.st_mode):
                identity = (info.st_dev, info.st_ino)
                if identity not in hashed:
                    with path.open("rb") as file:
                        hashed[identity] = hashlib.file_digest(file, "sha256").hexdigest()
                kind, content, size = "file", hashed[identity], info.st_size
            elif stat.S_ISLNK(info.st_mode):
                kind, content = "link", str(path.readlink())
            elif stat.S_ISDIR(info.st_mode):
                kind, content = "folder", ""
            else:
                continue
            mode = 0o777 if kind == "link" else stat.S_IMODE(info.st_mode)
            found[str(path.relative_to(root))] = FileIdentity(kind, mode, info.st_uid, info.st_gid, size, content)
    return found


def changes(before: Mapping[str, FileIdentity], after: Mapping[str, FileIdentity]) -> tuple[list[str], list[str]]:
    """(paths that a layer must carry, paths that it must white out), both sorted.

    Folders above a changed path are carried even if they are unchanged, because an engine makes missing folders with
    permissions of its own, which would be visible.
    """
    carried = {path for path, entry in after.items() if before.get(path) != entry}
    gone = {path for path in before if path not in after}
    # a whiteout of a folder covers its content, and so does another kind of entry in its place
    whiteouts = {
        path for path in gone if (parent := str(Path(path).parent)) == "." or after.get(parent, _NONE).kind == "folder"
    }
    for path in [*carried, *whiteouts]:
        carried.update(str(parent) for parent in Path(path).parents if str(parent) != ".")
    return sorted(carried), sorted(whiteouts)


_NONE = FileIdentity("", 0, 0, 0, 0, "")


def write_layer(
    root: Path,
    out: Path,
    *,
    before: Mapping[str, FileIdentity],
    epoch: int,
    since: float,
) -> WrittenLayer:
    """Write the difference from `before` to the tree at `root` as a layer to `out`.

    Files last modified after `since` (Unix time: the start of the bootstrap) were made by the bootstrap and get the
    time `epoch`. Older files keep the time from their package: byte-code that a maintainer script compiled records the
    time of its source, and with another time Python would compile it again at every start.
    """
    after = snapshot(root)
    carried, whiteouts = changes(before, after)
    names = sorted([*carried, *(str(Path(path).with_name(WHITEOUT + Path(path).name)) for path in whiteouts)])
    first: dict[tuple[int, int], str] = {}  # device and inode → the name that holds the content
    with (
        out.open("wb") as written,
        tarfile.open(fileobj=(hashing := _Hashing(written)), mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in names:
            member = tarfile.TarInfo(name)
            member.mtime = epoch
            if Path(name).name.startswith(WHITEOUT):
                tar.addfile(member)
                continue
            path, entry = root / name, after[name]
            info = path.lstat()
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
            if info.st_mtime <= since:
                member.mtime = int(info.st_mtime)
            if entry.kind == "folder":
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif entry.kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, entry.content
                tar.addfile(member)
            elif info.st_nlink > 1 and (info.st_dev, info.st_ino) in first:
                member.type, member.linkname = tarfile.LNKTYPE, first[info.st_dev, info.st_ino]
                tar.addfile(member)
            else:
                first[info.st_dev, info.st_ino] = name
                member.size = entry.size
                with path.open("rb") as file:
                    tar.addfile(member, file)
    files = [after[name] for name in first.values()]  # a further name of a file adds no content
    return WrittenLayer(
        diff_id=f"sha256:{hashing.digest.hexdigest()}",
        size=out.stat().st_size,
        content=sum(entry.size for entry in files),
        files=len(files),
        packed=packed_size(out),
    )


class _Hashing(io.RawIOBase):
    """A file for tarfile to write, whose SHA-256 is computed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile writes nothing else
        self.digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


def unpack(layers: Sequence[Path], root: Path) -> None:
    """Apply layers, lowest first, in the folder `root` as an engine does.

    Raises LayerError for a path that leads out of `root`, also by a link of an earlier entry, before it is followed.
    """
    inside = root.resolve()
    for layer in layers:
        with tarfile.open(layer) as tar:
            for member in tar:
                path = root / member.name
                leaves = ".." in path.parts[len(root.parts) :] or path.name in (f"{WHITEOUT}.", f"{WHITEOUT}..")
                if leaves or not path.parent.resolve().is_relative_to(inside.parent if path == root else inside):
                    raise LayerError(f"a path that leaves the root: {member.name[:60]!r}", where=str(layer))
                if path.name.startswith(WHITEOUT):
                    _remove(path.with_name(path.name.removeprefix(WHITEOUT)))
                elif path.is_symlink() or (path.exists() and path.is_dir() != member.isdir()):
                    _remove(path)
        command = ["tar", "--extract", "--preserve-permissions", "--numeric-owner", "--delay-directory-restore"]
        subprocess.run([*command, "--exclude=.wh.*", "-f", layer, "-C", root], check=True, capture_output=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def packed_size(path: Path) -> int:
    """Size after gzip at the level that engines push with; for large files from a sample of blocks, within about 10
    %.
    """
    read = packed = 0
    size = path.stat().st_size
    share = max(size // (_SAMPLED * _BLOCK), 1)
    with path.open("rb") as file:
        for offset in range(0, size, _BLOCK * share):
            file.seek(offset)
            block = file.read(_BLOCK)
            read += len(block)
            packed += len(zlib.compress(block, 6))
    return round(packed * size / read) if read else 0


def image_config(
    *,
    architecture: str,
    diff_ids: Sequence[str],
    history: Sequence[str],
    config: Mapping[str, object],
    epoch: int,
) -> bytes:
    """The OCI image configuration; its SHA-256 is the image id. `history` says for each layer where it comes from."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "architecture": architecture,
        "config": dict(config),
        "created": created,
        "history": [{"created": created, "created_by": line} for line in history],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def image_id(config: bytes) -> str:
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def write_archive(out: Path, *, config: bytes, layers: Sequence[Path], name: str) -> None:
    """A docker-archive of one image. Each of `layers` is a file named as its digest; lowest first."""
    config_name = image_id(config).removeprefix("sha256:") + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{layer.stem}/layer.tar" for layer in layers]}]
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for member_name, data in (("manifest.json", json.dumps(manifest).encode()), (config_name, config)):
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        tar.copybufsize = _BLOCK  # type: ignore[attr-defined]  # not in its stubs; 16 kB otherwise
        for layer in dict.fromkeys(layers):
            member = tarfile.TarInfo(f"{layer.stem}/layer.tar")
            member.size = layer.stat().st_size
            with layer.open("rb") as file:
                tar.addfile(member, file)
