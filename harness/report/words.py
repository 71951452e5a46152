"""Describes a choice without terms of statistics: the gain, and how sure it is. For decision.md and report.html."""

from __future__ import annotations

import math

from harness.decision.choice import NOT_IN_RUN, Choice, Confidence, Lead
from harness.decision.choice import listed as named
from harness.decision.decide import Decision
from harness.stats.intervals import PRACTICAL, SMALLEST_DECIDABLE
from harness.store.run import CellInfo, Run
from harness.text.units import shortened

_MEASURE_ALL = "tox -e bench"
NOTATION = (
    "Brackets hold 95 % intervals. Strategies are compared within blocks, so a × may differ from the ratio of the two"
    " medians beside it. “2× as good” compares scores: the other strategy's score is twice as large, so it"
    " costs twice as much on the weighted average. A score weighs all criteria that were measured, and a smaller score"
    " is better. “First in 90 % of random sets of weights”: the"
    " strategy also has the best score with 90 % of 10 000 sets of weights that were drawn at random. “Undecided”: the"
    " samples do not show yet whether there is a difference."
)
_PRACTICAL = f"{PRACTICAL:.0%}".replace("%", " %")
VERDICTS = {  # as `harness.stats.intervals` defines them
    "better or worse": f"the difference is over {_PRACTICAL}, its 95 % interval excludes 1×, and a test confirms it",
    "the same (≈)": f"the whole 95 % interval lies within {_PRACTICAL} of 1×; an exact value is its own interval",
    "undecided (?)": "neither is sure yet; the difference may be noise, even if the ratio is far from 1×",
}
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
            some = f", with {_counted(choice)}" if choice.dropped else ""
            return f"leaning{some}: {ahead}; {more}"
        case Confidence.TIE:
            return f"either will do: surely within 3 % of {choice.rival.strategy}"
    some = f" on {_counted(choice)}" if choice.dropped else ""
    return f"**decided**{some}{_at_these(choice)}: {ahead}{_held(choice)}"


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
            more = f" About {_more_blocks(lead)} would decide, if the medians stay." if lead.more else ""
            return f"Leaning, not decided: {ahead}. Reasons: {'; '.join(choice.reasons)}.{more}"


def open_reasons(choice: Choice) -> str:
    """Why a choice is not decided, without the lead, which `sureness` gives."""
    if choice.confidence is Confidence.OPEN:
        return f"no strategy can be recommended: {'; '.join(choice.reasons)}."
    more = (
        f" About {_more_blocks(choice.lead)} would decide, if the medians stay."
        if choice.lead and choice.lead.more
        else ""
    )
    strategy = f", {choice.take.strategy} leads" if choice.take else ""
    return f"not decided{strategy}: {'; '.join(choice.reasons)}.{more}"


def scope(choice: Choice) -> str:
    """The criteria that a score counts."""
    return f"over {_counted(choice)}" if choice.dropped else "over all criteria"


def _counted(choice: Choice) -> str:
    """`6 of 10 criteria`."""
    return f"{choice.asked - len(choice.dropped)} of {choice.asked} criteria"


def uncounted(choice: Choice) -> str:
    """The criteria that do not count, by reason: `size and memory (not measured for slim)`. Criteria that the run never
    measured are left out, because `lacking` gives them once for all apps.
    """
    reasons: dict[str, list[str]] = {}
    for name, why in choice.dropped.items():
        if why != NOT_IN_RUN:
            reasons.setdefault(why, []).append(name)
    return "; ".join(f"{named(names)} ({why})" for why, names in reasons.items())


def never_measured(decision: Decision) -> list[str]:
    """The criteria whose metrics have no sample in the run."""
    measured = {name for _, name in decision.run.series()}
    return [item.name for item in decision.criteria if not item.rests_on(measured)]


def lacking(decision: Decision, code: str = "") -> str:
    """The criteria that the run never measured, and how much of the weight they have; "" if there are none. `code` is
    put before and after the name of a metric.
    """
    never = never_measured(decision)
    if not never:
        return ""
    criteria = [item for item in decision.criteria if item.name in never]
    names = named([f"{item.name} ({code}{item.metrics[0]}{code})" for item in criteria])
    one = len(criteria) == 1
    weight, whole = (sum(item.weight for item in items) for items in (criteria, decision.criteria))
    return (
        f"{len(criteria)} of {len(decision.criteria)} criteria, with {weight:g} of {whole:g} points of the weight,"
        f" {'was' if one else 'were'} not measured in this run: {names}. No choice counts {'it' if one else 'them'}."
    )


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
    few = lead.thin and lead.until == SMALLEST_DECIDABLE  # the other criteria have enough
    return f"{lead.more} more {'block' if lead.more == 1 else 'blocks'}{f' of {named(lead.thin)}' if few else ''}"


def _ahead(lead: Lead, rival: str) -> str:
    return f"{times(lead.estimate)} as good as {rival} {span(lead.low, lead.high)}"


def span(low: float, high: float) -> str:
    """The 95 % interval of a factor: `[2.01–2.37×]`."""
    return f"[{number(low)}–{number(high)}×]"


def _held(choice: Choice) -> str:
    if not choice.sensitivity or choice.take is None:
        return ""
    held = choice.sensitivity.anyhow.get(choice.take.strategy, 0.0)
    return f"; first in {'all' if held == 1 else share(held) + ' of'} random sets of weights"


def robust(choice: Choice) -> str:
    """A description of how the choice depends on the weights."""
    if not choice.sensitivity or not choice.take or choice.rival is None:
        return ""
    take = choice.take.strategy
    near, anyhow = (found.get(take, 0.0) for found in (choice.sensitivity.near, choice.sensitivity.anyhow))
    if near == anyhow == 1:
        text = f"{take} is first with each of 10 000 random sets of weights."
    else:
        text = (
            f"{take} is first in {share(anyhow)} of 10 000 random sets of weights. If each weight stays between half"
            f" and double of its value, it is first in {share(near)} of 10 000 random sets."
        )
    alone: dict[str, list[str]] = {}
    for name, strategy in choice.sensitivity.alone.items():
        alone.setdefault(strategy, []).append(name)
    if alone:
        others = "; ".join(f"{strategy} in {named(names)}" for strategy, names in alone.items())
        text += f" In single criteria, another strategy has a better median by over 3 %: {others}."
    flips = [
        f" If the weight of {flip.criterion} were {'above' if flip.limit > flip.given else 'below'}"
        f" {number(flip.limit)} (now {flip.given:g}), {flip.strategy} would be first."
        for flip in choice.sensitivity.flips
        if flip.given / _FAR <= flip.limit <= flip.given * _FAR
    ]
    return text + "".join(flips[:3])


def described(cell: CellInfo) -> str:
    """What the strategy of a cell is, and what it costs; "" if this is not known."""
    return " ".join(filter(None, (cell.summary, cell.trades and f"Trade-off: {cell.trades}")))


def unmeasured_lines(run: Run) -> list[str]:
    """What the run's engine cannot give, one line for each reason: `Not measured: start.cold.*, because …`."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in run.unmeasured().items():
        by_reason.setdefault(reason, []).append(name)
    names = [metric.name for metric in run.manifest.metrics]
    return [f"Not measured: {', '.join(shortened(found, names))}, because {why}." for why, found in by_reason.items()]
