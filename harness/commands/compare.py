"""`tare compare A B`: two cells of a run, the same cells of two runs, or of two engines of one job."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._kinds import CELL, RUN, Text
from harness.commands._runs import add_results, find_run
from harness.errors import UsageError

HELP = "compare two cells of a run, or two runs; the exit code is 1 if the second is worse"
GROUP = Group.READ
PLACE = 3


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code: 0 if nothing is decidedly worse in B, 1 if something is, 2 if they cannot be compared."
    parser.add_argument("a", type=CELL, metavar="A", help="a cell, such as go-full, a run, or an engine")
    parser.add_argument("b", type=CELL, metavar="B", help="a cell of the same run, a run, or another engine")
    parser.add_argument("--run", type=RUN, help="the run of the cells (default: the newest)")
    add_results(parser)
    parser.add_argument(
        "--metric",
        type=Text("'start.*'"),
        action="append",
        default=[],
        metavar="PATTERN",
        help="show only these metrics, such as 'start.*'",
    )
    parser.add_argument("--full", action="store_true", help="show every metric, not only the headline metrics")
    parser.add_argument("--changed", action="store_true", help="show only metrics that decidedly differ")


def run(options: argparse.Namespace) -> int:
    from harness.report.compare import compare_cells, compare_runs, render, worse
    from harness.report.documents import runs_on
    from harness.store.run import read_run

    try:
        folders = [find_run(name, options.results) for name in (options.a, options.b)]
    except UsageError:
        folders = []
    job = [] if folders else runs_on(options.run, options.results, (options.a, options.b))
    if job:
        first, second = job
        lines = compare_runs(first, second, options.metric, full=options.full, engines=True)
        names = (options.a, options.b)
    elif folders:
        first, second = (read_run(folder) for folder in folders)
        lines = compare_runs(first, second, options.metric, full=options.full)
        names = (first.id, second.id)
    else:
        stored = read_run(find_run(options.run, options.results))
        lines = compare_cells(stored, options.a, options.b, options.metric, full=options.full)
        names = (options.a, options.b)
    print(render(lines, *names, changed=options.changed))
    return int(any(worse(line) for line in lines))
