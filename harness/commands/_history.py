"""Shared by the commands about the history."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands._kinds import InputFile

if TYPE_CHECKING:
    from collections.abc import Collection

    from harness.model import Metric
    from harness.nights.budgets import Budget
    from harness.nights.history import History
    from harness.nights.watch import Watch


def add_budgets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budgets",
        type=InputFile(),
        help="file with limits and allowed growth (default: budgets.toml if there is one, else built-in budgets)",
    )


def budgets_for(path: Path | None, cells: Collection[str], metrics: Collection[Metric]) -> tuple[Budget, ...]:
    """The budgets of a file; of budgets.toml if none is named, and none at all if there is no such file.

    Raises TareError if a named file is missing, or if a budget covers nothing in `cells` and `metrics`, which were
    measured, and nothing that this checkout could measure.
    """
    from harness.catalogue.read import read
    from harness.errors import TareError
    from harness.nights.budgets import FILE, check_budgets, read_budgets
    from harness.probes import all_probes

    if path is None and not Path(FILE).exists():
        return ()
    budgets = read_budgets(path or Path(FILE))
    try:
        known = {cell.id for cell in read(Path.cwd()).cells}
    except TareError:  # no catalogue here, or its mistakes are reported by another command
        known = set()
    possible = [metric for probe in all_probes() for metric in probe.metrics]
    check_budgets(budgets, {"", *cells, *known}, [*possible, *metrics])
    return budgets


def budgets_of_nights(path: Path | None, history: History, cells: Collection[str] = ()) -> tuple[Budget, ...]:
    """The budgets for a history of nights. `cells` are those to be measured next. Raises TareError as `budgets_for`."""
    known = {key.cell for key in history.keys()}  # noqa: SIM118 - a History is no mapping
    return budgets_for(path, known.union(cells), tuple(history.metrics().values()))


def watched(results: Path, budgets: Path | None, *, now: float | None = None) -> Watch:
    """The state of the history. Folders that cannot be read count as stale data. Raises TareError."""
    from dataclasses import replace

    from harness.nights.accepted import read_accepted
    from harness.nights.history import History
    from harness.nights.stale import Stale
    from harness.nights.watch import watch

    with History.open(results) as history:
        found = watch(
            history.lines(),
            history.nights(),
            budgets=budgets_of_nights(budgets, history),
            accepted=read_accepted(results),
            confirmations=history.confirmations(),
            failures=history.failures(),
            environments=history.environments(),
            now=time.time() if now is None else now,
        )
        broken = tuple(Stale(what=warning) for warning in history.warnings)
    return replace(found, stale=(*broken, *found.stale))
