"""`tare gate`: check a change before it is merged. Compares two runs under budgets; Markdown and an exit code."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._history import add_budgets, budgets_for
from harness.commands._runs import add_results, find_run

HELP = "check a change before it is merged: compare two runs under budgets.toml, print Markdown, set the exit code"
GROUP = Group.OVER_TIME
PLACE = 4


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        required=True,
        metavar="RUN",
        help="run to compare with: its id, the beginning of its id, or its folder",
    )
    parser.add_argument("--head", metavar="RUN", help="run to judge (default: the newest)")
    add_results(parser)
    add_budgets(parser)


def run(options: argparse.Namespace) -> int:
    """Exit code: 0 if the change passes, 1 if a hard budget is broken, 3 if something was not measured."""
    from harness.errors import UsageError
    from harness.nights.history import Confirmation, History
    from harness.report.gate import gate, render
    from harness.store.run import read_run

    base, head = (find_run(name, options.results) for name in (options.base, options.head))
    if base.resolve() == head.resolve():
        raise UsageError("base and head are the same run", where=base.name, fix="Give two different runs.")
    confirmations: tuple[Confirmation, ...] = ()
    if (options.results / head.name).exists():
        with History.open(options.results) as history:
            confirmations = history.confirmations()
    runs = read_run(base), read_run(head)
    cells = {cell.id for run in runs for cell in run.manifest.cells}
    metrics = [metric for run in runs for metric in run.manifest.metrics]
    found = gate(*runs, budgets_for(options.budgets, cells, metrics), confirmations)
    print(render(found), end="")
    return found.exit_code
