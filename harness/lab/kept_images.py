"""The shelf: images built in the last hours, kept as the registry stored them, for runs whose inputs are the same.

    <cache>/shelf/<key>/record.json     what it is, and when it was built
    <cache>/shelf/<key>/repository/     the registry's folder of the repository: tags, revisions, layer links
    <cache>/shelf/<key>/blobs/<hex>     its blobs, hard links into the registry's storage
    <cache>/shelf/<key>/notes/<name>    what was found out about it

The key is a digest of everything an image is made of. No key can contain the packages that an index would give today,
so an image is kept no longer than the depot serves an index without fetching it again. The layout of a storage is that
of docker-registry's filesystem driver, version 2 (registry/storage/paths.go of distribution/distribution).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.host.files import replace_file
from harness.settings import FRESH

_FORMAT = 2  # the version of the folder; if it is raised, kept images are forgotten
_STORE = Path("docker/registry/v2")
# folders that are named by the content of a repository
_DIGESTS = (Path("_manifests/revisions/sha256"), Path("_layers/sha256"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A kept image. `at` is when it was built, Unix time; `log` is what its build printed."""

    image: str  # id
    diff_ids: tuple[str, ...]
    log: str
    at: float


def key_of(parts: Iterable[bytes | str]) -> str:
    """A digest of the parts in their order; where a part ends makes a difference."""
    digest = hashlib.sha256(f"{_FORMAT}\n".encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


class Shelf:
    """Images kept in `folder` beside a registry's `storage`, which is on the same file system.

    A disk that refuses raises nothing here: an image that is not kept is built.
    """

    def __init__(self, folder: Path, storage: Path) -> None:
        self._folder = folder
        self._storage = storage / _STORE
        self._sound: set[str] = set()  # blobs that have been checked; each is stored once, however many cells have it
        with contextlib.suppress(OSError):
            for entry in list(folder.iterdir()):
                if _read(entry) is None:
                    shutil.rmtree(entry, ignore_errors=True)

    def has(self, key: str) -> bool:
        return _read(self._folder / key) is not None

    def put(self, key: str, repository: str, kept: Kept) -> bool:
        """Keep a repository of the registry; returns whether that went well."""
        entry = self._folder / key
        new = self._folder / f"{key}.{secrets.token_hex(4)}.new"
        try:
            (new / "blobs").mkdir(parents=True)
            shutil.copytree(self._repository(repository), new / "repository")
            for name in _held(new / "repository"):
                os.link(self._blob(name), new / "blobs" / name)
            (new / "record.json").write_text(json.dumps(asdict(kept)), encoding="utf-8")
            shutil.rmtree(entry, ignore_errors=True)
            new.rename(entry)
        except OSError:  # no hard links here, a full disk, or another harness was quicker
            shutil.rmtree(new, ignore_errors=True)
            return False
        return True

    def take(self, key: str, repository: str) -> Kept | None:
        """Give the kept repository to the registry; None if nothing is kept, or if it cannot be read."""
        entry = self._folder / key
        kept = _read(entry)
        if kept is None:
            return None
        try:
            for name in _held(entry / "repository"):
                target = self._blob(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):  # another cell of the same base has brought it
                    os.link(entry / "blobs" / name, target)
            shutil.copytree(entry / "repository", self._repository(repository), dirs_exist_ok=True)
        except OSError:
            self.drop(key)
            return None
        return kept

    def sound(self, repository: str) -> bool:
        """Whether every blob of a repository still has the content that its name promises.

        A blob that does not is removed, because a push would find it there and leave it.
        """
        try:
            for name in _held(self._repository(repository)):
                if name in self._sound:
                    continue
                with self._blob(name).open("rb") as file:
                    whole = hashlib.file_digest(file, "sha256").hexdigest() == name
                if not whole:
                    self._blob(name).unlink()
                    return False
                self._sound.add(name)
        except OSError:
            return False
        return True

    def drop(self, key: str) -> None:
        shutil.rmtree(self._folder / key, ignore_errors=True)

    def note(self, key: str, name: str) -> bytes | None:
        """What `add` has kept under this name with the image; None if there is nothing."""
        entry = self._folder / key
        with contextlib.suppress(OSError):
            return (entry / "notes" / name).read_bytes() if _read(entry) else None
        return None

    def add(self, key: str, name: str, data: bytes) -> None:
        """Keep something with a kept image; without the image nothing is kept."""
        image = self._folder / key
        if not image.is_dir():
            return
        with contextlib.suppress(OSError):
            replace_file(image / "notes" / name, data)

    def _repository(self, name: str) -> Path:
        return self._storage / "repositories" / name

    def _blob(self, name: str) -> Path:
        return self._storage / "blobs" / "sha256" / name[:2] / name / "data"


def _held(repository: Path) -> Iterator[str]:
    """Digests of all blobs of a repository: manifests, configs and layers."""
    for folder in _DIGESTS:
        for entry in sorted((repository / folder).iterdir()):
            yield entry.name


def _read(entry: Path) -> Kept | None:
    """The content of an entry; None if it must not be used any more, or never could be."""
    try:
        record = json.loads((entry / "record.json").read_text(encoding="utf-8"))
        kept = Kept(
            image=str(record["image"]),
            diff_ids=tuple(map(str, record["diff_ids"])),
            log=str(record["log"]),
            at=float(record["at"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if 0 <= time.time() - kept.at < FRESH and not entry.name.endswith(".new") else None
