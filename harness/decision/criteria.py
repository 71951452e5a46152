"""Criteria of the ranking of strategies, their weights, and their metrics."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.model import Direction, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A criterion, its weight, and its metric: the first of `metrics` that a run has.

    `older` are the names that it had before: a weight may still be given by them.
    """

    name: str
    weight: float
    metrics: tuple[str, ...]
    meaning: str
    older: tuple[str, ...] = ()

    def rests_on(self, measured: Container[str]) -> str:
        """Its metric in a run, by the names that the run has measured; "" if it has none of them."""
        return next((name for name in self.metrics if name in measured), "")


CRITERIA = (
    Criterion(
        name="deploy",
        weight=3,
        metrics=("deploy.total", "deploy.empty.total", "pull.empty.total"),
        meaning="deploy to an empty machine, until it answers",
    ),
    Criterion(name="size", weight=3, metrics=("size.transfer",), meaning="bytes to fetch (compressed)"),
    Criterion(
        name="update",
        weight=2,
        metrics=("pull.previous.total", "deploy.previous.total"),
        meaning="pull of a new version to a machine that has the old version",
    ),
    Criterion(
        name="start", weight=2, metrics=("start.warm.total",), meaning="start of an image that the machine already has"
    ),
    Criterion(name="build", weight=1, metrics=("build.source",), meaning="rebuild after one source line changed"),
    Criterion(name="memory", weight=1, metrics=("memory.ready",), meaning="highest memory use up to the first answer"),
    Criterion(
        name="components",
        weight=1,
        metrics=("surface.components",),
        meaning="components in the image",
        older=("surface",),
    ),
    Criterion(
        name="patching",
        weight=1,
        metrics=("surface.hidden",),
        meaning="components that no scanner reports; the team itself must watch for their security updates",
    ),
    Criterion(name="upkeep", weight=1, metrics=("care.lines",), meaning="lines of Dockerfile to maintain"),
    Criterion(
        name="gaps",
        weight=1,
        metrics=("care.missing",),
        meaning="how many of these the image lacks: time zones, certificates, users, a locale, a shell",
        older=("missing",),
    ),
)
# Known by name, and off unless a weight is given.
OPTIONAL = (
    Criterion(name="reproducible", weight=0, metrics=("build.reproducible",), meaning="two builds give the same image"),
)


def weighted(given: Mapping[str, float], metrics: Sequence[Metric]) -> tuple[Criterion, ...]:
    """The default criteria with the weights given by name of a criterion or metric; weight 0 drops one.

    Raises UsageError for a name that is neither, a negative weight, or if nothing is left.
    """
    known = {criterion.name: criterion for criterion in (*CRITERIA, *OPTIONAL)}
    by_name = {metric.name: metric for metric in metrics}
    today = {older: criterion.name for criterion in known.values() for older in criterion.older}
    chosen = {name: criterion.weight for name, criterion in known.items()}
    for spelling, weight in given.items():
        name = today.get(spelling, spelling)
        if not (math.isfinite(weight) and weight >= 0):
            raise UsageError(f"{weight:g} is not a valid weight", where=spelling, fix="Use 0 or more.")
        metric = by_name.get(name)
        if name not in known and metric is None:
            raise UsageError(
                "neither a criterion nor a metric of this run", where=name, fix=f"Criteria are {', '.join(known)}."
            )
        if metric and (metric.direction is Direction.NEITHER or not metric.has_ratio):
            raise UsageError(
                "this metric cannot be weighed", where=name, fix="Use --need, --at-most or --at-least with it."
            )
        chosen[name] = weight
    criteria = tuple(
        Criterion(
            name=name,
            weight=weight,
            metrics=known[name].metrics if name in known else (name,),
            meaning=known[name].meaning if name in known else by_name[name].help,
        )
        for name, weight in chosen.items()
        if weight
    )
    if not criteria:
        raise UsageError("every weight is 0", where="--weight", fix="Set at least one weight above 0.")
    return criteria
