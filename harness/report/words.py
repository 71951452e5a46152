"""Describes a choice without terms of statistics: the gain, and how sure it is. For decision.md and report.html."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.decision.choice import Choice, Confidence, Lead
from harness.decision.choice import listed as named
from harness.decision.decide import Decision
from harness.decision.figures import Figures
from harness.model import Direction, Metric, Unit
from harness.stats.intervals import Ratio, Verdict
from harness.store.run import CellInfo, Run
from harness.text.units import bounds_text, scale, shortened

_WORDS = {  # smaller, larger
    Unit.SECONDS: ("faster", "slower"),
    Unit.BYTES: ("smaller", "larger"),
    Unit.COUNT: ("fewer", "more"),
}
_MEASURE_ALL = "tox -e bench"
NOTATION = (
    "Brackets hold 95 % intervals. Strategies are compared within blocks, so a × may differ from the ratio of the two"
    " medians beside it. “2× as good” compares scores: the other strategy's score is twice as large. A score weighs all"
    " criteria, and a smaller score is better. “First with 90 % of random weights”: the strategy also has the best"
    " score with 90 % of 10 000 sets of weights that were drawn at random."
)
_FAR = 10.0  # factor: weights farther from the given weights are not shown
WORD = {
    Confidence.DECIDED: "decided",
    Confidence.TIE: "either will do",
    Confidence.LEANING: "leaning",
    Confidence.OPEN: "open",
    Confidence.WITHHELD: "no conclusion",
}
MEANING = {
    Confidence.DECIDED: "the interval of the lead over the runner-up lies above 1×, and the lead is over 3 %",
    Confidence.TIE: "the two best strategies surely differ by less than 3 %; the simpler one is named first",
    Confidence.LEANING: "the numbers favor one strategy, but more measurements are needed to be sure",
    Confidence.OPEN: "nothing can be recommended, because a constraint could not be checked or no strategy meets it",
    Confidence.WITHHELD: "the data is stale, or comes from environments that must not be joined",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One metric of the chosen cell beside the reference's."""

    metric: Metric
    cell: CellInfo
    reference: CellInfo
    value: str  # 12.3 MB
    spread: str  # its interval, [12.1–12.4]; "" if exact or unknown
    before: str  # the value of the reference, in the same unit
    times: str  # 28× smaller
    interval: str  # [12.1–14.0×]; "" if exact or unknown
    sure: bool  # the comparison is decided
    better: bool | None  # None: the same, or unknown


def gain(run: Run, shown: Figures, choice: Choice, name: str) -> Gain | None:
    """The gain of the chosen cell on a metric over the app's reference; None if either was not measured."""
    metric = next((metric for metric in run.manifest.metrics if metric.name == name), None)
    if metric is None or choice.take is None:
        return None
    cells = sorted((option.cell for option in choice.options), key=lambda cell: cell.rank)
    reference = cells[0]
    mine, other = shown.get((choice.take.id, name)), shown.get((reference.id, name))
    if not (mine and other and mine.summary and other.summary):
        return None
    measure = scale(metric, [mine.summary.median, other.summary.median])
    times, interval, sure, better = ("the reference itself", "", True, None)
    if choice.take.id != reference.id:
        times, interval, sure, better = comparison(mine.ratio, metric)
    return Gain(
        metric=metric,
        cell=choice.take,
        reference=reference,
        value=measure.amount(mine.summary.median),
        spread=bounds_text(mine.summary, measure),
        before=measure.amount(other.summary.median),
        times=times,
        interval=interval,
        sure=sure,
        better=better,
    )


def comparison(ratio: Ratio | None, metric: Metric) -> tuple[str, str, bool, bool | None]:
    """`13× faster`, its interval as text, whether it is decided, and whether it is better (None: neither)."""
    if ratio is None:
        return "not comparable", "", False, None
    less, more = _WORDS.get(metric.unit, ("less", "more"))
    if ratio.verdict is Verdict.SAME:
        return "no practical difference", "", True, None
    if not ratio.estimate:
        return f"none instead of some ({less})", "", True, metric.direction is Direction.SMALLER
    down = ratio.estimate < 1
    factor = 1 / ratio.estimate if down else ratio.estimate
    word = less if down else more
    text = f"{times(factor)} {word}"
    interval = ""
    if ratio.low and ratio.high and ratio.low != ratio.high:
        bounds = sorted((1 / ratio.low, 1 / ratio.high) if down else (ratio.low, ratio.high))
        interval = span(bounds[0], bounds[1])
    better = None if metric.direction is Direction.NEITHER else down == (metric.direction is Direction.SMALLER)
    return text, interval, ratio.verdict is not Verdict.UNDECIDED, better


def traits(run: Run, cell: CellInfo) -> list[str]:
    """The content of an image and how it runs, in a few words each, as far as it was measured."""

    def of(name: str) -> float | None:
        series = run.series().get((cell.id, name))
        return None if series is None else float(series.value[-1])

    words = []
    packages: float | None = None
    if (components := of("surface.components")) is not None:
        words.append("1 component" if components == 1 else f"{components:.0f} components")
        if hidden := of("surface.hidden"):
            words.append(f"{hidden:.0f} of them invisible to scanners")
    elif (packages := of("surface.packages")) is not None:
        words.append("1 declared package" if packages == 1 else f"{packages:.0f} declared packages")
        if not packages:
            words[-1] = "declares no packages (a scanner finds none)"
    blind = components is None and not packages  # a run of before components were traced
    if (pending := of("surface.pending")) is not None and not blind:
        fixes = "fix" if pending == 1 else "fixes"
        words.append(f"{pending:.0f} pending security {fixes}" if pending else "no pending security fix")
    shell = of("intruder.sh") if of("surface.shells") is None else of("surface.shells")
    if shell is not None:
        words.append("has a shell" if shell else "no shell")
    if (root := of("surface.root")) is not None:
        words.append("runs as root" if root else "not root")
    if (hardened := of("harden.all")) is not None:
        words.append("works under all restrictions" if hardened else "fails under some restriction")
    return words


def number(x: float) -> str:
    """Two to three digits."""
    if not math.isfinite(x):
        return "∞"
    return f"{x:.0f}" if x >= 99.5 else f"{x:.1f}" if x >= 9.95 else f"{x:.2f}"


def times(factor: float) -> str:
    """`28×`, `1.07×`."""
    return f"{number(factor)}×"


def share(x: float) -> str:
    """A share in per cent, never rounded to 0 or 100 %."""
    if 0 < x < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < x < 1 else f"{x:.0%}".replace("%", " %")


def brief(choice: Choice) -> str:
    """How sure, in a few words; `sureness` gives the reasons."""
    if choice.lead is None or choice.rival is None or choice.confidence in (Confidence.OPEN, Confidence.WITHHELD):
        return sureness(choice)
    ahead = _ahead(choice.lead, choice.rival.strategy)
    match choice.confidence:
        case Confidence.LEANING:
            more = f"about {_more_blocks(choice.lead)} needed" if choice.lead.more else "; ".join(choice.reasons)
            return f"leaning: {ahead}; {more}"
        case Confidence.TIE:
            return f"either will do: surely within 3 % of {choice.rival.strategy}"
    return f"**decided**{_at_these(choice)}: {ahead}{_held(choice)}"


def _at_these(choice: Choice) -> str:
    """A choice may be certain for the given weights, and another choice for weights near them."""
    if not choice.sensitivity or not choice.take:
        return ""
    return " at these weights" if choice.sensitivity.near.get(choice.take.strategy, 0.0) < 0.8 else ""


def sureness(choice: Choice) -> str:
    """How sure, in one sentence without a formula."""
    match choice.confidence:
        case Confidence.OPEN:
            return f"Nothing can be recommended: {'; '.join(choice.reasons)}."
        case Confidence.WITHHELD:
            return f"No conclusion: {', '.join(choice.reasons)}."
    if choice.rival is None or choice.lead is None or choice.take is None:
        word = "Decided" if choice.confidence is Confidence.DECIDED else "Leaning"
        return f"{word}: {'; '.join(choice.reasons)}." if choice.reasons else f"{word}."
    lead, rival, take = choice.lead, choice.rival.strategy, choice.take.strategy
    ahead = f"{take} is {_ahead(lead, rival)} {scope(choice)}"
    match choice.confidence:
        case Confidence.DECIDED:
            return f"Decided{_at_these(choice)}: {ahead}{_held(choice)}."
        case Confidence.TIE:
            return f"Either will do: {take} and {rival} surely differ by less than 3 % {scope(choice)}."
        case _:
            more = f" About {_more_blocks(lead)} would decide." if lead.more else ""
            return f"Leaning, not decided: {ahead}. Why it is not decided: {'; '.join(choice.reasons)}.{more}"


def scope(choice: Choice) -> str:
    """The criteria that a score counts."""
    return "over the measured criteria" if choice.dropped else "over all criteria"


def uncounted(choice: Choice) -> str:
    """The criteria that do not count, by reason: `surface and upkeep (not measured in this run)`."""
    reasons: dict[str, list[str]] = {}
    for name, why in choice.dropped.items():
        reasons.setdefault(why, []).append(name)
    return "; ".join(f"{named(names)} ({why})" for why, names in reasons.items())


def never_measured(decision: Decision) -> list[str]:
    """The criteria whose metrics have no sample in the run."""
    measured = {name for _, name in decision.run.series()}
    return [item.name for item in decision.criteria if not item.rests_on(measured)]


def to_measure(decision: Decision) -> str:
    """What measures the criteria of `never_measured`; "" if the command of the run cannot measure them.

    If the run's probes would measure them, the run is continued. Otherwise a new run of the whole matrix measures them.
    `tare measure` builds nothing, so that it never measures some criteria.
    """
    manifest = decision.run.manifest
    planned = {metric.name for metric in manifest.metrics}
    never = set(never_measured(decision))
    if all(item.rests_on(planned) for item in decision.criteria if item.name in never):
        return f"`{manifest.to_continue(decision.run.id)}`"
    return "" if "command" in manifest.plan else f"A new run, `{_MEASURE_ALL}`,"


def _more_blocks(lead: Lead) -> str:
    return f"{lead.more} more {'block' if lead.more == 1 else 'blocks'}"


def _ahead(lead: Lead, rival: str) -> str:
    return f"{times(lead.estimate)} as good as {rival} {span(lead.low, lead.high)}"


def span(low: float, high: float) -> str:
    """The 95 % interval of a factor: `[2.01–2.37×]`."""
    return f"[{number(low)}–{number(high)}×]"


def _held(choice: Choice) -> str:
    if not choice.sensitivity or choice.take is None:
        return ""
    held = choice.sensitivity.anyhow.get(choice.take.strategy, 0.0)
    return "; first with all random weights" if held == 1 else f"; first with {share(held)} of random weights"


def robust(choice: Choice) -> str:
    """A description of how the choice depends on the weights."""
    if not choice.sensitivity or not choice.take or choice.rival is None:
        return ""
    take = choice.take.strategy
    near, anyhow = (found.get(take, 0.0) for found in (choice.sensitivity.near, choice.sensitivity.anyhow))
    hold = "hardly depends" if near > 0.95 else "depends" if near < 0.8 else "depends a little"
    if near == anyhow == 1:
        return f"The choice does not depend on the weights: {take} is first with all 10 000 sets of random weights."
    text = (
        f"The choice {hold} on the weights. If each weight is changed to between half and double, {take} is first in"
        f" {share(near)} of 10 000 random draws. With arbitrary weights, it is first in {share(anyhow)} of the draws."
    )
    alone: dict[str, list[str]] = {}
    for name, strategy in choice.sensitivity.alone.items():
        alone.setdefault(strategy, []).append(name)
    if alone:
        others = "; ".join(f"{strategy} in {named(names)}" for strategy, names in alone.items())
        text += f" In single criteria, other strategies have the best median: {others}."
    flips = [
        f" If the weight of {flip.criterion} were {'above' if flip.limit > flip.given else 'below'}"
        f" {number(flip.limit)} (now {flip.given:g}), {flip.strategy} would be first."
        for flip in choice.sensitivity.flips
        if flip.given / _FAR <= flip.limit <= flip.given * _FAR
    ]
    return text + "".join(flips[:3])


def unlike(choice: Choice) -> str:
    """Which services only one of the image to take and the app's first image contains: `full contains MariaDB, scratch
    does not`; "" if they are alike.
    """
    if choice.take is None:
        return ""
    first = min((option.cell for option in choice.options), key=lambda cell: cell.rank)
    found = []
    for with_, without in ((first, choice.take), (choice.take, first)):
        if titles := [title for title in with_.inside if title not in without.inside]:
            found.append(f"{with_.strategy} contains {named(titles)}, {without.strategy} does not")
    return "; ".join(found)


def unmeasured_lines(run: Run) -> list[str]:
    """What the run's engine cannot give, one line for each reason: `Not measured: start.cold.*, because …`."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in run.unmeasured().items():
        by_reason.setdefault(reason, []).append(name)
    names = [metric.name for metric in run.manifest.metrics]
    return [f"Not measured: {', '.join(shortened(found, names))}, because {why}." for why, found in by_reason.items()]
