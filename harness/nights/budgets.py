"""Budgets: how much a metric may grow, or how large it may be, before it alarms. Read from `budgets.toml`.

    [[budget]]
    cells = "*"                  # patterns as of a shell; the first budget that matches a cell and metric holds
    metrics = "size.*"
    growth = "2 %"               # beyond the best value of the baseline
    limit = "150 MB"             # absolute: a size, a duration, or a plain number
    severity = "hard"            # hard: alarms and fails the gate; warn: is listed

A budget that covers nothing is an error, because a mistyped one would let everything pass: `check_budgets`.

A deterministic metric breaks a budget as soon as it differs by more than the budget. Durations break `growth` only when
an A/B of the same night confirmed it, and `limit` when their whole interval is beyond it two nights in a row.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import CatalogueError
from harness.model import Direction, Metric, Unit
from harness.stats.intervals import PRACTICAL
from harness.text.units import Quantity, parse_quantity
from harness.tomlfile import Document, Table, suggest

FILE = "budgets.toml"


_NAMED = {
    Unit.SECONDS: "in seconds",
    Unit.BYTES: "in bytes",
    Unit.COUNT: "a count",
    Unit.BOOLEAN: "yes or no",
    Unit.RATIO: "a ratio",
}
_EXAMPLES = {
    Unit.SECONDS: "20 ms",
    Unit.BYTES: "150 MB",
    Unit.COUNT: "a plain number",
    Unit.BOOLEAN: "0 or 1",
    Unit.RATIO: "a plain number",
}
OF_THE_MACHINE = ("link.*", "floor.*")  # durations that do not depend on an image or a revision: no A/B can judge them


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
    written: Quantity | None = None  # the limit as written in the file
    path: Path | None = None  # the file that it is written in; None: a built-in budget
    lines: Mapping[str, int | None] = field(default_factory=dict)  # by key

    def error(self, what: str, key: str, fix: str) -> CatalogueError:
        """The error that names the file and the line of a key."""
        return CatalogueError(what, path=self.path or Path(FILE), line=self.lines.get(key), fix=fix)

    @property
    def place(self) -> str:
        """The file and line of its metrics."""
        return f"{self.path or FILE}:{self.lines.get('metrics') or 1}"

    def covers(self, cell: str, metric: str) -> bool:
        return fnmatchcase(cell, self.cells) and fnmatchcase(metric, self.metrics)


def default(metric: Metric) -> Budget | None:
    """The budgets that hold if none is written: 1 % for exact metrics, the practical difference for headline
    durations.
    """
    if metric.direction is Direction.NEITHER or not metric.headline:
        return None
    growth = 0.01 if metric.deterministic else PRACTICAL
    return Budget(cells="*", metrics=metric.name, growth=growth, limit=None, severity=Severity.HARD)


def budget_for(budgets: Sequence[Budget], cell: str, metric: Metric) -> Budget | None:
    """The first budget that covers the series; if no budget is written at all, the default."""
    for budget in budgets:
        if budget.covers(cell, metric.name):
            return budget
    return None if budgets else default(metric)


def check_budgets(budgets: Sequence[Budget], cells: Collection[str], metrics: Collection[Metric]) -> None:
    """Raises CatalogueError, with file and line, for a budget that covers no known cell and metric, or that cannot be
    judged.

    `cells` and `metrics` are the names in the runs and the names that this checkout could measure; the engine's cell is
    "".
    """
    by_name = {metric.name: metric for metric in metrics}
    covered = _first_covers(budgets, cells, by_name)
    for place, budget in enumerate(budgets):
        matched = [metric for name, metric in sorted(by_name.items()) if fnmatchcase(name, budget.metrics)]
        if not matched:
            fix = suggest(budget.metrics, sorted(by_name), "The metrics are")
            raise budget.error(f"no metric is called {budget.metrics!r}", "metrics", fix)
        if not any(fnmatchcase(cell, budget.cells) for cell in cells):
            fix = suggest(budget.cells, sorted(filter(None, cells)), "The cells are")
            raise budget.error(f"no cell is called {budget.cells!r}", "cells", fix)
        judged = [metric for metric in matched if metric.direction is not Direction.NEITHER]
        if not judged:
            what = f"{matched[0].name} only describes: neither smaller nor larger is better"
            raise budget.error(what, "metrics", "Remove this budget.")
        for metric in judged:
            if budget.written and not budget.written.fits(metric.unit):
                what = f"the limit is in {budget.written.symbol}, and {metric.name} is {_NAMED[metric.unit]}"
                raise budget.error(what, "limit", f"Write {_EXAMPLES[metric.unit]}, or narrow the metrics.")
        if budget.severity is Severity.HARD and all(_of_the_machine(metric) for metric in judged):
            what = f"{judged[0].name} is a duration of the machine, and no A/B can judge it"
            raise budget.error(what, "metrics", 'Remove this budget, or write severity = "warn".')
        if place not in covered:
            fix = "Put it before the wider budget: the first budget that matches holds."
            raise budget.error("earlier budgets cover everything that this one would", "metrics", fix)


def _of_the_machine(metric: Metric) -> bool:
    return not metric.deterministic and any(fnmatchcase(metric.name, pattern) for pattern in OF_THE_MACHINE)


def _first_covers(budgets: Sequence[Budget], cells: Collection[str], metrics: Mapping[str, Metric]) -> set[int]:
    """Places of the budgets that are the first to cover some cell and metric."""

    def first() -> Iterator[int]:
        for cell in cells:
            own = [(place, budget) for place, budget in enumerate(budgets) if fnmatchcase(cell, budget.cells)]
            for name in metrics:
                for place, budget in own:
                    if fnmatchcase(name, budget.metrics):
                        yield place
                        break

    return set(first())


def read_budgets(path: Path) -> tuple[Budget, ...]:
    """The budgets of a file. Raises CatalogueError with file and line for a mistake, or if there is no such file."""
    document = Document(path)
    budgets = [_budget(table) for table in document.root.tables("budget")]
    document.root.close()
    for problem in document.told():
        raise problem
    return tuple(budgets)


def _budget(table: Table) -> Budget:
    severity = table.choice("severity", [item.value for item in Severity], default=Severity.HARD.value)
    growth, limit = (_quantity(table, key, share=key == "growth") for key in ("growth", "limit"))
    budget = Budget(
        cells=table.text("cells", default="*"),
        metrics=table.text("metrics"),
        growth=growth.value if growth else None,
        limit=limit.value if limit else None,
        severity=Severity.WARN if severity == Severity.WARN else Severity.HARD,
        written=limit,
        path=table.path,
        lines={key: table.line(key) for key in ("cells", "metrics", "growth", "limit")},
    )
    if budget.growth is None and budget.limit is None:
        table.problem("neither growth nor limit", fix='Add growth = "2 %" or limit = "150 MB".')
    table.close()
    return budget


def _quantity(table: Table, key: str, *, share: bool) -> Quantity | None:
    text = table.text(key, default=None)
    if text is None:
        return None
    quantity = parse_quantity(text)
    if quantity and (quantity.symbol == "%") == share:
        return quantity
    example = "a share such as 2 %" if share else "a size or time such as 150 MB, 20 ms, or a number"
    table.problem(f"{key} is {text!r}", key=key, fix=f"Write {example}.")
    return Quantity(math.inf, "")
