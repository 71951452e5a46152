"""`tare doctor`: show what this machine has, what Tare will use, and what is missing."""

from __future__ import annotations

import argparse

from harness.commands import Group

HELP = "show what this machine has, what Tare will use, and what is missing"
GROUP = Group.MAINTAIN
PLACE = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - the same for every command
    from harness.run.doctor import examine
    from harness.settings import Settings

    print(examine(Settings.from_environ()))
    return 0
