"""The probes. A module of this package that has a `PROBES` tuple adds its probes: a new probe needs one file."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.probes.base import Probe


def all_probes() -> tuple[Probe, ...]:
    """Every probe, by rank: the order in which first blocks are run."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names)
    return tuple(sorted((p for m in modules for p in getattr(m, "PROBES", ())), key=lambda probe: probe.rank))
