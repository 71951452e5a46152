"""Files written whole: a reader, or the next run after a kill, sees the old file or the new file, never half a file."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A new path to write a file at. When the block ends, the file takes the place of `path`.

    If the block raises, `path` stays as it was. A symbolic link stays a link: its target is replaced. A character
    device, a pipe, and whatever lies below /dev and /proc is written through and never replaced; /dev/shm is a folder
    like others. `durable` returns only when the new file would survive a power cut. The folder of `path` is made if it
    is missing. Raises OSError, for a disk, a socket, a folder and a link to itself too.
    """
    if _is_written_through(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, "new")
            yield temporary
            with temporary.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    target_path = Path(os.path.realpath(path))
    if target_path.is_symlink():  # as far as a circle of links could be followed
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    target_path.parent.mkdir(parents=True, exist_ok=True)
    temporary = target_path.with_name(f".{target_path.name}.{secrets.token_hex(4)}.new")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(target_path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync_folder(target_path.parent)


def replace_file(path: Path, data: bytes | str | Iterable[bytes], *, durable: bool = False) -> None:
    """`replacing` with this content. Text is written as UTF-8."""
    with replacing(path, durable=durable) as temporary, temporary.open("wb") as file:
        if isinstance(data, bytes | str):
            file.write(data.encode() if isinstance(data, str) else data)
        else:
            file.writelines(data)


def sync_folder(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_written_through(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        mode = stat.S_IFREG  # there is nothing yet
    if stat.S_ISBLK(mode):  # a whole disk
        raise OSError(errno.EINVAL, "is a block device", str(path))
    of_kernel = path.absolute().parts[1:2] in (("dev",), ("proc",)) and path.absolute().parts[1:3] != ("dev", "shm")
    return not stat.S_ISREG(mode) or of_kernel
