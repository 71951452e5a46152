"""Two cells, or the same cells of two runs, metric by metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from harness.decision.figures import FLOOR, select
from harness.errors import UsageError
from harness.model import Direction, Metric, Unit, differing
from harness.stats.intervals import Ratio, Verdict, compared, confirm, summarise
from harness.store.run import Run, Series
from harness.text.units import ratio_text, scale, summary_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedMetric:
    """One metric of two sides; `ratio` is second ÷ first."""

    cell: str  # failures or figures of the first side
    other: str
    metric: Metric
    first: Series
    second: Series
    ratio: Ratio | None


def compare_cells(
    run: Run, first: str, second: str, patterns: Sequence[str] = (), *, full: bool = False
) -> list[ComparedMetric]:
    """Two cells of one run, paired by block. Raises UsageError for an unknown cell."""
    known = {cell.id for cell in run.manifest.cells}
    for cell in (first, second):
        if cell not in known:
            raise UsageError(
                "the run has no cell of this name", where=cell, fix=f"Its cells are {', '.join(sorted(known))}."
            )
    metrics = [metric for metric in select(run, patterns, full=full) if metric.group != FLOOR]
    return _lines([(run, first, run, second, metric) for metric in metrics])


# Facts that may differ between the runs of one job on several engines.
_OF_ENGINE = frozenset(("engine", "runtime", "storage driver", "image store", "gunzip", "node engine", "cgroup"))


def compare_runs(
    first: Run, second: Run, patterns: Sequence[str] = (), *, full: bool = False, engines: bool = False
) -> list[ComparedMetric]:
    """Cells that both runs have. Their blocks have only the number in common, so durations are paired at random, and
    the intervals include the difference between the times. Raises UsageError if the environments differ; with
    `engines`, the facts of the engine may.
    """
    ours, theirs = first.manifest.environment, second.manifest.environment
    free = _OF_ENGINE if engines else frozenset[str]()
    facts = [{name: fact for name, fact in each.facts.items() if name not in free} for each in (ours, theirs)]
    if said := "; ".join(differing(*facts)):
        raise UsageError(
            f"the runs come from different environments ({said})",
            where=f"{first.id}, {second.id}",
            fix="Measure both in one environment.",
        )
    cells = [cell.id for cell in first.manifest.cells if cell in second.manifest.cells]
    if not cells:
        cells = sorted({cell.id for cell in first.manifest.cells} & {cell.id for cell in second.manifest.cells})
    metrics = [metric for metric in select(first, patterns, full=full) if metric.group != FLOOR]
    return _lines([(first, cell, second, cell, metric) for cell in cells for metric in metrics])


def _lines(sides: Sequence[tuple[Run, str, Run, str, Metric]]) -> list[ComparedMetric]:
    lines = []
    for one, cell, two, other, metric in sides:
        first, second = one.series().get((cell, metric.name)), two.series().get((other, metric.name))
        if first is None or second is None:
            continue
        answer = compared(metric, first, second)
        lines.append(ComparedMetric(cell=cell, other=other, metric=metric, first=first, second=second, ratio=answer))
    judged = confirm({index: line.ratio for index, line in enumerate(lines) if line.ratio})
    return [
        ComparedMetric(
            cell=line.cell,
            other=line.other,
            metric=line.metric,
            first=line.first,
            second=line.second,
            ratio=judged.get(index),
        )
        for index, line in enumerate(lines)
    ]


def render(lines: Sequence[ComparedMetric], first: str, second: str, *, changed: bool = False) -> str:
    """A table per cell; `changed` leaves out what does not differ."""
    parts = [f"{first} and {second}: × is second ÷ first"]
    shown = [line for line in lines if not changed or differs(line)]
    for cell, other in dict.fromkeys((line.cell, line.other) for line in shown):
        rows = [_row(line) for line in shown if line.cell == cell]
        header = ["metric", cell if cell != other else "first", other if cell != other else "second", "×", "95 %", ""]
        title = [] if cell != other else [cell]
        parts.append("\n".join([*title, tabulate(rows, header, tablefmt="simple", disable_numparse=True)]))
    if not shown:
        parts.append("Nothing differs." if lines else "The two have no metric in common.")
    return "\n\n".join(parts) + "\n"


def differs(line: ComparedMetric) -> bool:
    """Whether there is a decided difference. Answers (yes or no) differ if their values do."""
    if line.ratio is None:
        return float(np.median(line.first.value)) != float(np.median(line.second.value))
    return line.ratio.verdict not in (Verdict.SAME, Verdict.UNDECIDED)


def worse(line: ComparedMetric) -> bool:
    """Whether the second is decidedly worse."""
    if line.ratio is not None:
        return line.ratio.verdict is Verdict.WORSE
    first, second = float(np.median(line.first.value)), float(np.median(line.second.value))
    if line.metric.direction is Direction.NEITHER or line.metric.unit is Unit.RATIO:
        return False
    return second > first if line.metric.direction is Direction.SMALLER else second < first


def _row(line: ComparedMetric) -> list[str]:
    summaries = [
        summarise(series.value, deterministic=line.metric.deterministic) for series in (line.first, line.second)
    ]
    measure = scale(line.metric, [summary.median for summary in summaries])
    texts = [summary_text(item, measure) for item in summaries]
    found = line.ratio
    interval = ""
    if found and found.low and found.high and found.low != found.high:
        interval = f"{found.low:.3g}–{found.high:.3g}"
    verdict = ""
    if found:
        undecided = found.verdict is Verdict.UNDECIDED and found.more
        more = f", about {found.more} more block{'s' * (found.more != 1)} needed" if undecided else ""
        verdict = f"{found.verdict}{more}"
    elif differs(line):
        verdict = "worse" if worse(line) else "different"
    return [line.metric.name, *texts, ratio_text(found) if found else "", interval, verdict]
