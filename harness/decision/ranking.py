"""The options of one app, scored by weighted criteria under constraints. Pure.

The score of an option is the weighted geometric mean of its ratios to the app's reference (the strategy of lowest
rank), so 0.25 means "a quarter of full, over all criteria". Only the geometric mean of ratios gives the same ranking
whatever the reference is (Fleming & Wallace, How Not to Lie with Statistics, CACM 29(3), 1986). Ten is added to counts,
so that zero is not infinitely better than a few. How sure a lead is: harness/decision/choice.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.decision.choice import NO_CHOICE, NOT_IN_RUN, Choice, Confidence, Coverage, Lead, Option, judge, listed
from harness.decision.constraints import Constraint
from harness.decision.criteria import Criterion
from harness.decision.sensitivity import BAND, Sensitivity, sensitivity_of
from harness.model import Direction, Metric, Unit
from harness.stats.intervals import SMALLEST_DECIDABLE, ratio
from harness.store.run import CellInfo, Run, Series

THIN_ERROR = 1.5  # factor: a ratio of too few blocks may be wrong by this or by its full amount
RAISED = 10  # added to counts


@dataclass(frozen=True, slots=True)
class _Column:
    criterion: Criterion
    metric: Metric

    def value(self, series: Series) -> float:
        """Natural logarithm, smaller is better."""
        median = float(np.median(series.value))
        if self.metric.unit is Unit.BOOLEAN:  # a shortcoming counts like a count of one
            lacks = 1 - median if self.metric.direction is Direction.LARGER else median
            return math.log(lacks + RAISED)
        log = math.log(median + RAISED if self.metric.unit is Unit.COUNT else median)
        return -log if self.metric.direction is Direction.LARGER else log


class Ranking:
    """One app: which options are eligible, their logs by criterion, and leads between two of them."""

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
        self.criteria = {criterion.name: criterion for criterion in criteria}
        self.in_run = {name for (_, name), series in self.series.items() if series.value.size}
        self.columns = self._columns(criteria)
        self._constrain(constraints)
        self.eligible = [cell for cell in cells if cell.id not in self.out]
        self.weights = np.array([column.criterion.weight for column in self.columns])
        self.logs = np.array([[self._log(cell, column) for column in self.columns] for cell in self.eligible])
        self._leads: dict[tuple[str, str], Lead] = {}

    def _columns(self, criteria: Sequence[Criterion]) -> list[_Column]:
        columns = []
        here = {cell.id for cell in self.cells}
        measured = {name for cell, name in self.series if cell in here} & self.metrics.keys()
        for criterion in criteria:
            metric = self.metrics.get(criterion.rests_on(measured))
            if metric is None:
                absent = not criterion.rests_on(self.in_run)
                self.dropped[criterion.name] = NOT_IN_RUN if absent else "not measured for this app"
                continue
            missing = [cell for cell in self.cells if not self._usable(cell, metric)]
            failed = [cell for cell in missing if self._failure(cell, metric)]
            waiting = [cell for cell in missing if cell not in failed]
            if waiting:
                self.dropped[criterion.name] = f"not measured for {listed([cell.strategy for cell in waiting])}"
                continue
            for cell in failed:
                self.out.setdefault(cell.id, self._failure(cell, metric))
            columns.append(_Column(criterion, metric))
        return columns

    def _usable(self, cell: CellInfo, metric: Metric) -> bool:
        series = self.series.get((cell.id, metric.name))
        if series is None or not series.value.size:
            return False
        return metric.unit in (Unit.COUNT, Unit.BOOLEAN) or float(np.median(series.value)) > 0

    def _failure(self, cell: CellInfo, metric: Metric) -> str:
        failed = self.failed.get(cell.id, {})
        own = failed.get(metric.probe, "")
        others = [text for probe, text in failed.items() if probe not in {item.probe for item in self.metrics.values()}]
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
                    self.doubtful.append(f"{cell.strategy}: {holds.because} may lie on either side of the limit")
            if unknown:
                self.unknown.append(f"{constraint.text}: not measured for {listed(unknown)}")

    def _log(self, cell: CellInfo, column: _Column) -> float:
        return column.value(self.series[cell.id, column.metric.name])

    def order(self) -> list[int]:
        """Positions in `eligible`, best first; equal scores by rank."""
        if not self.columns or not self.eligible:
            return []
        scores = self.logs @ self.weights
        return sorted(range(len(self.eligible)), key=lambda i: (scores[i], self.eligible[i].rank))

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
                extra += share * max(abs(plain), math.log(THIN_ERROR))
        half = math.sqrt(square) + extra
        return Lead(
            estimate=math.exp(centre),
            low=math.exp(centre - half),
            high=math.exp(centre + half),
            thin=tuple(thin),
            **self._more(first, second, centre, math.sqrt(square), least, thin),
        )

    def _more(
        self, first: CellInfo, second: CellInfo, centre: float, half: float, least: int, thin: Sequence[str]
    ) -> dict[str, int]:
        """About how many blocks would decide: how many more, and how many there would then be."""
        wanted = until = 0
        for column in self.columns:
            if column.criterion.name in thin:
                blocks = (np.unique(self.series[cell.id, column.metric.name].block).size for cell in (first, second))
                wanted, until = max(wanted, SMALLEST_DECIDABLE - min(blocks)), SMALLEST_DECIDABLE
        size = abs(centre)
        aim = size if size > BAND else max(BAND - size, BAND / 4)
        if least and half > aim:
            until = max(until, math.ceil(least * (half / aim) ** 2))
            wanted = max(wanted, until - least)
        return {"more": wanted, "until": until} if wanted > 0 else {"more": 0, "until": 0}

    def choice(self) -> Choice:
        order = self.order()
        options = self._options(order)
        if len(self.cells) == 1:
            return self._made(options, None, None, None, Confidence.OPEN, None, [NO_CHOICE])
        if self.unknown or not order:
            reasons = self.unknown or [
                "no strategy meets the constraints" if not self.eligible else "no criterion was measured"
            ]
            return self._made(options, None, None, None, Confidence.OPEN, None, reasons)
        ranked = [self.eligible[i] for i in order]
        take, rival = ranked[0], ranked[1] if len(ranked) > 1 else None
        sensitivity = sensitivity_of(
            self.logs, self.weights, [cell.strategy for cell in self.eligible], self.names(), take.strategy
        )
        if rival is None:
            reason = ["the only option that stands", *self.doubtful]
            confidence = Confidence.LEANING if self.doubtful else Confidence.DECIDED
            return self._made(options, take, None, None, confidence, sensitivity, reason)
        lead = self.lead(take, rival)
        covered = self.coverage(lead)
        confidence, reasons = judge(lead, covered)
        lead = replace(lead, more=0, until=0) if covered.needs_metrics else lead
        if self.doubtful and confidence is not Confidence.LEANING:
            confidence = Confidence.LEANING
        return self._made(options, take, rival, lead, confidence, sensitivity, [*reasons, *self.doubtful])

    def coverage(self, lead: Lead) -> Coverage:
        """How much of the weight has enough blocks of every strategy."""
        never = tuple(name for name, why in self.dropped.items() if why == NOT_IN_RUN)
        gaps = tuple(name for name in self.dropped if name not in never)
        asked, absent, missing = (self._weight(names) for names in (self.criteria, never, gaps))
        measured = asked - absent  # not 0: a lead needs at least one criterion
        return Coverage(
            shaky=(missing + self._weight(lead.thin)) / measured,
            missing=missing / measured,
            absent=absent / asked,
            gaps=gaps,
            never=never,
        )

    def _weight(self, names: Iterable[str]) -> float:
        return sum(self.criteria[name].weight for name in names)

    def names(self) -> list[str]:
        return [column.criterion.name for column in self.columns]

    def _options(self, order: Sequence[int]) -> tuple[Option, ...]:
        reference = self.cells[0]
        columns = [column for column in self.columns if self._usable(reference, column.metric)]
        base = {column: self._log(reference, column) for column in columns}
        options = []
        for cell in [*(self.eligible[i] for i in order), *(cell for cell in self.cells if cell.id in self.out)]:
            ratios = {
                column.criterion.name: math.exp(self._log(cell, column) - base[column])
                for column in columns
                if self._usable(cell, column.metric)
            }
            whole = len(ratios) == len(self.columns) and self.columns
            total = sum(
                column.criterion.weight * math.log(ratios[column.criterion.name]) for column in columns if whole
            )
            score = math.exp(total / float(self.weights.sum())) if whole else None
            out = self.out.get(cell.id, "")
            options.append(Option(cell=cell, ratios=ratios, score=score, out=out))
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
            asked=len(self.criteria),
            reasons=tuple(reasons),
        )
