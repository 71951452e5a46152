"""Which strategy to take for each app, and which one for all apps. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.decision.choice import NO_CHOICE, Choice, Confidence, Coverage, Lead, Option, judge
from harness.decision.constraints import Constraint
from harness.decision.criteria import Criterion
from harness.decision.figures import apps
from harness.decision.ranking import Ranking
from harness.decision.sensitivity import Floats, sensitivity_of
from harness.store.run import Run


def choose(run: Run, criteria: Sequence[Criterion], constraints: Sequence[Constraint] = ()) -> dict[str, Choice]:
    """The choice of each app, in the run's order, and over all apps under ""."""
    rankings = {app: Ranking(run, app, cells, criteria, constraints) for app, cells in apps(run).items()}
    choices = {app: ranking.choice() for app, ranking in rankings.items()}
    if len(rankings) > 1:
        choices[""] = _overall(list(rankings.values()))
    return choices


def _overall(rankings: Sequence[Ranking]) -> Choice:
    """One strategy for all apps: the mean of the apps' scores, over the strategies that are candidates in every app."""
    common = [
        cell.strategy
        for cell in rankings[0].cells
        if all(any(item.strategy == cell.strategy for item in ranking.eligible) for ranking in rankings)
    ]
    names = [name for name in rankings[0].names() if all(name in ranking.names() for ranking in rankings)]
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
        asked=len(rankings[0].criteria),
        reasons=tuple(dict.fromkeys(unknown)) or ("no strategy is a candidate in every app",),
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
            ratios={name: math.exp(log) for name, log in zip(names, logs[i], strict=True)},
            score=math.exp(scores[i]),
        )
        for i in order
    )
    lead, confidence, reasons = None, Confidence.LEANING, ["no other strategy is a candidate in every app"]
    if rival:
        lead = _pooled([_between(ranking, take, rival) for ranking in rankings])
        covered = _covered([ranking.coverage(lead) for ranking in rankings])
        confidence, reasons = judge(lead, covered)
        lead = replace(lead, more=0, until=0) if covered.needs_metrics else lead
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
        asked=len(rankings[0].criteria),
        reasons=tuple(reasons),
    )


def _covered(parts: Sequence[Coverage]) -> Coverage:
    """The worst share of any app, and the criteria that any app lacks."""
    return Coverage(
        shaky=max(part.shaky for part in parts),
        missing=max(part.missing for part in parts),
        absent=max(part.absent for part in parts),
        gaps=tuple(dict.fromkeys(name for part in parts for name in part.gaps)),
        never=tuple(dict.fromkeys(name for part in parts for name in part.never)),
    )


def _relative(ranking: Ranking, strategies: Sequence[str], names: Sequence[str]) -> Floats:
    """Logs of the strategies' ratios to the first of them, strategies × criteria."""
    rows = [next(i for i, cell in enumerate(ranking.eligible) if cell.strategy == name) for name in strategies]
    columns = [ranking.names().index(name) for name in names]
    logs = ranking.logs[np.ix_(rows, columns)]
    relative: Floats = logs - logs[0]
    return relative


def _between(ranking: Ranking, first: str, second: str) -> Lead:
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
        until=max(lead.until for lead in leads),
    )
