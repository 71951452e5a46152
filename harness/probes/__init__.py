"""The probes. A module of this package that has a `PROBES` tuple adds its probes: a new probe needs one file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.probes.base import Probe


def all_probes() -> tuple[Probe, ...]:
    """Every probe, by rank: the order in which first blocks are run."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names)
    return tuple(sorted((p for m in modules for p in getattr(m, "PROBES", ())), key=lambda probe: probe.rank))


def of_groups(probes: Sequence[Probe], groups: Sequence[str], what: str) -> list[Probe]:
    """The probes with a metric of one of these groups; without groups, all. Raises UsageError for an unknown group;
    `what` is measured, in words.
    """
    known = {group: None for probe in probes for group in (probe.name, *(metric.group for metric in probe.metrics))}
    if unknown := [group for group in groups if group not in known]:
        fix = f"Use {', '.join(filter(None, known))}."
        raise UsageError(f"{unknown[0]!r} is not measured of {what}", where="-m", fix=fix)
    return [p for p in probes if not groups or {p.name, p.beside, *(m.group for m in p.metrics)} & set(groups)]
