"""What a choice gains: the metrics of the strategy to take beside the strategy that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.decision.choice import Choice, listed
from harness.decision.figures import Figures
from harness.model import Direction, Metric, Unit
from harness.report.words import span, times
from harness.stats.intervals import Ratio, Verdict, compared
from harness.store.run import CellInfo, Run
from harness.text.units import bounds_text, scale

_WORDS = {  # smaller, larger
    Unit.SECONDS: ("faster", "as long"),
    Unit.BYTES: ("smaller", "as large"),
    Unit.COUNT: ("fewer", "as many"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One metric of the chosen cell beside the reference's."""

    metric: Metric
    cell: CellInfo
    reference: CellInfo
    first: bool  # the reference is the app's first cell, and not the first cell with the same content
    value: str  # 12.3 MB
    spread: str  # its interval, [12.1–12.4]; "" if exact or unknown
    before: str  # the value of the reference, in the same unit
    times: str  # 28× smaller
    interval: str  # [12.1–14.0×]; "" if exact or unknown
    sure: bool  # the comparison is decided
    better: bool | None  # None: the same, or unknown


def gain(run: Run, shown: Figures, choice: Choice, name: str) -> Gain | None:
    """The gain of the chosen cell on a metric over the app's reference; None if either was not measured.

    If the reference contains other services than the chosen cell, the first cell with the same services is used.
    """
    metric = next((metric for metric in run.manifest.metrics if metric.name == name), None)
    if metric is None or choice.take is None:
        return None
    first, reference = _first(choice), alike(choice)
    assert reference is not None  # because a strategy is taken
    mine, other = shown.get((choice.take.id, name)), shown.get((reference.id, name))
    if not (mine and other and mine.summary and other.summary):
        return None
    measure = scale(metric, [mine.summary.median, other.summary.median])
    text, interval, sure, better = ("the reference itself", "", True, None)
    if choice.take.id != reference.id:
        series = run.series()
        ratio = mine.ratio
        if reference.id != first.id:
            ratio = compared(metric, series[reference.id, name], series[choice.take.id, name])
        text, interval, sure, better = comparison(ratio, metric)
    return Gain(
        metric=metric,
        cell=choice.take,
        reference=reference,
        first=reference.id == first.id,
        value=measure.amount(mine.summary.median),
        spread=bounds_text(mine.summary, measure),
        before=measure.amount(other.summary.median),
        times=text,
        interval=interval,
        sure=sure,
        better=better,
    )


def _first(choice: Choice) -> CellInfo:
    return min((option.cell for option in choice.options), key=lambda cell: cell.rank)


def alike(choice: Choice) -> CellInfo | None:
    """The first cell of the app that contains the same services as the cell to take. If only later cells do, the app's
    first cell. None if no cell is taken.
    """
    if choice.take is None:
        return None
    cells = sorted((option.cell for option in choice.options), key=lambda cell: cell.rank)
    same = [cell for cell in cells if cell.inside == choice.take.inside]
    return same[0] if same[0].id != choice.take.id else cells[0]


def against(shown: Figures, choice: Choice, metrics: Sequence[Metric]) -> str:
    """The medians of the runner-up and of the strategy to take: `distroless 3.3 MB, 398 ms; scratch 2.8 MB, 307 ms`.
    "" for all apps together, without a runner-up, or if nothing was measured.
    """
    if not choice.app or choice.take is None or choice.rival is None:
        return ""
    texts: dict[str, list[str]] = {choice.rival.strategy: [], choice.take.strategy: []}
    for metric in metrics:
        pair = [shown.get((cell.id, metric.name)) for cell in (choice.rival, choice.take)]
        medians = [figure.summary.median for figure in pair if figure and figure.summary]
        if len(medians) == 2:
            measure = scale(metric, medians)
            for known, median in zip(texts.values(), medians, strict=True):
                known.append(measure.amount(median))
    return "; ".join(f"{strategy} {', '.join(known)}" for strategy, known in texts.items() if known)


def comparison(ratio: Ratio | None, metric: Metric) -> tuple[str, str, bool, bool | None]:
    """`13× faster`, its interval as text, whether it is decided, and whether it is better (None: neither)."""
    if ratio is None:
        return "not comparable", "", False, None
    less, more = _WORDS.get(metric.unit, ("less", "as much"))
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


def unlike(choice: Choice) -> str:
    """Which services only one of the image to take and the app's first image contains: `full contains MariaDB, scratch
    does not`; "" if they are alike.
    """
    if choice.take is None:
        return ""
    first = _first(choice)
    found = []
    for with_, without in ((first, choice.take), (choice.take, first)):
        if titles := [title for title in with_.inside if title not in without.inside]:
            found.append(f"{with_.strategy} contains {listed(titles)}, {without.strategy} does not")
    return "; ".join(found)


def unlike_apps(whole: Choice, apps: Mapping[str, Sequence[CellInfo]]) -> list[str]:
    """The apps of which the first image and the image of the one strategy for all contain different services."""
    if whole.take is None:
        return []
    taken = {cell.app: cell for cells in apps.values() for cell in cells if cell.strategy == whole.take.strategy}
    return [app for app, cell in taken.items() if cell.inside != apps[app][0].inside]
