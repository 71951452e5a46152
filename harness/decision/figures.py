"""What every report shows: figures by cell and metric, with units and digits people read. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.errors import UsageError
from harness.model import Metric, Try
from harness.stats.intervals import Ratio, Summary, compared, confirm, summarise
from harness.store.run import CellInfo, Run
from harness.text.units import counted

FLOOR = "floor"  # the probe that measures an at-once static binary; its cell is ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric of one cell. `summary` is None if no try was ok, `ratio` None for the reference itself."""

    summary: Summary | None
    ratio: Ratio | None
    failures: tuple[Try, ...]


Figures = Mapping[tuple[str, str], Figure]


def select(run: Run, patterns: Sequence[str] = (), *, full: bool = False) -> tuple[Metric, ...]:
    """Metrics to show, in the manifest's order: those that match a pattern (`start.*`), else all, else the headlines.

    Raises UsageError for a pattern that no metric of the run matches.
    """
    metrics = run.manifest.metrics
    for pattern in patterns:
        if not any(fnmatchcase(metric.name, pattern) for metric in metrics):
            known = ", ".join(sorted({metric.group for metric in metrics}))
            raise UsageError(
                f"no metric has the name {pattern!r}",
                where=run.id,
                fix=f"This run has the probes {known}: try 'size.*'.",
            )
    if patterns:
        return tuple(metric for metric in metrics if any(fnmatchcase(metric.name, item) for item in patterns))
    return tuple(metric for metric in metrics if full or metric.headline)


def apps(run: Run) -> dict[str, tuple[CellInfo, ...]]:
    """Cells of each app by rank; the first is the reference the others are compared to."""
    names = dict.fromkeys(cell.app for cell in run.manifest.cells)
    by_rank = sorted(run.manifest.cells, key=lambda cell: cell.rank)
    return {name: tuple(cell for cell in by_rank if cell.app == name) for name in names}


def matrix(run: Run) -> str:
    """`7 apps × 5 strategies`."""
    strategies = len({cell.strategy for cell in run.manifest.cells})
    return f"{counted(len(apps(run)), 'app')} × {strategies} {'strategies' if strategies > 1 else 'strategy'}"


def figures(run: Run, metrics: Iterable[Metric]) -> dict[tuple[str, str], Figure]:
    """Figures by (cell id, metric name) for all cells; the verdicts hold for the table as a whole."""
    metrics = tuple(metrics)
    series = run.series()
    ratios: dict[tuple[str, str], Ratio] = {}
    for reference, *others in apps(run).values():
        for metric in metrics:
            base = series.get((reference.id, metric.name))
            for cell in others:
                mine = series.get((cell.id, metric.name))
                if base and mine and (answer := compared(metric, base, mine)):
                    ratios[cell.id, metric.name] = answer
    ratios = confirm(ratios)
    failures: dict[str, list[Try]] = {}
    for try_ in run.failures:
        failures.setdefault(try_.cell, []).append(try_)
    states = _states(run)
    result = {}
    for cell in run.manifest.cells:
        for metric in metrics:
            key = cell.id, metric.name
            samples = series.get(key)
            result[key] = Figure(
                summary=None if samples is None else summarise(samples.value, deterministic=metric.deterministic),
                ratio=ratios.get(key),
                failures=tuple(try_ for try_ in failures.get(cell.id, ()) if _gives(try_, metric, states)),
            )
    return result


def successes(run: Run, try_: Try) -> int:
    """How many tries of this cell, probe and state were ok."""
    series, states = run.series(), _states(run)
    sizes = [
        series[try_.cell, metric.name].value.size
        for metric in run.manifest.metrics
        if (try_.cell, metric.name) in series and _gives(try_, metric, states)
    ]
    return max(sizes, default=0)


def _states(run: Run) -> dict[str, set[str]]:
    """The cache states that metrics name, by probe."""
    states: dict[str, set[str]] = {}
    for metric in run.manifest.metrics:
        states.setdefault(metric.probe, set()).add(metric.state)
    return states


def _gives(try_: Try, metric: Metric, states: Mapping[str, set[str]]) -> bool:
    """Would this try have given this metric, had it been ok?

    A probe without metrics of its own (making the image, verifying the answer) stands before all others. A state that
    no metric names gives every metric of its probe.
    """
    if try_.probe not in states:
        return True
    own = metric.state in ("", try_.state) or try_.state not in states[try_.probe]
    return try_.probe == metric.probe and own
