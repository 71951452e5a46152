"""A choice of a strategy, and how sure it is. Pure.

How sure: the lead over the runner-up is the weighted sum of paired log ratios. Criteria come from different tries, so
their 95 % half widths add in quadrature. A ratio of fewer than six blocks may be wrong by its full amount, or by a half
if this is more, and this amount is added in full. A choice is decided if the lead exceeds its error and the practical
threshold, and if at most a fifth of the weight lies on criteria that have too few blocks or were not measured for every
strategy. A criterion that the run never measured is dropped and takes no part in this. But if more than two fifths of
the weight is dropped in this way, nothing is decided: the size alone does not show which strategy to take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.decision.sensitivity import BAND, Sensitivity
from harness.stats.intervals import SMALLEST_DECIDABLE
from harness.store.run import CellInfo

MOST_SHAKY = 0.2  # share of the weight that the run measured
MOST_ABSENT = 0.4  # share of the weight: with the default weights, a run without durations decides nothing
NOT_IN_RUN = "not measured in this run"
NO_CHOICE = "only one strategy was measured, so there is nothing to choose"


class Confidence(StrEnum):
    """How sure a choice is."""

    DECIDED = "decided"
    TIE = "no practical difference"
    LEANING = "leaning"
    OPEN = "open"  # nothing can be recommended
    WITHHELD = "withheld"  # the data allows no conclusion: it is stale or comes from mixed environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The runner-up's score ÷ the winner's: above 1. The bounds are of its 95 % interval."""

    estimate: float
    low: float
    high: float
    thin: tuple[str, ...] = ()  # criteria with too few blocks
    more: int = 0  # about how many more blocks would decide; 0 if decided, or if blocks alone cannot decide
    until: int = 0  # the number of blocks that would then be there; 0 like `more`


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A cell as a candidate. `ratios` are value ÷ the reference's, by criterion; `score` is their weighted mean."""

    cell: CellInfo
    ratios: Mapping[str, float]
    score: float | None  # None if it is not ranked
    out: str = ""  # why it is not ranked: a constraint it fails, or a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The choice for one app, or for all apps (`app` is "")."""

    app: str
    title: str
    options: tuple[Option, ...]  # ranked cells first, best first
    take: CellInfo | None
    rival: CellInfo | None
    lead: Lead | None
    confidence: Confidence
    sensitivity: Sensitivity | None
    dropped: Mapping[str, str]  # criteria that do not count here, and why
    asked: int = 0  # criteria that were asked for: the ones that count and the dropped ones
    reasons: tuple[str, ...] = ()  # why the choice is not decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the weight the measurements cover. Shares are 0 to 1."""

    shaky: float  # share of the weight that the run measured: thin, or not measured for every strategy
    missing: float = 0.0  # of the same weight: not measured for every strategy
    absent: float = 0.0  # of the whole weight: never measured in the run
    gaps: tuple[str, ...] = ()  # the criteria of `missing`
    never: tuple[str, ...] = ()  # the criteria of `absent`

    @property
    def needs_metrics(self) -> bool:
        """Whether more blocks of the same metrics cannot decide."""
        return self.missing > MOST_SHAKY or self.absent > MOST_ABSENT


def judge(lead: Lead, covered: Coverage) -> tuple[Confidence, list[str]]:
    """How sure a lead is, and the reasons why it is not surer."""
    reasons = []
    if lead.thin:
        many = len(lead.thin) > 1
        has = f"{'criteria' if many else 'criterion'} {listed(lead.thin)} {'have' if many else 'has'}"
        reasons.append(f"the {has} fewer than {SMALLEST_DECIDABLE} blocks, which widens the interval")
    if covered.absent > MOST_ABSENT:
        rest = f"more than two fifths of the weight lies on {listed(covered.never)}, {NOT_IN_RUN}"
        return Confidence.LEANING, [rest, *reasons]
    if covered.shaky > MOST_SHAKY:
        if covered.gaps:
            were = "was" if len(covered.gaps) == 1 else "were"
            only = ", and more blocks alone cannot decide" if covered.needs_metrics else ""
            reasons.append(f"{listed(covered.gaps)} {were} not measured for every strategy{only}")
        return Confidence.LEANING, reasons
    if -BAND <= math.log(lead.low) <= math.log(lead.high) <= BAND:
        return Confidence.TIE, reasons
    if lead.low > 1 and math.log(lead.estimate) > BAND:
        return Confidence.DECIDED, reasons
    if lead.low > 1:
        return Confidence.LEANING, ["the lead is less than 3 %, which makes no practical difference", *reasons]
    return Confidence.LEANING, ["the interval includes 1×, so the order may be the other way round", *reasons]


def listed(names: Sequence[str]) -> str:
    """One or more names as part of a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
