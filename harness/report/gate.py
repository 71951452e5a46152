"""The gate of a pull request: two runs compared under budgets, and likely causes.

Deterministic metrics are compared exactly and may fail the gate. Durations of two runs were measured at two times, so
they fail it only if an A/B of the head run confirmed them; otherwise they are shown as warnings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.model import Direction, Metric, Unit, differing
from harness.nights.blame import differences, slower_phase
from harness.nights.budgets import Budget, Severity, budget_for
from harness.nights.records import Confirmation
from harness.nights.watch import is_worse
from harness.report.trends import amount, percent
from harness.stats.intervals import Ratio, Verdict, compared, confirm, summarise
from harness.store.run import Run
from harness.text.units import counted

_MOST_BLAMED = 3


class GateOutcome(StrEnum):
    FAIL = "fail"
    WARN = "warn"
    BETTER = "better"
    SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One metric of one cell. `before` and `after` are medians; `blame` names the likely cause."""

    cell: str
    metric: Metric
    before: float
    after: float
    outcome: GateOutcome
    note: str = ""
    blame: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    base: str
    head: str
    rows: tuple[GateRow, ...]  # metrics that differ, the worst first
    missing: tuple[str, ...]  # metrics that the base has and the head lacks
    compared: int
    idle: tuple[Budget, ...]  # budgets that cover nothing that both runs measured
    environments: tuple[str, ...]  # facts that differ: then durations cannot be compared

    @property
    def exit_code(self) -> int:
        """0 passes, 1 a hard budget is broken, 3 data is missing."""
        if any(row.outcome is GateOutcome.FAIL for row in self.rows):
            return 1
        return 3 if self.missing else 0


def gate(base: Run, head: Run, budgets: Sequence[Budget], confirmations: Sequence[Confirmation] = ()) -> Gate:
    """Compare every metric that both runs have. `confirmations` are the results of the head run's A/B, if there was
    one.
    """
    metrics = {metric.name: metric for metric in head.manifest.metrics}
    ours, theirs = base.series(), head.series()
    changed = differing(base.manifest.environment.facts, head.manifest.environment.facts)
    keys = [key for key in ours if key in theirs and key[1] in metrics]
    ratios = confirm({key: found for key in keys if (found := _ratio(base, head, key, metrics[key[1]]))})
    sure = {(item.cell, item.metric): item.ratio for item in confirmations if item.night == head.id}
    rows = []
    for key in keys:
        row = _row(base, head, key, metrics[key[1]], ratios, sure, budget_for(budgets, key[0], metrics[key[1]]))
        if row.outcome is GateOutcome.SAME or (changed and not row.metric.deterministic and key not in sure):
            continue
        rows.append(row)
    cells = {cell.id for cell in head.manifest.cells}
    missing = [f"{cell} {metric}" for cell, metric in ours if cell in cells and (cell, metric) not in theirs]
    order = list(GateOutcome)
    return Gate(
        base=base.id,
        head=head.id,
        rows=tuple(sorted(rows, key=lambda row: (order.index(row.outcome), -_size(row), row.cell, row.metric.name))),
        missing=tuple(sorted(missing)),
        compared=len(keys),
        idle=tuple(budget for budget in budgets if not any(budget.covers(*key) for key in keys)),
        environments=changed,
    )


def render(found: Gate) -> str:
    """The gate as Markdown."""
    failed = sum(row.outcome is GateOutcome.FAIL for row in found.rows)
    warned = sum(row.outcome is GateOutcome.WARN for row in found.rows)
    word = f"{failed} broken" if failed else "passed"
    lines = [
        f"**Gate: {word}**, {counted(warned, 'warning')}; {counted(found.compared, 'metric')} of {found.head} compared"
        f" with {found.base}.",
        "",
    ]
    if found.environments:
        lines += [f"Durations are not compared, because the environments differ: {'; '.join(found.environments)}.", ""]
    if found.rows:
        lines += ["| | cell | metric | base | head | | reason |", "|---|---|---|--:|--:|--:|---|"]
    for row in found.rows:
        cells = (
            row.outcome.value,
            row.cell or "engine",
            f"`{row.metric.name}`",
            amount(row.metric, row.before, row.after),
            amount(row.metric, row.after, row.before),
            percent(row.before, row.after),
            "; ".join([*row.blame, *([row.note] if row.note else [])]) or "–",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    if not found.rows:
        lines.append("Nothing differs.")
    if found.missing:
        named = ", ".join(found.missing[:8]) + (f" and {len(found.missing) - 8} more" if len(found.missing) > 8 else "")
        lines += ["", f"Measured in the base but not in the head: {named}."]
    if found.idle:
        names = ", ".join(f"{budget.metrics} of {budget.cells} ({budget.place})" for budget in found.idle)
        lines += ["", f"Budgets for what was not measured in both runs: {names}."]
    return "\n".join(lines) + "\n"


def _ratio(base: Run, head: Run, key: tuple[str, str], metric: Metric) -> Ratio | None:
    return compared(metric, base.series()[key], head.series()[key])


def _row(
    base: Run,
    head: Run,
    key: tuple[str, str],
    metric: Metric,
    ratios: Mapping[tuple[str, str], Ratio],
    sure: Mapping[tuple[str, str], Ratio],
    budget: Budget | None,
) -> GateRow:
    before, after = (float(summarise(run.series()[key].value).median) for run in (base, head))
    worse = is_worse(metric, before, after)
    outcome, note = GateOutcome.SAME, ""
    if metric.deterministic:
        if before != after:
            outcome = GateOutcome.WARN if worse else GateOutcome.BETTER
            if worse and budget and _breaks(budget, metric, before, after):
                outcome = GateOutcome.FAIL if budget.severity is Severity.HARD else GateOutcome.WARN
                note = _allowed(budget, metric)
            elif metric.direction is Direction.NEITHER or worse:
                note = ("within its budget" if budget else "no budget covers it") if worse else ""
    elif (answer := sure.get(key) or ratios.get(key)) and answer.verdict in (Verdict.WORSE, Verdict.BETTER):
        outcome = GateOutcome.BETTER if answer.verdict is Verdict.BETTER else GateOutcome.WARN
        note = f"{answer.estimate:.3f}×, {'confirmed by an A/B' if key in sure else 'not confirmed by an A/B'}"
        grown = answer.estimate if metric.direction is Direction.SMALLER else 1 / answer.estimate
        broken = budget is not None and budget.growth is not None and grown > 1 + budget.growth
        if key in sure and outcome is GateOutcome.WARN and broken and budget and budget.severity is Severity.HARD:
            outcome = GateOutcome.FAIL
    if not metric.deterministic and budget and budget.limit is not None and _is_above(head, key, metric, budget.limit):
        outcome = GateOutcome.FAIL if budget.severity is Severity.HARD else GateOutcome.WARN
        note = _allowed(replace(budget, growth=None), metric)
    blame: tuple[str, ...] = ()
    if outcome in (GateOutcome.FAIL, GateOutcome.WARN):
        blame = _blame(base, head, key, metric, grew=after > before)
    return GateRow(cell=key[0], metric=metric, before=before, after=after, outcome=outcome, note=note, blame=blame)


def _is_above(head: Run, key: tuple[str, str], metric: Metric, limit: float) -> bool:
    """Whether the whole interval of a duration is beyond an absolute limit, which needs no other run."""
    found = summarise(head.series()[key].value)
    if found.low is None or found.high is None:
        return False
    return found.low > limit if metric.direction is Direction.SMALLER else found.high < limit


def _breaks(budget: Budget, metric: Metric, before: float, after: float) -> bool:
    smaller = metric.direction is Direction.SMALLER
    if budget.limit is not None and (after > budget.limit if smaller else after < budget.limit):
        return True
    if budget.growth is None:
        return False
    return after > before * (1 + budget.growth) if smaller else after < before * (1 - budget.growth)


def _allowed(budget: Budget, metric: Metric) -> str:
    said = [f"allowed {budget.growth:+.3g}" if budget.growth is not None and metric.unit is Unit.BOOLEAN else ""]
    if budget.growth is not None and metric.unit is not Unit.BOOLEAN:
        said.append(f"allowed +{100 * budget.growth:g} %")
    if budget.limit is not None:
        said.append(f"limit {amount(metric, budget.limit, budget.limit)}")
    return ", ".join(filter(None, said))


def _blame(base: Run, head: Run, key: tuple[str, str], metric: Metric, *, grew: bool) -> tuple[str, ...]:
    """For bytes, the layers and packages that grew most; for durations, the phase that grew most. Other differences
    follow.
    """
    found = differences(base.folder, head.folder, key[0])
    said: list[str] = []
    if metric.unit is Unit.SECONDS and (phase := slower_phase(base, head, *key)):
        said.append(phase)
    weighty = [item for item in found if item.bytes and (item.bytes > 0) == grew]
    plain = [item for item in found if not item.bytes and item.kind != "versions"]
    for item in (*sorted(weighty, key=lambda item: -abs(item.bytes)), *plain):
        if len(said) < _MOST_BLAMED:
            said.append(item.text)
    return tuple(said)


def _size(row: GateRow) -> float:
    if row.before > 0 and row.after > 0:
        return abs(math.log(row.after / row.before))
    return math.inf
