"""Where Tare keeps things, and what the environment variables say.

TARE_CACHE    folder for bases, packages and leases    (default: $XDG_CACHE_HOME/tare or ~/.cache/tare)
TARE_ENGINE   auto | system | private | off            which engine may be used
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

LABEL = "dev.tare"  # every image, container and network of ours carries it; nothing else is ever touched
IMAGE_PREFIX = "tare.local/"  # names of images we make; never a registry that could be asked for them

# s: for how long indexes of packages and built images are used again. Longer than a run, so that no index is asked
# for again between two timed builds.
FRESH = 12 * 3_600

_CHOICES = {
    "engine": ("auto", "system", "private", "off"),
    "lane": ("auto", "upstream", "packages"),
    "depot": ("auto", "off"),
    "node": ("auto", "namespace", "dind", "layers"),
    "images": ("auto", "anew"),
}


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
        chosen = {}
        for name, choices in _CHOICES.items():
            variable = f"TARE_{name.upper()}"
            value = environ.get(variable) or "auto"
            if value not in choices:
                raise UsageError(f"{value!r} is not a choice", where=variable, fix=f"Use {', '.join(choices)}.")
            chosen[name] = value
        base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
        return cls(cache=Path(environ.get("TARE_CACHE") or Path(base) / "tare").absolute(), **chosen)
