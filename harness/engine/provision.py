"""The engine of a run: the one that answers, else one of our own, else one whose package is installed first.

TARE_ENGINE   auto      the answering engine, else our own, else docker.io is installed (root on Debian or Ubuntu)
              system    only the answering engine
              private   only our own
              off       none
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from harness.engine.daemon import Daemon
from harness.engine.docker import DockerEngine, answering
from harness.engine.kept_root import KeptRoots
from harness.errors import EngineUnavailable, LabError
from harness.host import packages
from harness.host.keeper import Scope
from harness.host.network import Network
from harness.host.undo import find_program
from harness.settings import Settings

_PACKAGES = {"dockerd": "docker.io"}
# Docker's own package recommends it (docker-ce-packaging, deb/common/control), so that most engines unpack what they
# pull with it; the distribution's package does not.
_RECOMMENDED = {"unpigz": "pigz"}


def provision(
    settings: Settings,
    keeper: Scope,
    network: Network | None,
    *,
    announce: Callable[[str], None],
    roots: KeptRoots | None = None,
) -> DockerEngine:
    """An engine as the settings want it; says in one line which. One of our own ends with `keeper`.

    `network` is where our own engine's containers live; None where there can be no such network. Our own engine takes
    the newest data root of `roots`, and is theirs to keep.
    Raises EngineUnavailable with what to do about it.
    """
    if settings.engine == "off":
        raise EngineUnavailable("no engine may be used", where="TARE_ENGINE", fix="Unset it, or set it to auto.")
    if settings.engine != "private":
        found = answering()
        if found is not None:
            announce(f"engine: {found.info.kind} {found.info.version} at {found.info.endpoint}")
            return found
        if settings.engine == "system":
            raise EngineUnavailable(
                "no engine answers at DOCKER_HOST, the current docker context or the default socket",
                fix="Start it, point DOCKER_HOST to it, or set TARE_ENGINE=auto.",
            )
    if find_program("dockerd") is None:
        if reason := packages.installable():
            raise _unavailable(f"no dockerd is installed, and {reason}")
        try:
            packages.ensure(_PACKAGES, announce=announce, keeper=keeper)
        except LabError as error:
            raise EngineUnavailable(error.what, fix=error.fix) from error
    _recommended(keeper, announce)
    if reason := Daemon.impossible() or ("" if network else Network.impossible() or "no private network"):
        raise _unavailable(reason)
    assert network is not None
    kept = roots.newest(keeper) if roots else None
    try:
        daemon = _start(settings, keeper, network, kept)
    except EngineUnavailable as error:
        if not kept:
            raise
        announce(f"the images of earlier runs cannot be used: {error.what}")
        kept = None
        daemon = _start(settings, keeper, network, kept)
    if roots:
        roots.daemon = daemon
    engine = DockerEngine(daemon.endpoint, origin="private")
    what = ", with images of earlier runs" if kept else ""
    announce(f"engine: private dockerd {engine.info.version}{what}, ready in {daemon.ready:.1f} s")
    return engine


def _start(settings: Settings, keeper: Scope, network: Network, kept: Path | None) -> Daemon:
    return Daemon.start(
        keeper,
        data=roots_of(settings) / secrets.token_hex(4),
        network=("--bridge", network.bridge, "--fixed-cidr", network.containers),
        registries=str(network.subnet),
        kept=kept,
    )


def roots_of(settings: Settings) -> Path:
    """The folder of our own engines' data roots."""
    return settings.cache / "engines"


def _recommended(keeper: Scope, announce: Callable[[str], None]) -> None:
    """What an engine of ours should have, where that is ours to install: it runs without, and its runs say so."""
    if all(map(find_program, _RECOMMENDED)) or packages.installable():
        return
    try:
        packages.ensure(_RECOMMENDED, announce=announce, keeper=keeper)
    except LabError as error:
        announce(f"the engine goes without {', '.join(_RECOMMENDED.values())}: {error.what}")


def _unavailable(reason: str) -> EngineUnavailable:
    start = packages.command(list(_PACKAGES.values()))
    return EngineUnavailable(
        f"no engine answers, and none of our own can be started: {reason}",
        fix=f"{start}\nThen start it (systemctl start docker), point DOCKER_HOST to an engine, or run Tare as root.",
    )
