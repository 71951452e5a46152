"""Whether budgets hold between two revisions that were measured side by side, and what it takes to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from harness.model import Direction, Metric
from harness.nights.alarms import growth_of, is_broken
from harness.nights.budgets import OF_THE_MACHINE, Budget, Severity, budget_for
from harness.probes.base import Probe
from harness.run.plan import ENOUGH_BLOCKS
from harness.run.workers import PREPARE
from harness.stats.intervals import Ratio, blocks_to_exclude, compared
from harness.store.run import Run

BASE, HEAD = ".base", ".head"  # end the names of a cell in the two revisions


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRow:
    """One budgeted metric of one cell in both revisions; the values are medians. `answer` is None for an exact
    metric. `more` is about how many more blocks would decide it: 0 if it is decided, None if `ENOUGH_BLOCKS` would not.
    """

    cell: str
    metric: Metric
    budget: Budget
    before: float
    after: float
    answer: Ratio | None
    broken: bool
    open: bool  # could not be decided: the budget lies within the interval
    more: int | None = 0

    @property
    def fails(self) -> bool:
        return self.broken and self.budget.severity is Severity.HARD


def judge(
    run: Run, cells: Sequence[str], probes: Sequence[Probe], budgets: Sequence[Budget]
) -> tuple[tuple[RevisionRow, ...], tuple[str, ...]]:
    """Every budgeted metric of both revisions, and the metrics that are missing."""
    rows, missing = [], []
    series = run.series()
    for cell in cells:
        for metric in (metric for probe in probes for metric in probe.metrics):
            budget = _budget_of(budgets, cell, metric)
            if budget is None:
                continue
            one, other = series.get((cell + BASE, metric.name)), series.get((cell + HEAD, metric.name))
            if one is None or other is None:
                # an exact metric that neither revision has is not missing, unless a try that yields it failed
                if one is not None or other is not None or not metric.deterministic or _failed(run, cell, metric):
                    missing.append(f"{cell} {metric.name}")
                continue
            before, after = (sorted(found.value)[len(found.value) // 2] for found in (one, other))
            answer = None if metric.deterministic else compared(metric, one, other)
            broken, is_open = _verdict(metric, budget, float(before), float(after), answer)
            rows.append(
                RevisionRow(
                    cell=cell,
                    metric=metric,
                    budget=budget,
                    before=float(before),
                    after=float(after),
                    answer=answer,
                    broken=broken,
                    open=is_open,
                    more=_more(metric, answer, budget) if is_open else 0,
                )
            )
    return tuple(rows), tuple(missing)


def _failed(run: Run, cell: str, metric: Metric) -> bool:
    """Whether a try of a cell failed that yields the metric, in either revision."""
    return any(
        try_.cell in (cell + BASE, cell + HEAD)
        and (try_.probe == PREPARE or (try_.probe == metric.probe and metric.state in ("", try_.state)))
        for try_ in run.failures
    )


def _verdict(metric: Metric, budget: Budget, before: float, after: float, answer: Ratio | None) -> tuple[bool, bool]:
    """Whether the budget is broken, and whether that could not be decided."""
    smaller = metric.direction is Direction.SMALLER
    broken = budget.limit is not None and (after > budget.limit if smaller else after < budget.limit)
    if metric.deterministic:
        if budget.growth is not None:
            allowed = 1 + budget.growth if smaller else 1 - budget.growth
            broken |= after > before * allowed if smaller else after < before * allowed
        return broken, False
    if answer is None or budget.growth is None:
        return broken, answer is None and not broken
    if is_broken(metric, answer, budget):
        return True, False
    if answer.low is None or answer.high is None:
        return broken, True
    worst = answer.high if smaller else answer.low
    return broken, growth_of(metric, replace(answer, estimate=worst)) > budget.growth


def _more(metric: Metric, answer: Ratio | None, budget: Budget) -> int | None:
    """About how many more blocks show on which side of the budget's growth a change lies; None: more than
    `ENOUGH_BLOCKS` in total.
    """
    if answer is None or budget.growth is None:
        return None
    edge = 1 + budget.growth
    if growth_of(metric, answer) > budget.growth and answer.more:  # it breaks the budget as soon as it is surely worse
        return answer.more if answer.n + answer.more <= ENOUGH_BLOCKS else None
    more = blocks_to_exclude(answer, edge if metric.direction is not Direction.LARGER else 1 / edge)
    return more if answer.n + more <= ENOUGH_BLOCKS else None


def _budget_of(budgets: Sequence[Budget], cell: str, metric: Metric) -> Budget | None:
    """The budget that applies to a metric, if the metric can show that a revision is worse."""
    if metric.direction is Direction.NEITHER or any(fnmatchcase(metric.name, name) for name in OF_THE_MACHINE):
        return None
    return budget_for(budgets, cell, metric)


def has_budget(budgets: Sequence[Budget], cells: Sequence[str], metric: Metric) -> bool:
    return any(_budget_of(budgets, cell, metric) for cell in cells)


def seconds_to_decide(run: Run, rows: Sequence[RevisionRow]) -> float:
    """About how long the blocks take that would decide what is open, as long as the run's own blocks took."""
    blocks: dict[tuple[str, str], int] = {}  # by cell and probe: its metrics share their blocks
    for row in rows:
        key = row.cell, row.metric.probe
        blocks[key] = max(blocks.get(key, 0), row.more or 0)
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in blocks}
    measured: dict[tuple[str, str], set[int]] = {key: set() for key in blocks}
    for try_ in run.tries():
        key = try_.cell.removesuffix(BASE).removesuffix(HEAD), try_.probe
        if key in blocks:
            taken[key].append(try_.seconds)
            measured[key].add(try_.block)
    return sum(more * sum(taken[key]) / max(len(measured[key]), 1) for key, more in blocks.items())
