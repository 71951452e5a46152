"""Where Tare keeps things, and what the environment variables say.

TARE_CACHE    folder for bases, packages and leases    (default: $XDG_CACHE_HOME/tare or ~/.cache/tare)
TARE_ENGINE   auto | system | off | private[:VERSION[+containerd]] | an address, see EngineChoice
TARE_LANE     auto | upstream | packages               where bases come from
TARE_DEPOT    auto | off                               whether builds fetch through the caching proxy
TARE_NODE     auto | namespace | dind | layers         what a pull's empty node is
TARE_IMAGES   auto | anew                              whether images built in the last hours may be used again
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.errors import UsageError

LABEL = "dev.tare"  # every image, container and network of ours carries this label; nothing else is ever touched
IMAGE_PREFIX = "tare.local/"  # begins the names of images that we make; no registry answers under this name

GENERATOR = '<meta name="generator" content="Tare">'  # is in the head of every page that Tare writes

# s: for how long indexes of packages and built images are used again. It is longer than a run, so that no index is
# fetched again between two timed builds.
FRESH = 12 * 3_600

_CHOICES = {
    "lane": ("auto", "upstream", "packages"),
    "depot": ("auto", "off"),
    "node": ("auto", "namespace", "dind", "layers"),
    "images": ("auto", "anew"),
}


PODMAN = "podman-"  # before a version: that podman instead of a Docker
# Versions that an engine of our own can be, and the Debian release whose packages have each.
ENGINE_RELEASES = {"20.10": "bookworm", "26.1": "trixie", "28.5": "forky", f"{PODMAN}4.3": "bookworm"}
_NO_CONTAINERD_STORE = ("20.10", f"{PODMAN}4.3")  # the feature came with Docker 24
_ADDRESSES = ("unix://", "tcp://", "ssh://")
_ENGINE_KINDS = ("auto", "system", "private", "off")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine may be used.

    auto                      the engine that answers, or an engine of our own if none answers
    system                    only the engine that answers
    private                   only an engine of our own: the Docker of the release that the bases come from
    private:26.1              only an engine of our own, of this version
    private:26.1+containerd   the same, with containerd's image store
    private:podman-4.3        only a podman of our own, of this version
    unix://PATH               only the engine at this address; also tcp://HOST:PORT and ssh://[USER@]HOST[:PORT][/PATH]
    off                       none
    """

    kind: str  # auto | system | private | at | off
    version: str = ""  # a key of ENGINE_RELEASES; "" for the release that the bases come from
    store: str = "classic"  # classic | containerd: the image store of an engine of our own
    address: str = ""  # of kind "at"

    @classmethod
    def parse(cls, text: str, *, where: str = "TARE_ENGINE") -> Self:
        """Read what a user typed. Raises UsageError, which names `where` and every value that is possible."""
        if text.startswith(_ADDRESSES):
            return cls("at", address=text)
        kind, colon, rest = text.partition(":")
        version, plus, store = rest.partition("+")
        if kind not in _ENGINE_KINDS or (colon and kind != "private"):
            choices = ", ".join(engine_choices())
            raise UsageError(
                f"{text!r} is not an engine", where=where, fix=f"Use {choices}, or an address such as tcp://HOST:PORT."
            )
        if colon and version not in ENGINE_RELEASES:
            raise UsageError(
                f"{text!r} names no version that Tare can start",
                where=where,
                fix=f"Use {', '.join(engine_choices()[len(_ENGINE_KINDS) :])}.",
            )
        if plus and store != "containerd":
            raise UsageError(
                f"{text!r}: {store!r} is not an image store",
                where=where,
                fix=f"Leave it out for the classic store, or use private:{version}+containerd.",
            )
        if plus and version in _NO_CONTAINERD_STORE:
            raise UsageError(
                f"{text!r}: {version} has no containerd image store",
                where=where,
                fix=f"Use {', '.join(name for name in engine_choices() if name.endswith('+containerd'))}.",
            )
        return cls(kind, version, store or "classic")

    def __str__(self) -> str:
        if self.kind == "at":
            return self.address
        store = "+containerd" if self.store == "containerd" else ""
        return f"{self.kind}:{self.version}{store}" if self.version else self.kind


def kind_of(version: str) -> str:
    """docker or podman: the kind of engine of a version as ENGINE_RELEASES names it."""
    return "podman" if version.startswith(PODMAN) else "docker"


def engine_choices() -> tuple[str, ...]:
    """Every value that EngineChoice.parse takes."""
    versions = []
    for version in ENGINE_RELEASES:
        versions.append(f"private:{version}")
        if version not in _NO_CONTAINERD_STORE:
            versions.append(f"private:{version}+containerd")
    return (*_ENGINE_KINDS, *versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment variables say; read once, handed down."""

    cache: Path
    engine: str = "auto"
    lane: str = "auto"
    depot: str = "auto"
    node: str = "auto"
    images: str = "auto"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Raises UsageError for a value that is not one of the choices."""
        chosen = {"engine": str(EngineChoice.parse(environ.get("TARE_ENGINE") or "auto"))}
        for name, choices in _CHOICES.items():
            variable = f"TARE_{name.upper()}"
            value = environ.get(variable) or "auto"
            if value not in choices:
                raise UsageError(f"{value!r} is not a valid choice", where=variable, fix=f"Use {', '.join(choices)}.")
            chosen[name] = value
        base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
        return cls(cache=Path(environ.get("TARE_CACHE") or Path(base) / "tare").absolute(), **chosen)

    @property
    def engine_choice(self) -> EngineChoice:
        """Raises UsageError."""
        return EngineChoice.parse(self.engine)
