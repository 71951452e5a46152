"""The engine of a run: the engine that answers, or an engine of our own. EngineChoice in harness/settings.py says
which.

An engine of our own is the Docker of the release that bases come from, unpacked into the cache. If this Docker is not
available, it is this machine's own dockerd; if there is none, docker.io is installed first (root on Debian or Ubuntu).
If the user has named a version, any other version is an error.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.engine.connect import answering, connect
from harness.engine.contract import EngineInfo
from harness.engine.daemon import Daemon
from harness.engine.docker import DockerEngine
from harness.engine.endpoint import find_endpoint
from harness.engine.kept_root import KeptRoots
from harness.engine.programs import Programs
from harness.engine.ssh import forwarded
from harness.errors import EngineUnavailable, LabError
from harness.host import packages
from harness.host.network import Network
from harness.host.reaper import Scope
from harness.host.undo import find_program
from harness.settings import ENGINE_RELEASES, PODMAN, EngineChoice, Settings, kind_of

_PACKAGES = {"dockerd": "docker.io"}
# Docker's own package recommends it (docker-ce-packaging, deb/common/control), so that most engines unpack what they
# pull with it; the distribution's package does not.
_RECOMMENDED = {"unpigz": "pigz"}


class Unpacker(Protocol):
    """Where the engines of other releases come from (lab.engine_packages.EnginePackages)."""

    def programs(self, release: str, kind: str = "docker") -> Programs:
        """Raises LabError."""
        ...


@dataclass(frozen=True, slots=True)
class Provided:
    """The engine of a run, and the programs that start a node of the same kind."""

    engine: DockerEngine
    programs: Programs


def provision(
    settings: Settings,
    reaper: Scope,
    network: Network | None,
    *,
    announce: Callable[[str], None],
    roots: KeptRoots | None = None,
    unpacker: Unpacker | None = None,
    release: str = "",
) -> Provided:
    """An engine as the settings require; prints one line that names it. An engine of our own ends with `reaper`.

    `network` is where our own engine's containers live; None if there can be no such network. Our own engine takes the
    newest data root of `roots`, and `roots` may keep it afterwards. `unpacker` has the engines of other releases, and
    `release` is the release that bases come from; without them our own engine is this machine's. Raises
    EngineUnavailable with advice.
    """
    choice = settings.engine_choice
    if choice.kind == "off":
        raise EngineUnavailable("no engine is allowed", where="TARE_ENGINE", fix="Unset it, or set it to auto.")
    if choice.kind != "private":
        found = _at(choice.address, reaper) if choice.kind == "at" else answering(reaper=reaper)
        if found is not None:
            announce(f"engine: {found.info.kind} {found.info.version} at {found.info.endpoint}")
            return Provided(found, _like(found.info, unpacker, announce))
        if choice.kind == "system":
            raise EngineUnavailable(
                "no engine answers at DOCKER_HOST, the current docker context or the default socket",
                fix="Start it, point DOCKER_HOST to it, or set TARE_ENGINE=auto.",
            )
    programs = _programs(choice, reaper, announce, unpacker, release)
    if reason := Daemon.impossible(programs) or ("" if network else Network.impossible() or "no private network"):
        raise _unavailable(reason)
    assert network is not None
    kept = roots.newest(reaper, programs) if roots and programs.kind == "docker" else None
    try:
        daemon = _start(settings, reaper, network, kept, programs)
    except EngineUnavailable as error:
        if not kept:
            raise
        announce(f"the images of earlier runs cannot be used: {error.what}")
        kept = None
        daemon = _start(settings, reaper, network, kept, programs)
    if roots and programs.kind == "docker":
        roots.daemon = daemon
    engine = daemon.connect(origin="private")
    what = f"{', containerd image store' if programs.store == 'containerd' else ''}"
    what += ", with images of earlier runs" if kept else ""
    announce(f"engine: private {programs.needs[0]} {engine.info.version}{what}, ready in {daemon.ready:.1f} s")
    return Provided(engine, programs)


def _at(address: str, reaper: Scope) -> DockerEngine:
    """The engine at an address, with the certificates that the environment names. Raises EngineUnavailable."""
    (endpoint,) = find_endpoint({**os.environ, "DOCKER_HOST": address})
    return connect(forwarded(endpoint, reaper), origin="system")


def _programs(
    choice: EngineChoice,
    reaper: Scope,
    announce: Callable[[str], None],
    unpacker: Unpacker | None,
    release: str,
) -> Programs:
    """The programs that our own engine is started from. Raises EngineUnavailable."""
    own = Programs(store=choice.store)
    if choice.version and _is(own.version(), choice.version):
        return own
    wanted = ENGINE_RELEASES.get(choice.version, release)
    kind = kind_of(choice.version)
    name = choice.version if kind == "podman" else f"Docker {choice.version}"
    if unpacker and wanted:
        try:
            found = unpacker.programs(wanted, kind)
        except LabError as error:
            if choice.version:
                raise EngineUnavailable(
                    f"{name} is not available: {error.what}", where="TARE_ENGINE", fix=error.fix
                ) from error
            announce(f"engine: this machine's own Docker, because Docker of {wanted} is not available ({error.what})")
        else:
            if choice.version and not _is(found.version(), choice.version):
                raise EngineUnavailable(
                    f"{wanted} has {found.version()}, not {name}",
                    where="TARE_ENGINE",
                    fix="Use another version; `tare doctor` lists them.",
                )
            return replace(found, store=choice.store)
    elif choice.version:
        raise EngineUnavailable(f"{name} is not on this machine", where="TARE_ENGINE")
    if own.find("dockerd") is None:
        if reason := packages.installable():
            raise _unavailable(f"no dockerd is installed, and {reason}")
        try:
            packages.ensure(_PACKAGES, announce=announce, reaper=reaper)
        except LabError as error:
            raise EngineUnavailable(error.what, fix=error.fix) from error
    _recommended(reaper, announce)
    return own


def _like(info: EngineInfo, unpacker: Unpacker | None, announce: Callable[[str], None]) -> Programs:
    """The programs of a node for an engine that answers: the same version, if it is available."""
    own = Programs(store=info.image_store)
    engine = f"{PODMAN if info.kind == 'podman' else ''}{info.version}"
    if own.version() == engine or not unpacker or not info.local:
        return own
    release = next((release for version, release in ENGINE_RELEASES.items() if _is(engine, version)), "")
    try:
        found = unpacker.programs(release, kind_of(engine)) if release else None
    except LabError as error:
        announce(f"empty machines: another engine than the run's {info.kind} {info.version} ({error.what})")
        return own
    return replace(found, store=info.image_store) if found else own


def _is(found: str, wanted: str) -> bool:
    """Whether a version belongs to a line of versions: 26.1.5+dfsg1 belongs to 26.1."""
    return found == wanted or found.startswith(f"{wanted}.")


def _start(settings: Settings, reaper: Scope, network: Network, kept: Path | None, programs: Programs) -> Daemon:
    return Daemon.start(
        reaper,
        data=roots_of(settings) / secrets.token_hex(4),
        bridge=network,
        registries=str(network.subnet),
        kept=kept,
        programs=programs,
    )


def roots_of(settings: Settings) -> Path:
    """The folder of our own engines' data roots."""
    return settings.cache / "engines"


def _recommended(reaper: Scope, announce: Callable[[str], None]) -> None:
    """Install what our own engine should have, if Tare may install it. The engine runs without it too, and its runs say
    so.
    """
    if all(map(find_program, _RECOMMENDED)) or packages.installable():
        return
    try:
        packages.ensure(_RECOMMENDED, announce=announce, reaper=reaper)
    except LabError as error:
        announce(f"the engine runs without {', '.join(_RECOMMENDED.values())}: {error.what}")


def _unavailable(reason: str) -> EngineUnavailable:
    start = packages.command(list(_PACKAGES.values()))
    return EngineUnavailable(
        f"no engine answers, and a private engine cannot be started: {reason}",
        fix=f"{start}\nThen start it (systemctl start docker), point DOCKER_HOST to an engine, or run Tare as root.",
    )
