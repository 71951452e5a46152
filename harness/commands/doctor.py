"""`tare doctor`: what this machine has, what will be used, what is missing."""

from __future__ import annotations

import argparse

HELP = "what this machine has, what will be used, what is missing"


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - the same for every command
    from harness.run.doctor import examine
    from harness.settings import Settings

    print(examine(Settings.from_environ()))
    return 0
