"""Which strategy to take: options scored by weighted criteria under constraints, and how sure that is. Pure.

The score of an option is the weighted geometric mean of its ratios to the app's reference (the strategy of lowest
rank), so 0.25 reads "a quarter of full, all in all". Of means of ratios only the geometric one ranks the same whatever
the reference is (Fleming & Wallace, How Not to Lie with Statistics, CACM 29(3), 1986). Counts are raised by ten, so
that none is not infinitely better than a few.

How sure: the lead over the runner-up is the weighted sum of paired log ratios. Criteria come from different tries, so
their 95 % half widths add in quadrature. What rests on fewer than six blocks may be wrong by all of itself, or by a
half where that is more, and is added in full. A choice is decided where the lead exceeds its error and the practical
threshold, and at most a fifth of the weight lies on criteria that are thin or were not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.model import Direction, Metric, Unit
from harness.report.constraints import Constraint
from harness.report.criteria import Criterion
from harness.report.figures import apps
from harness.report.sensitivity import BAND, Floats, Sensitivity, sensitivity_of
from harness.statistics import SMALLEST_DECIDABLE, ratio
from harness.store import CellInfo, Run, Series

MOST_SHAKY = 0.2  # of the weight: the default weights without deploy, or without durations, decide nothing
_THIN_ERROR = math.log(1.5)
RAISED = 10  # added to counts
NO_CHOICE = "only one strategy was measured, which leaves nothing to choose"


class Confidence(StrEnum):
    """What may be said of a choice."""

    DECIDED = "decided"
    TIE = "no practical difference"
    LEANING = "leaning"
    OPEN = "open"  # nothing can be recommended
    WITHHELD = "withheld"  # the data may not be concluded from: stale, or of mixed environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The runner-up's score ÷ the winner's: above 1. The bounds are of its 95 % interval."""

    estimate: float
    low: float
    high: float
    thin: tuple[str, ...] = ()  # criteria that rest on too few blocks
    more: int = 0  # about how many blocks more would decide; 0 where decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A cell as a candidate. `parts` are its ratios to the reference by criterion, `score` their weighted mean."""

    cell: CellInfo
    parts: Mapping[str, float]
    score: float | None  # None where it is not ranked
    out: str = ""  # why it is not ranked: a constraint it fails, or a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to take for one app, or for all (`app` is "")."""

    app: str
    title: str
    options: tuple[Option, ...]  # ranked ones first, best first
    take: CellInfo | None
    rival: CellInfo | None
    lead: Lead | None
    confidence: Confidence
    sensitivity: Sensitivity | None
    dropped: Mapping[str, str]  # criteria that do not count here, and why
    reasons: tuple[str, ...] = ()  # what keeps the choice from being decided


@dataclass(frozen=True, slots=True)
class _Column:
    criterion: Criterion
    metric: Metric

    def value(self, series: Series) -> float:
        """Natural logarithm, smaller is better."""
        median = float(np.median(series.value))
        log = math.log(median + RAISED if self.metric.unit is Unit.COUNT else median)
        return -log if self.metric.direction is Direction.LARGER else log


def choose(run: Run, criteria: Sequence[Criterion], constraints: Sequence[Constraint] = ()) -> dict[str, Choice]:
    """The choice of each app, in the run's order, and over all apps under ""."""
    rankings = {app: _Ranking(run, app, cells, criteria, constraints) for app, cells in apps(run).items()}
    choices = {app: ranking.choice() for app, ranking in rankings.items()}
    if len(rankings) > 1:
        choices[""] = _overall(list(rankings.values()))
    return choices


class _Ranking:
    """One app: which options stand, their logs by criterion, and leads between two of them."""

    def __init__(
        self,
        run: Run,
        app: str,
        cells: Sequence[CellInfo],
        criteria: Sequence[Criterion],
        constraints: Sequence[Constraint],
    ) -> None:
        self.app, self.title, self.cells = app, cells[0].app_title, cells
        self.series = run.series()
        self.metrics = {metric.name: metric for metric in run.manifest.metrics}
        self.failed: dict[str, dict[str, str]] = {}
        for try_ in run.failures:
            self.failed.setdefault(try_.cell, {})[try_.probe] = f"{try_.status}: {' '.join(try_.reason.split())}"
        self.out: dict[str, str] = {}
        self.doubtful: list[str] = []
        self.unknown: list[str] = []
        self.dropped: dict[str, str] = {}
        self.asked = sum(criterion.weight for criterion in criteria)
        self.columns = self._columns(criteria)
        self._constrain(constraints)
        self.standing = [cell for cell in cells if cell.id not in self.out]
        self.weights = np.array([column.criterion.weight for column in self.columns])
        self.logs = np.array([[self._log(cell, column) for column in self.columns] for cell in self.standing])
        self._leads: dict[tuple[str, str], Lead] = {}

    def _columns(self, criteria: Sequence[Criterion]) -> list[_Column]:
        columns = []
        for criterion in criteria:
            metric = next((self.metrics[name] for name in criterion.metrics if self._measured(name)), None)
            if metric is None:
                self.dropped[criterion.name] = "not measured"
                continue
            missing = [cell for cell in self.cells if not self._usable(cell, metric)]
            failed = [cell for cell in missing if self._failure(cell, metric)]
            waiting = [cell for cell in missing if cell not in failed]
            if waiting:
                self.dropped[criterion.name] = f"not measured for {_listed([cell.strategy for cell in waiting])}"
                continue
            for cell in failed:
                self.out.setdefault(cell.id, self._failure(cell, metric))
            columns.append(_Column(criterion, metric))
        return columns

    def _measured(self, name: str) -> bool:
        return name in self.metrics and any((cell.id, name) in self.series for cell in self.cells)

    def _usable(self, cell: CellInfo, metric: Metric) -> bool:
        series = self.series.get((cell.id, metric.name))
        if series is None or not series.value.size:
            return False
        return metric.unit is Unit.COUNT or float(np.median(series.value)) > 0

    def _failure(self, cell: CellInfo, metric: Metric) -> str:
        failed = self.failed.get(cell.id, {})
        own = failed.get(metric.taken_by, "")
        others = [
            text for probe, text in failed.items() if probe not in {item.taken_by for item in self.metrics.values()}
        ]
        return own or next(iter(others), "")

    def _constrain(self, constraints: Sequence[Constraint]) -> None:
        for constraint in constraints:
            unknown = []
            for cell in self.cells:
                holds = constraint.holds(cell.id, self.series, self.metrics)
                if holds.known is None:
                    unknown.append(cell.strategy)
                elif not holds.known:
                    self.out.setdefault(cell.id, f"{constraint.text}: {holds.because}")
                if holds.doubtful:
                    self.doubtful.append(f"{cell.strategy}: {holds.because} is not surely on one side")
            if unknown:
                self.unknown.append(f"{constraint.text}: not measured for {_listed(unknown)}")

    def _log(self, cell: CellInfo, column: _Column) -> float:
        return column.value(self.series[cell.id, column.metric.name])

    def order(self) -> list[int]:
        """Positions in `standing`, best first; equal scores by rank."""
        if not self.columns or not self.standing:
            return []
        scores = self.logs @ self.weights
        return sorted(range(len(self.standing)), key=lambda i: (scores[i], self.standing[i].rank))

    def lead(self, first: CellInfo, second: CellInfo) -> Lead:
        """How many times the score of `first` is that of `second`, paired by block."""
        key = first.id, second.id
        if key not in self._leads:
            self._leads[key] = self._lead(first, second)
        return self._leads[key]

    def _lead(self, first: CellInfo, second: CellInfo) -> Lead:
        centre, square, extra, least = 0.0, 0.0, 0.0, 0
        thin = []
        total = float(self.weights.sum())
        for column in self.columns:
            share = column.criterion.weight / total
            plain = self._log(second, column) - self._log(first, column)
            one, two = (self.series[cell.id, column.metric.name] for cell in (first, second))
            exact = column.metric.deterministic and np.ptp(one.value) == 0 and np.ptp(two.value) == 0
            paired = None if exact or column.metric.unit is Unit.COUNT else ratio(one, two)
            if exact:
                centre += share * plain
            elif paired and paired.n >= SMALLEST_DECIDABLE and paired.low and paired.high:
                sign = -1 if column.metric.direction is Direction.LARGER else 1
                centre += share * sign * math.log(paired.estimate)
                square += (share * math.log(paired.high / paired.low) / 2) ** 2
                least = paired.n if not least else min(least, paired.n)
            else:
                thin.append(column.criterion.name)
                centre += share * plain
                extra += share * max(abs(plain), _THIN_ERROR)
        half = math.sqrt(square) + extra
        return Lead(
            estimate=math.exp(centre),
            low=math.exp(centre - half),
            high=math.exp(centre + half),
            thin=tuple(thin),
            more=self._more(first, second, centre, math.sqrt(square), least, thin),
        )

    def _more(
        self, first: CellInfo, second: CellInfo, centre: float, half: float, least: int, thin: Sequence[str]
    ) -> int:
        wanted = 0
        for column in self.columns:
            if column.criterion.name in thin:
                blocks = (np.unique(self.series[cell.id, column.metric.name].block).size for cell in (first, second))
                wanted = max(wanted, SMALLEST_DECIDABLE - min(blocks))
        size = abs(centre)
        aim = size if size > BAND else max(BAND - size, BAND / 4)
        if least and half > aim:
            wanted = max(wanted, math.ceil(least * (half / aim) ** 2) - least)
        return max(wanted, 0)

    def choice(self) -> Choice:
        order = self.order()
        options = self._options(order)
        if len(self.cells) == 1:
            return self._made(options, None, None, None, Confidence.OPEN, None, [NO_CHOICE])
        if self.unknown or not order:
            reasons = self.unknown or [
                "no option meets the constraints" if not self.standing else "nothing that counts was measured"
            ]
            return self._made(options, None, None, None, Confidence.OPEN, None, reasons)
        ranked = [self.standing[i] for i in order]
        take, rival = ranked[0], ranked[1] if len(ranked) > 1 else None
        sensitivity = sensitivity_of(
            self.logs, self.weights, [cell.strategy for cell in self.standing], self._names(), take.strategy
        )
        if rival is None:
            reason = ["the only option that stands", *self.doubtful]
            confidence = Confidence.LEANING if self.doubtful else Confidence.DECIDED
            return self._made(options, take, None, None, confidence, sensitivity, reason)
        lead = self.lead(take, rival)
        confidence, reasons = judge(lead, self.shaky(lead), list(self.dropped))
        if self.doubtful and confidence is not Confidence.LEANING:
            confidence = Confidence.LEANING
        return self._made(options, take, rival, lead, confidence, sensitivity, [*reasons, *self.doubtful])

    def shaky(self, lead: Lead) -> float:
        """The share of the weight asked for that is thin, or not there."""
        solid = sum(column.criterion.weight for column in self.columns if column.criterion.name not in lead.thin)
        return 1 - solid / self.asked

    def _names(self) -> list[str]:
        return [column.criterion.name for column in self.columns]

    def _options(self, order: Sequence[int]) -> tuple[Option, ...]:
        reference = self.cells[0]
        columns = [column for column in self.columns if self._usable(reference, column.metric)]
        base = {column: self._log(reference, column) for column in columns}
        options = []
        for cell in [*(self.standing[i] for i in order), *(cell for cell in self.cells if cell.id in self.out)]:
            parts = {
                column.criterion.name: math.exp(self._log(cell, column) - base[column])
                for column in columns
                if self._usable(cell, column.metric)
            }
            whole = len(parts) == len(self.columns) and self.columns
            total = sum(column.criterion.weight * math.log(parts[column.criterion.name]) for column in columns if whole)
            score = math.exp(total / float(self.weights.sum())) if whole else None
            out = self.out.get(cell.id, "")
            options.append(Option(cell=cell, parts=parts, score=score, out=out))
        return tuple(options)

    def _made(
        self,
        options: tuple[Option, ...],
        take: CellInfo | None,
        rival: CellInfo | None,
        lead: Lead | None,
        confidence: Confidence,
        sensitivity: Sensitivity | None,
        reasons: Sequence[str],
    ) -> Choice:
        return Choice(
            app=self.app,
            title=self.title,
            options=options,
            take=take,
            rival=rival,
            lead=lead,
            confidence=confidence,
            sensitivity=sensitivity,
            dropped=self.dropped,
            reasons=tuple(reasons),
        )


def judge(lead: Lead, shaky: float, missing: Sequence[str] = ()) -> tuple[Confidence, list[str]]:
    """What a lead allows to say, `shaky` being the share of the weight on criteria that are thin or `missing`."""
    reasons = []
    if lead.thin:
        reasons.append(f"there are fewer than {SMALLEST_DECIDABLE} blocks of {_listed(lead.thin)}")
    if shaky > MOST_SHAKY:
        if missing:
            reasons.append(f"{_listed(missing)} {'was' if len(missing) == 1 else 'were'} not measured everywhere")
        return Confidence.LEANING, reasons
    if -BAND <= math.log(lead.low) <= math.log(lead.high) <= BAND:
        return Confidence.TIE, reasons
    if lead.low > 1 and math.log(lead.estimate) > BAND:
        return Confidence.DECIDED, reasons
    return Confidence.LEANING, [*reasons, "the lead is within its own error"]


def _overall(rankings: Sequence[_Ranking]) -> Choice:
    """One strategy for all apps: the mean of the apps' scores, over the strategies that stand in every app."""
    common = [
        cell.strategy
        for cell in rankings[0].cells
        if all(any(item.strategy == cell.strategy for item in ranking.standing) for ranking in rankings)
    ]
    names = [name for name in rankings[0]._names() if all(name in ranking._names() for ranking in rankings)]
    cells = {cell.strategy: cell for cell in rankings[0].cells}
    unknown = [text for ranking in rankings for text in ranking.unknown]
    if all(len(ranking.cells) == 1 for ranking in rankings):
        unknown = [NO_CHOICE]
    dropped = {name: why for ranking in rankings for name, why in ranking.dropped.items()}
    empty = Choice(
        app="",
        title="All apps",
        options=(),
        take=None,
        rival=None,
        lead=None,
        confidence=Confidence.OPEN,
        sensitivity=None,
        dropped=dropped,
        reasons=tuple(dict.fromkeys(unknown)) or ("no strategy stands in every app",),
    )
    if unknown or not common or not names:
        return empty
    weights = np.array([column.criterion.weight for column in rankings[0].columns if column.criterion.name in names])
    logs = np.mean([_relative(ranking, common, names) for ranking in rankings], axis=0)
    scores = logs @ weights / weights.sum()
    order = sorted(range(len(common)), key=lambda i: (scores[i], cells[common[i]].rank))
    take, rival = common[order[0]], common[order[1]] if len(order) > 1 else None
    options = tuple(
        Option(
            cell=cells[common[i]],
            parts={name: math.exp(log) for name, log in zip(names, logs[i], strict=True)},
            score=math.exp(scores[i]),
        )
        for i in order
    )
    lead, confidence, reasons = None, Confidence.LEANING, ["the only strategy that stands in every app"]
    if rival:
        lead = _pooled([_between(ranking, take, rival) for ranking in rankings])
        confidence, reasons = judge(lead, max(ranking.shaky(lead) for ranking in rankings), list(dropped))
    return Choice(
        app="",
        title="All apps",
        options=options,
        take=cells[take],
        rival=cells[rival] if rival else None,
        lead=lead,
        confidence=confidence,
        sensitivity=sensitivity_of(logs, weights, common, names, take),
        dropped=dropped,
        reasons=tuple(reasons),
    )


def _relative(ranking: _Ranking, strategies: Sequence[str], names: Sequence[str]) -> Floats:
    """Logs of the strategies' ratios to the first of them, strategies × criteria."""
    rows = [next(i for i, cell in enumerate(ranking.standing) if cell.strategy == name) for name in strategies]
    columns = [ranking._names().index(name) for name in names]
    logs = ranking.logs[np.ix_(rows, columns)]
    relative: Floats = logs - logs[0]
    return relative


def _between(ranking: _Ranking, first: str, second: str) -> Lead:
    cells = {cell.strategy: cell for cell in ranking.cells}
    return ranking.lead(cells[first], cells[second])


def _pooled(leads: Sequence[Lead]) -> Lead:
    """The geometric mean of leads of different apps, whose errors are independent."""
    centre = sum(math.log(lead.estimate) for lead in leads) / len(leads)
    half = math.sqrt(sum((math.log(lead.high / lead.low) / 2) ** 2 for lead in leads)) / len(leads)
    return Lead(
        estimate=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        thin=tuple(dict.fromkeys(name for lead in leads for name in lead.thin)),
        more=max(lead.more for lead in leads),
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
