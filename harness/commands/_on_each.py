"""The main job on several engines: one run on each, marked as runs of one job."""

from __future__ import annotations

import argparse
import random
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError


def engines_of(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The requested engines, and all other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--engine", action="append", default=[])
    options, rest = parser.parse_known_args(arguments)
    return options.engine, rest


def bench_on_each(engines: Sequence[str], arguments: Sequence[str]) -> int:
    """The same job on several engines, one after the other in a shuffled order, each in a process of its own: two
    engines that measure at the same time would disturb each other.
    """
    from harness.settings import EngineChoice

    try:
        names = list(dict.fromkeys(str(EngineChoice.parse(name, where="--engine")) for name in engines))
    except UsageError as error:
        print(f"tare: {error}", file=sys.stderr)
        return error.exit_code
    random.SystemRandom().shuffle(names)
    together = secrets.token_hex(4)
    worst = 0
    for name in names:
        print(f"engine {name} ({names.index(name) + 1} of {len(names)})", flush=True)
        command = [sys.executable, "-m", "harness", "bench", *arguments, "--engine", name, "--together", together]
        try:
            worst = max(worst, subprocess.call(command))
        except KeyboardInterrupt:
            return 130
    _write_again(arguments, together)
    return worst


def _write_again(arguments: Sequence[str], together: str) -> None:
    """Write the documents of all runs of the job, now that all runs exist."""
    from harness.errors import StoreError
    from harness.report.documents import together_of, write_documents
    from harness.store.run import list_runs

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=Path("results"))
    for folder in list_runs(parser.parse_known_args(arguments)[0].results):
        try:
            ours = together_of(folder) == together
        except StoreError:
            continue
        if ours:
            for path in write_documents(folder):
                print(f"written: {path}")
