"""What the commands about the history share."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.nights.watch import Watch


def add_budgets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budgets", type=Path, default=Path("budgets.toml"), help="file with limits and allowed growth"
    )


def watched(results: Path, budgets: Path, *, now: float | None = None) -> Watch:
    """The state of the history. Folders that cannot be read count as stale data. Raises TareError."""
    from dataclasses import replace

    from harness.nights.accepted import read_accepted
    from harness.nights.budgets import read_budgets
    from harness.nights.history import History
    from harness.nights.stale import Stale
    from harness.nights.watch import watch

    with History.open(results) as history:
        found = watch(
            history.lines(),
            history.nights(),
            budgets=read_budgets(budgets),
            accepted=read_accepted(results),
            confirmations=history.confirmations(),
            failures=history.failures(),
            environments=history.environments(),
            now=time.time() if now is None else now,
        )
        broken = tuple(Stale(what=warning) for warning in history.warnings)
    return replace(found, stale=(*broken, *found.stale))
