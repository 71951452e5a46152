"""The folder of the bases that were made. A killed harness leaves no half-written base, and two harnesses share them.

Below settings.cache/"bases":

    layers/<digest>.tar    each layer once, however many bases share it
    layers/<digest>.gz     the same compressed, once an engine has needed it; its digest and size are in <digest>.json
    made/<key>.lock.json   package, version and SHA-256 of all that went in, and the dates of the package lists
    made/<key>.json        the result of one recipe; written last, so what is there is complete
    index.json             for people: when and from what each role was made
    lock, work/            held and used while something is made
    passing/               archives on their way into an engine
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.host.files import replace_file
from harness.image.archive import WrittenLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The stored result of one recipe. `epoch` is the Unix time of its packages, `at` when it was made."""

    key: str
    layer: WrittenLayer
    epoch: int
    at: str
    packages: int
    lock: str  # SHA-256 of the lock file


class Store:
    """The folder of made bases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"

    def layer(self, diff_id: str) -> Path:
        return self.folder / "layers" / f"{diff_id.removeprefix('sha256:')}.tar"

    def packed(self, layer: Path) -> Path:
        """Where a layer is compressed, or is to be."""
        return layer.with_suffix(".gz")

    def lock(self, key: str) -> Path:
        return self.folder / "made" / f"{key}.lock.json"

    def find(self, key: str) -> Made | None:
        """What was made under `key`, if all of it is still there and its lock file has not changed since."""
        try:
            fields = json.loads((self.folder / "made" / f"{key}.json").read_bytes())
            made = Made(**{**fields, "layer": WrittenLayer(**fields["layer"])})
            whole = self.layer(made.layer.diff_id).stat().st_size == made.layer.size
            same = hashlib.sha256(self.lock(key).read_bytes()).hexdigest() == made.lock
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return made if whole and same else None

    def put(self, key: str, layer: WrittenLayer, tar: Path, *, epoch: int, lock: Mapping[str, object]) -> Made:
        """Take over the layer file `tar`. Call with the lock held."""
        text = json.dumps(lock, indent=1).encode()
        packages = lock["packages"]
        made = Made(
            key=key,
            layer=layer,
            epoch=epoch,
            at=now(),
            packages=len(packages) if isinstance(packages, list) else 0,
            lock=hashlib.sha256(text).hexdigest(),
        )
        target = self.layer(layer.diff_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tar.open("rb") as file:
            os.fsync(file.fileno())
        tar.replace(target)
        _write(self.lock(key), text)
        _write(self.folder / "made" / f"{key}.json", json.dumps(asdict(made), indent=1).encode())
        return made

    @contextmanager
    def locked(self, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the store against other harnesses. `waiting` is called if another harness holds the store."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def bench(self) -> Iterator[Path]:
        """An empty folder to make bases in; it is emptied again at the end. Call with the lock held."""
        shutil.rmtree(self.work, ignore_errors=True)  # left by a harness that was killed
        self.work.mkdir(parents=True)
        try:
            yield self.work
        finally:
            shutil.rmtree(self.work, ignore_errors=True)

    def passing(self, name: str) -> Path:
        """A path for a file of this process, which the caller removes. Files that a killed harness left are removed."""
        folder = self.folder / "passing"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            if not Path("/proc", left.name.partition("-")[0]).exists():
                left.unlink(missing_ok=True)
        return folder / f"{os.getpid()}-{name}"

    def index(self) -> dict[str, dict[str, str]]:
        """By role: when and from what it was made."""
        try:
            entries = json.loads((self.folder / "index.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def note(self, entries: Mapping[str, Mapping[str, str]]) -> None:
        """Add to the index. Call with the lock held."""
        merged = dict(sorted({**self.index(), **entries}.items()))
        _write(self.folder / "index.json", json.dumps(merged, indent=1).encode())


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(path: Path, data: bytes) -> None:
    """Write the whole file or nothing."""
    replace_file(path, data, durable=True)
