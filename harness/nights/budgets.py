"""Budgets: how much a metric may grow, or how large it may be, before it alarms. Read from `budgets.toml`.

    [[budget]]
    cells = "*"                  # patterns as of a shell; the first budget that matches a cell and metric holds
    metrics = "size.*"
    growth = "2 %"               # beyond the best value of the baseline
    limit = "150 MB"             # absolute: a size, a duration, or a plain number
    severity = "hard"            # hard: alarms and fails the gate; warn: is listed

Deterministic metrics break a budget as soon as they differ by so much. Durations break `growth` only when an A/B of
the same night confirmed it, and `limit` when their whole interval is beyond it two nights in a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from harness.model import Direction, Metric
from harness.stats.intervals import PRACTICAL
from harness.text.units import parse_quantity
from harness.tomlfile import Document, Table

FILE = "budgets.toml"


class Severity(StrEnum):
    HARD = "hard"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """`growth` is a share, `limit` in the metric's unit; at least one is given."""

    cells: str
    metrics: str
    growth: float | None
    limit: float | None
    severity: Severity

    def covers(self, cell: str, metric: str) -> bool:
        return fnmatchcase(cell, self.cells) and fnmatchcase(metric, self.metrics)


def default(metric: Metric) -> Budget | None:
    """What holds where none was written: 1 % for what is exact, the practical difference for headline durations."""
    if metric.direction is Direction.NEITHER or not metric.headline:
        return None
    growth = 0.01 if metric.deterministic else PRACTICAL
    return Budget(cells="*", metrics=metric.name, growth=growth, limit=None, severity=Severity.HARD)


def budget_for(budgets: Sequence[Budget], cell: str, metric: Metric) -> Budget | None:
    """The first budget that covers the series; where none was written at all, the default."""
    for budget in budgets:
        if budget.covers(cell, metric.name):
            return budget
    return None if budgets else default(metric)


def read_budgets(path: Path) -> tuple[Budget, ...]:
    """The budgets of a file; none where there is no file. Raises CatalogueError with file and line for a mistake."""
    if not path.exists():
        return ()
    document = Document(path)
    budgets = [_budget(table) for table in document.root.tables("budget")]
    document.root.close()
    for problem in document.told():
        raise problem
    return tuple(budgets)


def _budget(table: Table) -> Budget:
    severity = table.choice("severity", [item.value for item in Severity], default=Severity.HARD.value)
    budget = Budget(
        cells=table.text("cells", default="*"),
        metrics=table.text("metrics"),
        growth=_quantity(table, "growth", share=True),
        limit=_quantity(table, "limit", share=False),
        severity=Severity.WARN if severity == Severity.WARN else Severity.HARD,
    )
    if budget.growth is None and budget.limit is None:
        table.problem("neither growth nor limit", fix='Add growth = "2 %" or limit = "150 MB".')
    table.close()
    return budget


def _quantity(table: Table, key: str, *, share: bool) -> float | None:
    text = table.text(key, default=None)
    if text is None:
        return None
    quantity = parse_quantity(text)
    if quantity and (quantity.symbol == "%") == share:
        return quantity.value
    example = "a share such as 2 %" if share else "a size or time such as 150 MB, 20 ms, or a number"
    table.problem(f"{key} is {text!r}", key=key, fix=f"Write {example}.")
    return math.inf
