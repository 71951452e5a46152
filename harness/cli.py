"""`tare …` = `python -m harness …`: finds the command; errors are one message and an exit code, no traceback."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.commands import all_commands
from harness.errors import TareError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 fine, 1 something measured failed, 2 could not be done as asked, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["bench"]:  # its options are pytest's, so argparse must not touch them
        return bench(arguments[1:])
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except TareError as error:
        print(f"tare: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `tare report | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tare", description="What a container image strategy really costs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser(
        "bench", help="measure the matrix; takes pytest's options (-k, -m, --co) and --budget, --blocks, --resume"
    )
    for name, command in all_commands().items():
        own = commands.add_parser(name, help=command.HELP.replace("%", "%%"))
        command.configure(own)
        own.set_defaults(command=command.run)
    return parser


def bench(arguments: Sequence[str]) -> int:
    """The main job: pytest over benchmarks/test_matrix.py with Tare's plugin."""
    import pytest

    root = Path.cwd()
    if not (root / "benchmarks" / "test_matrix.py").exists():
        print(f"tare: no benchmarks/test_matrix.py in {root}. Go to the checkout of Tare.", file=sys.stderr)
        return UsageError.exit_code
    # pytest-benchmark's table has a row per duration and no sizes: shown only to those who ask for it
    asked = any(argument.startswith(("--benchmark", "-v", "--verbose")) for argument in arguments)
    quiet = [] if asked else ["--benchmark-quiet"]
    base = [
        "-p",
        "harness.plugin",
        "-p",
        "no:cacheprovider",
        "benchmarks/test_matrix.py",
        "-q",
        "--no-header",
        "--tb=short",
    ]
    return int(pytest.main([*base, *quiet, *arguments]))
