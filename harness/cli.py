"""`tare …` = `python -m harness …`: finds the command. An error is one message and an exit code, never a traceback."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from harness.commands import Group, all_commands
from harness.commands._bench import add_bench_options
from harness.commands._kinds import refuse_to_replace
from harness.commands._on_each import bench_on_each, engines_of
from harness.errors import TareError, UsageError
from harness.text.terminal import harmless, harmless_output, write_in_any_locale

_DESCRIPTION = "Measures what a container image strategy costs: size, build, pull, start and memory."
_BENCH = "measure every cell (an app with a strategy); takes pytest's -k, -m and --co, and --budget, --blocks, --resume"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 if all is well, 1 if something measured failed, 2 if the request failed, 130 if interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    write_in_any_locale()
    try:
        if arguments[:1] == ["bench"]:  # its options are pytest's, so argparse only checks them
            return bench(arguments[1:])
        with harmless_output():
            parser = _parser()
            if "_ARGCOMPLETE" in os.environ:  # the shell asks; nobody else waits for the import
                import argcomplete

                argcomplete.autocomplete(parser)
            options = parser.parse_args(arguments)
            refuse_to_replace(options)
            command: Callable[[argparse.Namespace], int] = options.command
            code = command(options)
            _flush()
        return code
    except TareError as error:
        return _refused(str(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `tare report | head`
        _discard_output()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _refused(f"{where}{error.strerror or error}. Check that there is space and that you may write there.")


def _refused(why: str, code: int = 2) -> int:
    print(f"tare: {harmless(why)}", file=sys.stderr)
    return code


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
        raise


def _discard_output() -> None:
    """What is still in the buffer of standard output cannot be written: Python must not try it again at the end."""
    with contextlib.suppress(OSError, ValueError):  # a stand-in without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are the errors of Tare."""

    def error(self, message: str) -> NoReturn:
        match = re.fullmatch(r"argument ([^:]+): (.*)", message, re.DOTALL)
        where, what = match.groups() if match else (self.prog, message)
        fix = f"`{self.prog} --help` shows what is possible."
        if what.endswith("."):  # a message of ours says what to do
            what, _, fix = what.partition(". ")
        raise UsageError(what, where=where, fix=fix)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tare",
        usage="tare [-h] COMMAND …",
        description=_DESCRIPTION,
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # a command without `help` is not listed by argparse, which has no groups: the epilog lists it in its group
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
        raise UsageError("no benchmarks/test_matrix.py", where=str(root), fix="Change to the checkout of Tare.")
    options = _Parser(prog="tare bench", add_help=False, allow_abbrev=False)
    add_bench_options(options.add_argument)
    options.parse_known_args(arguments)  # raises UsageError
    engines, rest = engines_of(arguments)
    if len(engines) > 1:
        return bench_on_each(engines, rest)
    # pytest-benchmark's table has a row per duration and no sizes, so it is shown only on request
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
