"""The commands of `tare`. A module of this package is a command: one file is all it takes.

A module has `HELP`, `configure(parser)` and `run(options) -> int`, the exit code; NAME where the command's name is not
the module's. Whatever a command needs it imports in `run`, so that `tare --help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from typing import Protocol


class Command(Protocol):
    """What a module of this package offers."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Exit code: 0 fine, 1 something measured failed, 2 could not be done as asked. Raises TareError."""
        ...


def all_commands() -> dict[str, Command]:
    """Every command by its name, in the order of names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {getattr(module, "NAME", name): module for name, module in modules.items()}
