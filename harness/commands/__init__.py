"""The commands of `tare`. A module of this package is a command: a new command needs one file.

A module has `HELP`, `GROUP`, `PLACE`, `configure(parser)` and `run(options) -> int`, which returns the exit code. It
has `NAME` if the command's name is not the module's. A command imports what it needs in `run`, so that `tare --help`
stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from enum import StrEnum
from typing import Protocol


class Group(StrEnum):
    """The groups of commands, in the order of work. `tare --help` and the README list commands in this order."""

    MEASURE = "measure"
    READ = "read"
    DECIDE = "decide"
    OVER_TIME = "over time"
    MAINTAIN = "maintain"


class Command(Protocol):
    """The members of a module of this package."""

    HELP: str
    GROUP: Group
    PLACE: int  # position within the group, from 1

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Exit code: 0 if all is well, 1 if something measured failed, 2 if the request failed. Raises TareError."""
        ...


def all_commands() -> dict[str, Command]:
    """Every command by its name, in the order of work: by group, then by place."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    commands: dict[str, Command] = {getattr(module, "NAME", name): module for name, module in modules.items()}
    order = list(Group)
    return dict(sorted(commands.items(), key=lambda item: (order.index(item[1].GROUP), item[1].PLACE)))
