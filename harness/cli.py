"""`tare …` = `python -m harness …`: finds the command. An error is one message and an exit code, never a traceback."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.commands import Group, all_commands
from harness.errors import TareError, UsageError

_DESCRIPTION = "Measures what a container image strategy costs: size, build, pull, start and memory."
_BENCH = "measure every cell; takes pytest's -k, -m and --co, and --budget, --blocks, --resume"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 if all is well, 1 if something measured failed, 2 if the request failed, 130 if interrupted."""
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
    parser = argparse.ArgumentParser(
        prog="tare",
        usage="tare [-h] COMMAND …",
        description=_DESCRIPTION,
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # a command without `help` is not listed by argparse, which knows no groups: the epilog lists it in its group
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog="tare", help=argparse.SUPPRESS)
    commands.add_parser("bench")
    for name, command in all_commands().items():
        own = commands.add_parser(name, description=_sentence(command.HELP))
        command.configure(own)
        own.set_defaults(command=command.run)
    return parser


def _overview() -> str:
    """Every command with its help, in groups, in the order of work."""
    lines: list[str] = []
    commands = all_commands()
    width = max(len(name) for name in commands) + 2
    for group in Group:
        own = {name: command.HELP for name, command in commands.items() if command.GROUP is group}
        if group is Group.MEASURE:
            own = {"bench": _BENCH, **own}
        lines += [f"{group}:", *(_line(name.ljust(width), text) for name, text in own.items()), ""]
    return "\n".join([*lines, "`tare COMMAND --help` shows the options of a command."])


def _line(name: str, text: str) -> str:
    columns = shutil.get_terminal_size((100, 40)).columns
    indent = "    " + " " * len(name)
    return textwrap.fill(text, max(columns, 60), initial_indent=f"    {name}", subsequent_indent=indent)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}.".replace("%", "%%")


def bench(arguments: Sequence[str]) -> int:
    """The main job: runs pytest on benchmarks/test_matrix.py with Tare's plugin."""
    import pytest

    root = Path.cwd()
    if not (root / "benchmarks" / "test_matrix.py").exists():
        print(f"tare: {root} has no benchmarks/test_matrix.py. Change to the checkout of Tare.", file=sys.stderr)
        return UsageError.exit_code
    engines, rest = _engines(arguments)
    if len(engines) > 1:
        return bench_on_each(engines, rest)
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


def _engines(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The engines that are asked for, and all other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--engine", action="append", default=[])
    options, rest = parser.parse_known_args(arguments)
    return options.engine, rest


def bench_on_each(engines: Sequence[str], arguments: Sequence[str]) -> int:
    """The same job on several engines, one after the other in a shuffled order, each in a process of its own: two
    engines that measure at the same time would disturb each other.
    """
    import random
    import secrets
    import subprocess

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
    """The documents of all runs of the job, now that each has the others beside it."""
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
