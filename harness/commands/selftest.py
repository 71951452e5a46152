"""`tare selftest`: test the harness with samples whose true difference is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import Group
from harness.commands._kinds import CELL, RUN, Text, Whole
from harness.commands._runs import add_results, find_run

if TYPE_CHECKING:
    from harness.store.run import Run

HELP = (
    "test Tare itself: aa compares cells with themselves, plan counts the samples that are saved if undecided"
    " comparisons are measured first"
)
GROUP = Group.MAINTAIN
PLACE = 4
_FOLDER = "selftest"  # beside the runs of apps, under results/


def configure(parser: argparse.ArgumentParser) -> None:
    tests = parser.add_subparsers(required=True, metavar="TEST", dest="test")
    aa = tests.add_parser("aa", help="compare a cell with itself and count how often a difference is claimed")
    aa.add_argument(
        "cells",
        nargs="*",
        type=CELL,
        metavar="CELL",
        help="measure each of these cells as two (default: use stored samples)",
    )
    aa.add_argument(
        "--probe", type=Text("start"), action="append", default=[], help="probe to measure with (default: start)"
    )
    aa.add_argument("--blocks", type=Whole(), default=12, help="number of blocks to measure (default: 12)")
    plan = tests.add_parser("plan", help="replay stored samples with the planner and with equal numbers of blocks")
    for test in (aa, plan):
        test.add_argument("--run", type=RUN, help="stored run to draw samples from (default: the newest)")
        test.add_argument("--seed", type=Whole(0, 2**63), default=1, help="seed of the random draws (default: 1)")
        test.add_argument("--tables", type=Whole(), default=100, help="number of tables to draw (default: 100)")
        add_results(test, writes=test is aa)


def run(options: argparse.Namespace) -> int:
    from harness.store.run import read_run

    if options.test == "plan":
        return _plan(read_run(find_run(options.run, options.results)), options.seed)
    if options.cells:
        return _measured(read_run(_measure(options)), options)
    return _stored(read_run(find_run(options.run, options.results)), options)


def _measure(options: argparse.Namespace) -> Path:
    from harness.catalogue.read import read
    from harness.errors import UsageError
    from harness.experiments.selftest import twins
    from harness.probes import all_probes
    from harness.run.job import Job, measure
    from harness.settings import Settings
    from harness.text.display import Display

    catalogue = read(Path())
    known = {cell.id: cell for cell in catalogue.cells}
    for name in options.cells:
        if name not in known:
            raise UsageError("no cell has this name", where=name, fix="`tox -e bench -- --co` lists all cells.")
    wanted = options.probe or ["start"]
    probes = [probe for probe in all_probes() if probe.name in wanted]
    if missing := set(wanted) - {probe.name for probe in probes}:
        names = ", ".join(probe.name for probe in all_probes())
        raise UsageError("no probe has this name", where=", ".join(sorted(missing)), fix=f"The probes are {names}.")
    display = Display()
    try:
        job = Job(
            root=Path(),
            results=options.results / _FOLDER,
            catalogue=catalogue,
            cells=twins(known[name] for name in dict.fromkeys(options.cells)),
            probes=probes,
            budget=None,
            blocks=options.blocks,
            seed=options.seed,
        )
        return measure(job, Settings.from_environ(), display)
    finally:
        display.close()


def _measured(run: Run, options: argparse.Namespace) -> int:
    """The table as measured, and the same table with the twins swapped at random within blocks."""
    from tabulate import tabulate

    from harness.decision.figures import figures
    from harness.experiments.selftest import CLAIMS, compared, relabelled

    found = [(key, item.ratio) for key, item in figures(run, compared(run.manifest.metrics)).items() if item.ratio]
    rows = [
        (cell.rpartition("-")[0], metric, item.n, f"{item.estimate:.3f}×", _interval(item.low, item.high), item.verdict)
        for (cell, metric), item in found
    ]
    print(tabulate(rows, headers=("cell, measured as two", "metric", "blocks", "ratio", "95 % interval", "verdict")))
    claims = sum(answer.verdict in CLAIMS for _, answer in found)
    again = relabelled(run.series(), run.manifest.metrics, seed=options.seed, tables=options.tables)
    print(f"\nAs measured: {claims} of {len(found)} verdicts claim a difference, although there is none.")
    print(
        f"With the two swapped at random within blocks, {options.tables} times: {again.claims} of {again.verdicts} "
        f"({again.share:.2%}; allowed: 1 %)."
    )
    print(f"Stored in {run.folder}.")
    return 0 if again.passed and not run.failures else 1


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _stored(run: Run, options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from harness.errors import UsageError
    from harness.experiments.selftest import Count, against_itself

    found = against_itself(run.series(), run.manifest.metrics, seed=options.seed, tables=options.tables)
    total = sum(found.values(), Count())
    if not total.verdicts:
        raise UsageError(
            "no cell has four samples of a measured metric",
            where=run.id,
            fix="Name another run with --run, or name CELLs to measure.",
        )
    rows = [(n, item.verdicts, item.claims, f"{item.share:.2%}") for n, item in found.items()]
    print(f"Cells of run {run.id} compared with themselves: {options.tables} tables of each size, drawn at random.\n")
    print(tabulate(rows, headers=("blocks", "verdicts", "claim a difference", "share"), disable_numparse=True))
    print(f"\nTotal: {total.share:.2%} (allowed: 1 %).")
    return 0 if total.passed else 1


def _plan(run: Run, seed: int) -> int:
    from statistics import median

    from tabulate import tabulate

    from harness.errors import UsageError
    from harness.experiments.race import races

    found = races(run, seeds=range(seed, seed + 5))
    if not found:
        raise UsageError("no app has two cells with four blocks", where=run.id, fix="Name another run with --run.")
    rows = [(f"{item.goal:.1%}", item.comparisons, item.planned, item.equal, f"{item.share:.0%}") for item in found]
    print(f"Blocks of run {run.id}, drawn at random until no undecided interval is wider than the goal:\n")
    headers = ("goal, of the ratio", "comparisons", "samples, planned", "samples, equal plan", "share")
    print(tabulate(rows, headers=headers, disable_numparse=True))
    open_ = [item.share for item in found if item.is_open]
    if not open_:
        print("\nNothing could be saved: an interval needs more than half of the blocks of an equal plan.")
        return 0
    print(
        f"\nIf half of the samples can be saved at all, the planner takes {median(open_):.0%} of them "
        f"({len(open_)} races; allowed: 50 %)."
    )
    return 0 if median(open_) <= 0.5 else 1
