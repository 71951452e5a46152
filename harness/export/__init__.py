"""Writes stored runs in the formats of other tools: one file per format.

A module has `HELP`, `SUFFIX` (of a file's name) and `write(runs, path)`; `runs` are read runs, oldest first. Formats
for a single run use the newest. Durations are seconds and sizes bytes unless the format requires otherwise.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.store.run import Run


class Exporter(Protocol):
    """What a module of this package offers."""

    HELP: str
    SUFFIX: str

    def write(self, runs: Sequence[Run], path: Path) -> None:
        """Write `runs` (at least one, oldest first) to `path`."""
        ...


def exporters() -> dict[str, Exporter]:
    """Every format by its name: the module's name, with hyphens."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}") for name in names}
