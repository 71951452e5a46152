"""`tare gate`: check a change before it is merged: two revisions measured side by side, or two stored runs compared."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands import Group
from harness.commands._history import add_budgets, budgets_for
from harness.commands._kinds import TIME, Text
from harness.commands._runs import add_results, find_run

HELP = "check a change before it is merged: measure two git revisions, or compare two runs, under budgets.toml"
GROUP = Group.OVER_TIME
PLACE = 4


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        type=Text("main"),
        required=True,
        metavar="REF",
        help="what to compare with: a git revision, or a run (its id, the beginning of its id, or its folder)",
    )
    parser.add_argument(
        "--head",
        type=Text("HEAD"),
        metavar="REF",
        help="what to judge (default: HEAD if --base is a revision, else the newest run)",
    )
    parser.add_argument(
        "--budget",
        type=TIME,
        default="20m",
        metavar="TIME",
        help="time to measure two revisions (default: 20m)",
    )
    add_results(parser, writes=True)
    add_budgets(parser)


def run(options: argparse.Namespace) -> int:
    """Exit code: 0 if the change passes, 1 if a hard budget is broken.

    2 if two revisions could not be decided, 3 if something was not measured in one of two runs.
    """
    from harness.errors import TareError
    from harness.nights.revisions import resolve

    try:
        find_run(options.base, options.results)
    except TareError:
        revision = resolve(Path.cwd(), options.base)
        if revision is None:
            raise
        return _measured(options, revision)
    return _compared(options)


def _measured(options: argparse.Namespace, base: str) -> int:
    from harness.errors import UsageError
    from harness.nights.revisions import measure_revisions, resolve
    from harness.probes import all_probes
    from harness.report.revisions import render
    from harness.run.plan import parse_budget
    from harness.settings import Settings
    from harness.text.display import Display

    root = Path.cwd()
    head = resolve(root, options.head or "HEAD")
    if head is None:
        raise UsageError("no such git revision", where=options.head or "HEAD", fix="`git log` lists revisions.")
    if head == base:
        raise UsageError("base and head are the same revision", where=base[:12], fix="Name two different revisions.")
    display = Display()
    try:
        found = measure_revisions(
            root,
            base,
            head,
            results=options.results,
            probes=all_probes(),
            budgets=lambda cells, metrics: budgets_for(options.budgets, cells, metrics),
            settings=Settings.from_environ(),
            display=display,
            seconds=parse_budget(options.budget),
        )
    finally:
        display.close()
    print(render(found), end="")
    return found.exit_code


def _compared(options: argparse.Namespace) -> int:
    from harness.errors import UsageError
    from harness.nights.history import History
    from harness.nights.records import Confirmation
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
