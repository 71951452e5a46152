"""A data root kept for the next run, so that the images of an engine of our own need not be unpacked again.

    <cache>/engines/kept-<token>/             a data root after an orderly end: images, and nothing else
    <cache>/engines/kept-<token>/tare.json    of which dockerd and image store, its images, and when a run last had them

Names of images in it are not trusted: an image is used only if its id, a digest of all its content, is the one that is
needed, and only after it has given all the right answers. A run takes a data root by renaming it, so only one of two
runs gets it; a killed run leaves none.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from harness.engine.contract import Engine
from harness.engine.daemon import Daemon
from harness.engine.programs import Programs
from harness.errors import EngineError
from harness.host.reaper import Scope
from harness.host.undo import Record, undo
from harness.settings import FRESH

_PREFIX = "kept-"
_RECORD = "tare.json"
_OWN = Programs()  # this machine's
_FORMAT = 3  # the version of the folder; if it is raised, kept data roots are removed
# Parts of a data root other than images and layers (daemon/daemon.go of moby): they belong to containers and networks
# that are gone.
_OTHERS = ("containers", "network", "plugins", "runtimes", "swarm", "tmp", "trust", "volumes")
_CONTAINERD = "containerd"  # images of the containerd store; the classic store keeps nothing lasting here
_ROOM = 16 << 30  # B that must be free beside it: the size of the default matrix of 35 cells (du: 14 GiB)


class KeptRoots:
    """The kept data roots of a cache folder, and the data root of this run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: Mapping[str, float] = {}  # ids in the data root that was taken, and when a run last had them
        self._programs = Programs()  # of the dockerd of this run
        self.daemon: Daemon | None = None  # of this run

    def newest(self, reaper: Scope, programs: Programs = _OWN) -> Path | None:
        """The newest data root that is fresh and belongs to this dockerd with this image store, if there is one.

        `reaper` removes older data roots of the same dockerd, and all that are not fresh. Fresh data roots of another
        dockerd are left to the runs that use it.
        """
        self._programs = programs
        dockerd = str(programs)
        known = {}
        for entry in self._folder.glob(f"{_PREFIX}*"):
            made_by, images = _read(entry)
            if made_by == dockerd or not images:
                known[entry] = images
        best = max(known, key=lambda entry: max(known[entry].values(), default=0.0), default=None)
        for entry in known:
            if entry != best or not known[entry]:
                _away(entry, reaper)
        if best is None or not known[best]:
            return None
        self._images = known[best]
        return best

    def keep(self, engine: Engine, names: Iterable[str]) -> bool:
        """End the daemon in order and keep its data root with the images of these names; returns whether that went
        well.

        Images of earlier runs are kept too while they are fresh. An engine or disk that refuses raises nothing: an
        image that is not kept is built or unpacked again.
        """
        daemon, self.daemon = self.daemon, None
        try:
            if daemon is None or shutil.disk_usage(self._folder).free < _ROOM:
                return False
            now = time.time()
            images = {id_: at for id_, at in self._images.items() if now - at < FRESH}
            images |= {info.id: now for name in names if (info := engine.inspect(name))}
            _leave(engine, images)
            if not daemon.stop():
                return False
            undo(Record(kind="bridges", name=str(daemon.data)))  # only the folder that goes now names them
            for name in (*_OTHERS, *((_CONTAINERD,) if self._programs.store == "classic" else ())):
                shutil.rmtree(daemon.data / name, ignore_errors=True)
            record = {"format": _FORMAT, "dockerd": str(self._programs), "images": images}
            (daemon.data / _RECORD).write_text(json.dumps(record), encoding="utf-8")
            daemon.data.rename(self._folder / f"{_PREFIX}{secrets.token_hex(4)}")
        except (EngineError, OSError, subprocess.SubprocessError):
            return False
        return True


def _leave(engine: Engine, images: Container[str]) -> None:
    """Remove all but these images."""
    for container in engine.containers():
        engine.remove(container)
    for image in engine.images():
        if image not in images:
            engine.remove_image(image)
    engine.prune_builds()


def _away(root: Path, reaper: Scope) -> None:
    """Have a data root removed when the run ends, unless another run has taken it."""
    target = root.with_name(secrets.token_hex(4))
    reaper.folder(target)
    with contextlib.suppress(OSError):
        root.rename(target)


def _read(root: Path) -> tuple[str, dict[str, float]]:
    """The dockerd of a data root, and its images by id with when (Unix time) a run last had them; no images if it is
    not to be used by anyone.
    """
    try:
        record = json.loads((root / _RECORD).read_text(encoding="utf-8"))
        images = {str(id_): float(at) for id_, at in record["images"].items()}
        dockerd, fits = str(record["dockerd"]), record["format"] == _FORMAT
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", {}
    now = time.time()
    return dockerd, images if fits and any(0 <= now - at < FRESH for at in images.values()) else {}
