"""`tare …` = `python -m harness …`: one function a command; errors are one message and an exit code, no traceback."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

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

    report = commands.add_parser("report", help="tables of a stored run, from its folder alone")
    report.add_argument("run", nargs="?", help="run id or folder (default: the newest)")
    report.add_argument("--results", type=Path, default=Path("results"), help="where run folders are")
    report.add_argument("--markdown", action="store_true", help="Markdown instead of text")
    report.add_argument("--full", action="store_true", help="every metric, not only the headline ones")
    report.set_defaults(command=_report)

    runs = commands.add_parser("runs", help="list stored runs")
    runs.add_argument("--results", type=Path, default=Path("results"), help="where run folders are")
    runs.set_defaults(command=_runs)

    clean = commands.add_parser("clean", help="end and remove what killed runs left; --cache empties the cache too")
    clean.add_argument("--cache", action="store_true", help="also remove cached bases and packages")
    clean.set_defaults(command=_clean)

    doctor = commands.add_parser("doctor", help="what this machine has, what will be used, what is missing")
    doctor.set_defaults(command=_doctor)
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


def _report(options: argparse.Namespace) -> int:
    from harness.report.table import render
    from harness.store import read_run

    run = read_run(find_run(options.run, options.results))
    width = shutil.get_terminal_size((100, 40)).columns
    print(render(run, style="markdown" if options.markdown else "terminal", width=width, full=options.full))
    return 0


def find_run(name: str | None, results: Path) -> Path:
    """The folder a user means: a path, a run id or the unambiguous beginning of one, or the newest. StoreError."""
    from harness.store import latest, list_runs

    if name is None:
        return latest(results)
    if (Path(name) / "manifest.json").exists():
        return Path(name)
    matches = [folder for folder in list_runs(results) if folder.name.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    found = f"{len(matches)} runs begin so" if matches else "there is no such run"
    raise UsageError(found, where=name, fix="`tare runs` lists them.")


def _runs(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from harness.store import list_runs, read_run

    rows = []
    for folder in list_runs(options.results):
        run = read_run(folder)
        outcome = run.sessions[-1].outcome if run.sessions else ""
        samples = sum(len(series.value) for series in run.series().values())
        rows.append(
            (run.id, run.manifest.environment.fingerprint, len(run.manifest.cells), samples, len(run.failures), outcome)
        )
    headers = ("run", "environment", "cells", "samples", "failed tries", "last session")
    print(tabulate(rows, headers=headers) if rows else "no run is stored here")
    return 0


def _clean(options: argparse.Namespace) -> int:
    from harness.lab.keeper import sweep
    from harness.settings import Settings

    settings = Settings.from_environ()
    removed = sweep(settings.cache)
    print(f"removed: {', '.join(removed)}" if removed else "no killed run has left anything")
    if options.cache and settings.cache.exists():
        shutil.rmtree(settings.cache)
        print(f"removed the cache {settings.cache}")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from harness.doctor import examine
    from harness.settings import Settings

    print(examine(Settings.from_environ()))
    return 0
