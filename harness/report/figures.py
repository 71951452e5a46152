"""What every report shows: figures by cell and metric, with units and digits people read. No input or output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.errors import UsageError
from harness.model import Metric, Try, Unit
from harness.statistics import Ratio, Summary, Verdict, confirm, ratio, summarise
from harness.store import CellInfo, Run

FLOOR = "floor"  # the probe that measures an at-once static binary; its cell is ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric of one cell. `summary` is None where no try was ok, `ratio` None for the reference itself."""

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
            known = ", ".join(sorted({metric.probe for metric in metrics}))
            raise UsageError(
                f"no metric is called {pattern!r}",
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


def counted(number: int, thing: str) -> str:
    """`1 cell`, `35 cells`."""
    return f"{number} {thing}{'s' * (number != 1)}"


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
                # a ratio of answers, or of ratios, says nothing
                if base is None or mine is None or metric.unit in (Unit.BOOLEAN, Unit.RATIO):
                    continue
                answer = ratio(base, mine, direction=metric.direction, deterministic=metric.deterministic)
                if answer:
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
    """The second parts of the metrics' names, by probe: cache states, where a probe has any."""
    states: dict[str, set[str]] = {}
    for metric in run.manifest.metrics:
        states.setdefault(metric.probe, set()).add(_second(metric))
    return states


def _second(metric: Metric) -> str:
    return metric.name.split(".")[1] if "." in metric.name else ""


def _gives(try_: Try, metric: Metric, states: Mapping[str, set[str]]) -> bool:
    """Would this try have given this metric, had it been ok?

    A probe without metrics of its own (making the image, verifying the answer) stands before all others.
    """
    if try_.probe not in states:
        return True
    if metric.given_by:
        return metric.given_by == f"{try_.probe} {try_.state}"
    return try_.probe == metric.probe and (try_.state not in states[try_.probe] or try_.state == _second(metric))


@dataclass(frozen=True, slots=True)
class Scale:
    """How the values of one column are written: one unit and one number of decimals, so that they can be compared."""

    unit: str
    factor: float  # value × factor is in `unit`
    decimals: int

    def text(self, value: float) -> str:
        if self.unit == "yes/no":
            return "yes" if value else "no"
        return f"{value * self.factor:.{self.decimals}f}"

    def deviation(self, value: float) -> str:
        """Rounded away from zero: an interval may be shown wider than it is, never narrower."""
        power = 10**self.decimals
        return f"{math.ceil(value * self.factor * power - 1e-9) / power:.{self.decimals}f}"


def scale(metric: Metric, values: Iterable[float]) -> Scale:
    """Three digits for the smallest value, two where a measured column spans decades. MB is 10⁶ bytes."""
    sizes = [abs(value) for value in values if value]
    small, large = min(sizes, default=1.0), max(sizes, default=1.0)
    unit, factor = "", 1.0
    match metric.unit:
        case Unit.BOOLEAN:
            return Scale("yes/no", 1, 0)
        case Unit.COUNT:
            return Scale("count", 1, 0 if all(size.is_integer() for size in sizes) else 1)
        case Unit.RATIO:
            unit, factor = "%", 100
        case Unit.BYTES:
            unit, factor = ("GB", 1e-9) if small >= 1e9 else ("MB", 1e-6) if large >= 1e6 else ("kB", 1e-3)
            if large < 1e3:
                return Scale("B", 1, 0)
        case Unit.SECONDS:
            unit, factor = ("s", 1) if large >= 10 or small >= 1 else ("ms", 1e3) if large >= 1e-3 else ("µs", 1e6)
    significant = 2 if large >= 10 * small and not metric.deterministic else 3
    digits = significant - 1 - math.floor(math.log10(small * factor))
    return Scale(unit, factor, max(0, min(digits, 1 if large * factor >= 100 else 2)))


def interval_text(summary: Summary, scale: Scale) -> str:
    """`±1.2` where the interval lies about evenly round the median, else `[72.0–79.9]`; "" where there is none."""
    if summary.low is None or summary.high is None or summary.low == summary.high:
        return ""
    below, above = summary.median - summary.low, summary.high - summary.median
    if max(below, above) <= 1.5 * min(below, above) or max(below, above) * scale.factor < 2 * 10**-scale.decimals:
        return f"±{scale.deviation(max(below, above))}"
    return f"[{scale.text(summary.low)}–{scale.text(summary.high)}]"


def ratio_text(ratio: Ratio) -> str:
    """`0.31×`; `≈1.01×` for no practical difference, `1.04×?` where undecided."""
    x = ratio.estimate
    if not x:
        return "0×"
    decimals = 0 if x >= 99.5 else 1 if x >= 9.95 else 2 if x >= 0.0995 else 1 - math.floor(math.log10(x))
    inexact = ratio.verdict is Verdict.SAME and ratio.p is not None
    return f"{'≈' if inexact else ''}{x:.{decimals}f}×{'?' if ratio.verdict is Verdict.UNDECIDED else ''}"
