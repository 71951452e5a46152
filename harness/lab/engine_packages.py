"""Docker of another release than this machine's, and podman: the distribution's packages, unpacked into the cache.

    <cache>/programs/<release>/bin/         dockerd, containerd and what they start
    <cache>/programs/podman-<release>/bin/  podman and what it starts
    <cache>/programs/…/made.json            the packages they come from; written last, so what is there is complete

Nothing is installed. apt fetches the packages through this machine's own sources and verifies each. Of a package only
the named programs are taken, and only if they are regular files of the archive: no link in it is followed.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from harness.engine.programs import Programs, says
from harness.errors import LabError
from harness.lab.apt.root import Apt, Isolated
from harness.lab.bases.maker import architecture
from harness.settings import ENGINE_RELEASES

_FORMAT = 1  # the version of the folder; if it is raised, engines are unpacked anew
_RECORD = "made.json"
# package → the programs and libraries that are taken from it
_DOCKER = {
    "docker.io": ("dockerd", "docker-proxy"),
    "containerd": ("containerd", "containerd-shim-runc-v2"),
    "runc": ("runc",),
    "pigz": ("pigz",),
}
_PODMAN = {
    "podman": ("podman",),
    "conmon": ("conmon",),
    "runc": ("runc",),
    "containernetworking-plugins": ("bridge", "host-local", "loopback"),
    "golang-github-containers-common": ("seccomp.json",),
    "libsubid4": ("libsubid.so.4",),
}
_WANTED = {"docker": _DOCKER, "podman": _PODMAN}
# Libraries that pigz of a release needs and other releases do not have. Only pigz looks for libraries here.
_LIBRARIES = {"forky": {"libzopfli1": ("libzopfli.so.1",)}}
# Releases that are not published yet: a mirror that is no longer updated has expired lists of them.
_UNRELEASED = ("forky",)
_FOLDERS = ("usr/bin/", "usr/sbin/", "usr/lib/", "usr/share/containers/")


class EnginePackages:
    """Unpacked engines in a cache folder. Several harnesses may share it: they wait for each other."""

    def __init__(self, cache: Path, *, announce: Callable[[str], None] = lambda _: None) -> None:
        self._folder = cache / "programs"
        self._debs = cache / "debs"
        self._announce = announce

    def at_hand(self, release: str, kind: str = "docker") -> Programs | None:
        """The engine that is unpacked already; None if there is none, or if it does not run here."""
        place = self._place(release, kind)
        try:
            record = json.loads((place / _RECORD).read_bytes())
            fits = (record["format"], record["architecture"]) == (_FORMAT, architecture())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        programs = Programs(folder=place / "bin", kind=kind)
        return programs if fits and programs.version() else None

    def programs(self, release: str, kind: str = "docker") -> Programs:
        """The Docker or podman of a Debian release, fetched if it is not unpacked yet.

        Raises LabError if the packages cannot be fetched, or if the programs in them do not run on this machine.
        """
        if found := self.at_hand(release, kind):
            return found
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if found := self.at_hand(release, kind):
                return found
            began = time.monotonic()
            try:
                self._unpack(release, kind)
            except OSError as error:
                raise LabError(f"cannot be unpacked: {error}", where=str(self._place(release, kind))) from error
        found = self.at_hand(release, kind)
        if found is None:
            raise LabError(f"the {kind} of {release} does not run on this machine", fix="Use another version.")
        name = found.version() if kind == "podman" else f"Docker {found.version()}"
        self._announce(f"{name} of {release} unpacked in {time.monotonic() - began:.0f} s")
        return found

    def _place(self, release: str, kind: str) -> Path:
        return self._folder / (release if kind == "docker" else f"{kind}-{release}")

    def _unpack(self, release: str, kind: str) -> None:
        self._debs.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unpacking-", dir=self._folder)))
            apt = Apt(
                work / "apt",
                self._debs,
                release=release,
                architecture=architecture(),
                isolated=Isolated(),
                past_date=release in _UNRELEASED,
            )
            wanted = _WANTED[kind] | (_LIBRARIES.get(release, {}) if kind == "docker" else {})
            fetched = apt.download(sorted(wanted), work / "debs")
            bin_folder = work / "new" / "bin"
            bin_folder.mkdir(parents=True)
            for deb in fetched:
                take(deb, wanted[deb.name.partition("_")[0]], bin_folder)
            _finish(bin_folder)
            record = {"format": _FORMAT, "architecture": architecture(), "packages": [deb.name for deb in fetched]}
            (work / "new" / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            target = self._place(release, kind)
            if target.exists():
                target.rename(work / secrets.token_hex(4))
            (work / "new").rename(target)


def take(deb: Path, names: Iterable[str], folder: Path) -> None:
    """Copy the named regular files of a package's program and library folders into `folder`.

    A library is named without the end of its version: libzopfli.so.1 takes libzopfli.so.1.0.3. Raises LabError if the
    package lacks a file, or if it is not a package.
    """
    missing = set(names)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as read:
        assert read.stdout is not None
        assert read.stderr is not None
        try:
            with tarfile.open(fileobj=read.stdout, mode="r|") as tar:
                for member in tar:
                    path = member.name.removeprefix("./")
                    name = _named(Path(path).name, missing)
                    if not (name and member.isreg() and path.startswith(_FOLDERS)):
                        continue
                    source = tar.extractfile(member)
                    assert source is not None
                    with (folder / name).open("xb") as target:
                        shutil.copyfileobj(source, target)
                    (folder / name).chmod(0o755)
                    missing.discard(name)
        except tarfile.TarError as error:
            said = read.stderr.read().decode(errors="replace").strip()
            raise LabError(f"not a package: {said or error}", where=str(deb)) from error
        read.stdout.read()
    if missing:
        raise LabError(f"the package has no {', '.join(sorted(missing))}", where=deb.name)


def _named(name: str, wanted: Iterable[str]) -> str:
    """The name in `wanted` that a file belongs to; "" if there is none."""
    return next((one for one in wanted if name == one or (".so." in one and name.startswith(f"{one}."))), "")


def _finish(folder: Path) -> None:
    """Leave out what cannot run here, give libraries to the programs that need them, and make pigz answer to the name
    that engines know.
    """
    if not says(folder / "runc", "--version"):  # it needs a newer C library; the runc of this machine is used
        (folder / "runc").unlink()
    (folder / "lib").mkdir()
    for library in folder.glob("*.so.*"):
        # programs ask for libsubid.so.4, which the package has as libsubid.so.4.0.0
        library.rename(folder / "lib" / ".".join(library.name.split(".")[:3]))
    if (folder / "pigz").exists():
        _with_libraries(folder / "unpigz", "pigz")
        if not says(folder / "unpigz", "--version"):
            (folder / "unpigz").unlink()
            (folder / "pigz").unlink()
    if (folder / "podman").exists():
        (folder / "podman").rename(folder / "lib" / "podman")
        _with_libraries(folder / "podman", "lib/podman")


def _with_libraries(script: Path, program: str) -> None:
    text = f'#!/bin/sh\nhere=${{0%/*}}\nLD_LIBRARY_PATH=$here/lib exec "$here/{program}" "$@"\n'
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)


def release_of(version: str, default: str) -> str:
    """The Debian release to take a Docker version from; `default` for no version."""
    return ENGINE_RELEASES[version] if version else default
