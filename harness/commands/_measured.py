"""Shared by `tare try` and `tare measure`: how much is measured, which run is continued, and what the end prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands._kinds import TIME, Whole
from harness.commands._runs import add_resume, find_run

if TYPE_CHECKING:
    from harness.decision.figures import Analysis
    from harness.store.run import Run


def add_amount(parser: argparse.ArgumentParser, *, usual: str) -> argparse._ArgumentGroup:
    """The options for how much is measured. `usual` is the time limit that holds if neither option is given."""
    group = parser.add_argument_group("how much is measured")
    group.add_argument("--budget", type=TIME, help=f"time limit (default: {usual})")
    group.add_argument("--blocks", type=Whole(), help="exactly this many blocks of every timed metric")
    add_resume(group)
    parser.set_defaults(usual=usual)
    return group


def budget(options: argparse.Namespace) -> float | None:
    """The time limit (s). None: the number of blocks is given, and it is measured however long it takes."""
    from harness.run.plan import parse_budget

    if options.blocks and not options.budget:
        return None
    return parse_budget(options.budget or options.usual)


def resumed(options: argparse.Namespace) -> Run | None:
    """The run that `--resume` means. Raises UsageError or StoreError if there is no such run."""
    from harness.store.run import read_run

    if not options.resume:
        return None
    return read_run(find_run(None if options.resume == "latest" else options.resume, options.results))


def outcome(folder: Path, *, as_json: bool, also: Callable[[Analysis], list[Path]] = lambda _: []) -> int:
    """Write the documents of a run and what `also` writes, and print its tables, or its numbers as JSON. Returns the
    exit code: 1 if a try failed.
    """
    from harness.decision.figures import Analysis
    from harness.report.documents import write_documents
    from harness.report.ending import tables
    from harness.report.numbers import numbers
    from harness.store.run import read_run

    analysis = Analysis(read_run(folder))
    written = [*write_documents(folder, analysis), *also(analysis)]
    if as_json:
        print(json.dumps(numbers(analysis.run, analysis=analysis), indent=1))
    else:
        print("\n" + tables(analysis).rstrip("\n"))
        for path in written:
            print(f"written: {path}")
    return 1 if analysis.run.failures else 0
