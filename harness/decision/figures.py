"""The figures of every report, by cell and metric. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.errors import UsageError
from harness.model import Metric, Try
from harness.stats.intervals import Ratio, Summary, compared, confirm, summarise
from harness.store.run import CellInfo, Run
from harness.text.units import counted

FLOOR = "floor"  # the probe of a static binary that answers at once; its cell is ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric of one cell. `summary` is None if no try was ok, `ratio` None for the reference itself."""

    summary: Summary | None
    ratio: Ratio | None
    failures: tuple[Try, ...]


Figures = Mapping[tuple[str, str], Figure]


def select(run: Run, patterns: Sequence[str] = (), *, full: bool = False) -> tuple[Metric, ...]:
    """Metrics to show, in the manifest's order: the ones that match a pattern (`start.*`), or all, or the headline
    metrics.

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


class Analysis:
    """A run with summaries and comparisons of its samples, each computed once.

    One object is handed to the table and to the documents of a run. Verdicts hold for a table as a whole (see
    `confirm`), so they may differ between two sets of metrics; the values behind them do not.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._summaries: dict[tuple[str, str], Summary] = {}
        self._ratios: dict[tuple[str, str], Ratio | None] = {}
        self._figures: dict[tuple[str, ...], Figures] = {}

    def of(self, run: Run) -> Analysis:
        """The analysis of a run that was read later. Results are kept if the run has the same samples."""
        if run is self.run:
            return self
        later = Analysis(run)
        if run.series() is self.run.series():
            later._summaries, later._ratios, later._figures = self._summaries, self._ratios, self._figures
        return later

    def figures(self, metrics: Iterable[Metric]) -> Figures:
        """Figures by (cell id, metric name) for all cells; the verdicts hold for the table as a whole."""
        metrics = tuple(metrics)
        names = tuple(metric.name for metric in metrics)
        if names not in self._figures:
            self._figures[names] = self._made(metrics)
        return self._figures[names]

    def _made(self, metrics: Sequence[Metric]) -> Figures:
        ratios: dict[tuple[str, str], Ratio] = {}
        for reference, *others in apps(self.run).values():
            for metric in metrics:
                for cell in others:
                    if answer := self._ratio(metric, reference, cell):
                        ratios[cell.id, metric.name] = answer
        ratios = confirm(ratios)
        failures: dict[str, list[Try]] = {}
        for try_ in self.run.failures:
            failures.setdefault(try_.cell, []).append(try_)
        states = _states(self.run)
        return {
            (cell.id, metric.name): Figure(
                summary=self._summary(metric, cell),
                ratio=ratios.get((cell.id, metric.name)),
                failures=tuple(try_ for try_ in failures.get(cell.id, ()) if _gives(try_, metric, states)),
            )
            for cell in self.run.manifest.cells
            for metric in metrics
        }

    def _ratio(self, metric: Metric, reference: CellInfo, cell: CellInfo) -> Ratio | None:
        """Before `confirm`; None if there is nothing to compare."""
        key = cell.id, metric.name
        if key not in self._ratios:
            base, mine = (self.run.series().get((each.id, metric.name)) for each in (reference, cell))
            self._ratios[key] = compared(metric, base, mine) if base and mine else None
        return self._ratios[key]

    def _summary(self, metric: Metric, cell: CellInfo) -> Summary | None:
        key = cell.id, metric.name
        samples = self.run.series().get(key)
        if samples is None:
            return None
        if key not in self._summaries:
            self._summaries[key] = summarise(samples.value, deterministic=metric.deterministic)
        return self._summaries[key]


def figures(run: Run, metrics: Iterable[Metric]) -> Figures:
    """The figures of a run, for a caller that needs them once."""
    return Analysis(run).figures(metrics)


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
    """Whether this try would have yielded this metric if it had been ok.

    A probe without metrics of its own (making the image, verifying the answer) comes before all others. A state that no
    metric names yields every metric of its probe.
    """
    if try_.probe not in states:
        return True
    own = metric.state in ("", try_.state) or try_.state not in states[try_.probe]
    return try_.probe == metric.probe and own
