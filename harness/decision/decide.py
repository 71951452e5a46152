"""The decision that runs support: everything that decision.md and report.html say about the strategy to take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.claims.claim import Claim, Judgement
from harness.claims.judge import judge
from harness.decision.choice import Choice
from harness.decision.constraints import Constraint
from harness.decision.criteria import CRITERIA, Criterion
from harness.decision.doubts import Doubt, doubts, joined, withheld
from harness.decision.engines import Holding, OnEngine, engine_of, holding
from harness.decision.figures import FLOOR, Analysis, Figures, select
from harness.decision.overall import choose
from harness.model import Metric
from harness.store.run import Run

PAGE = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that decision.md and report.html say about the strategy to take."""

    run: Run
    analysis: Analysis  # of the run
    shown: Figures  # figures of headline metrics and of the criteria's metrics
    metrics: tuple[Metric, ...]
    criteria: tuple[Criterion, ...]
    constraints: tuple[Constraint, ...]
    choices: Mapping[str, Choice]  # by app, "" over all
    doubts: tuple[Doubt, ...]
    now: float  # Unix time, s
    claims: tuple[Judgement, ...] = ()
    engines: tuple[OnEngine, ...] = ()  # the same cells on other engines, measured by the same job

    def holding(self, app: str) -> Holding | None:
        """The engines on which the choice for an app holds; None unless several engines were measured."""
        mine = OnEngine(engine=engine_of(self.run), run=self.run, choices=self.choices)
        return holding(app, mine, self.engines, self.criteria)

    def stands_for(self, metric: Metric) -> str:
        """The criterion that rests on a metric; "" if there is none, or if it has the metric's own name."""
        measured = self.run.measured()
        found = next((item.name for item in self.criteria if item.rests_on(measured) == metric.name), "")
        return "" if found == metric.name else found

    def weighed(self) -> list[Metric]:
        """The metric of each criterion: the first of its metrics that was measured."""
        measured = self.run.measured()
        names = [item.rests_on(measured) for item in self.criteria]
        known = {metric.name: metric for metric in self.metrics}
        return [known[name] for name in dict.fromkeys(names) if name in known]


def decide(
    runs: Sequence[Run],
    *,
    criteria: Sequence[Criterion] = CRITERIA,
    constraints: Sequence[Constraint] = (),
    now: float,
    claims: Iterable[Claim] = (),
    others: Sequence[Run] = (),
    analysis: Analysis | None = None,
) -> Decision:
    """The decision that one or several runs of one environment support. `now` is Unix time, s, for staleness.

    `others` are runs of the same cells on other engines: each is decided for itself. `analysis` is of the run, if it is
    one and there is an analysis already.
    """
    run = joined(runs)
    if analysis is None or analysis.run is not run:
        analysis = Analysis(run)
    found = doubts(runs, now=now)
    wanted = {metric.name for metric in select(run) if metric.group != FLOOR}
    wanted |= {name for criterion in criteria for name in criterion.metrics}
    metrics = tuple(metric for metric in run.manifest.metrics if metric.name in wanted)
    choices = {app: withheld(choice, found) for app, choice in choose(run, criteria, constraints).items()}
    return Decision(
        run=run,
        analysis=analysis,
        shown=analysis.figures(metrics),
        metrics=metrics,
        criteria=tuple(criteria),
        constraints=tuple(constraints),
        choices=choices,
        doubts=found,
        now=now,
        claims=judge(claims, runs),
        engines=tuple(
            OnEngine(engine=engine_of(other), run=other, choices=choose(other, criteria, constraints))
            for other in others
        ),
    )
