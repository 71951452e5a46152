"""What a claim finds in runs: the cells that its patterns name, their newest samples, and why a cell has none. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase

import numpy as np

from harness.model import Metric, Try, Unit
from harness.stats.intervals import Summary, summarise
from harness.store.run import Run, Series

PREPARE = "prepare"  # the record of building, verifying and pushing a cell: harness/run/runner.py


def newest_run_of(
    patterns: Sequence[str], runs: Sequence[Run], has: Callable[[Run, str], bool]
) -> Iterator[tuple[str, Run]]:
    """Every cell that matches, with the newest run that has its samples."""
    seen: set[str] = set()
    for run in runs:
        for cell in cells_matching(run, patterns):
            if cell not in seen and has(run, cell):
                seen.add(cell)
                yield cell, run


def cells_matching(run: Run, patterns: Sequence[str]) -> list[str]:
    """Cells of a run by its order, each once."""
    return [cell.id for cell in run.manifest.cells if any(fnmatchcase(cell.id, pattern) for pattern in patterns)]


def cells_by_app(run: Run, patterns: Sequence[str]) -> dict[str, list[str]]:
    wanted = set(cells_matching(run, patterns))
    found: dict[str, list[str]] = {}
    for cell in run.manifest.cells:
        if cell.id in wanted:
            found.setdefault(cell.app, []).append(cell.id)
    return found


def pairs_of_apps(run: Run, ones: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    right = cells_by_app(run, others)
    for app, cells in cells_by_app(run, ones).items():
        for one in cells:
            for other in right.get(app, ()):
                if one != other:
                    yield one, other


def cells_having(run: Run, cells: Sequence[str], metrics: Sequence[str]) -> list[str]:
    series = run.series()
    return [cell for cell in cells if all((cell, metric) in series for metric in metrics)]


def has_samples(run: Run, cell: str) -> bool:
    """Only a cell that was built, started and answered rightly has samples."""
    return any(known == cell for known, _ in run.series())


def failure_of(run: Run, cell: str) -> Try | None:
    """The last failed try to make the cell ready."""
    failed = [try_ for try_ in run.failures if try_.cell == cell and try_.probe == PREPARE]
    return failed[-1] if failed else None


def metric_of(run: Run, name: str) -> Metric:
    return next(metric for metric in run.manifest.metrics if metric.name == name)


def summary_of(run: Run, cell: str, metric: str) -> Summary:
    samples = run.series()[cell, metric]
    return summarise(samples.value, deterministic=is_exact(metric_of(run, metric), samples))


def is_exact(metric: Metric, *series: Series) -> bool:
    """Whether the values are exact: deterministic, or counts and answers that were the same each time."""
    counted = metric.unit in (Unit.COUNT, Unit.BOOLEAN)
    return metric.deterministic or (counted and all(not np.ptp(each.value) for each in series))
