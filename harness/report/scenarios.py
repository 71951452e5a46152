"""Scenarios as tables: per app, strategies as rows; storage per strategy; where one strategy overtakes another."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from tabulate import tabulate

from harness.decision.figures import apps
from harness.model import Metric, Unit
from harness.scenarios.break_even import Crossing, Pull, break_even, deploy_curve
from harness.scenarios.formulas import SCENARIOS, Estimate, Parts, Question, Storage, storage
from harness.stats.intervals import SMALLEST_DECIDABLE, Method, Summary
from harness.store.run import Run
from harness.text.units import Scale, interval_text, scale

if TYPE_CHECKING:
    from harness.experiments.play_scenarios import Check

Style = Literal["terminal", "markdown"]

_COLUMNS = {
    "first": "first deploy",
    "update": "new version",
    "update-cold": "new version¹",
    "scale": "{nodes} machines",
    "rebuild": "CI rebuild",
    "rebuild-cold": "CI rebuild¹",
}
_PULLS: dict[str, Pull] = {"First deploy": "empty", "New version": "update"}
_SHOWN = 1e6, 1e10  # bit/s: no real link is outside of this range, so break-evens outside are not shown
_SECONDS = Metric(name="scenario", unit=Unit.SECONDS, help="")
_BYTES = Metric(name="storage", unit=Unit.BYTES, deterministic=True, help="")


def render(
    run: Run, parts: Mapping[str, Parts], question: Question, *, style: Style = "terminal", width: int = 100
) -> str:
    """All scenarios of a run, as text `width` columns wide."""
    wire = question.wire
    heading = (
        f"Scenarios of run {run.id}, environment {run.manifest.environment.fingerprint}: "
        f"{wire.bits_per_second / 1e6:g} Mbit/s of payload, {wire.rtt * 1e3:g} ms round-trip time"
    )
    blocks = [f"# {heading}" if style == "markdown" else heading]
    missing: dict[str, list[str]] = {}  # cells by the parts that they lack
    for cells in apps(run).values():
        mine = [parts[cell.id] for cell in cells]
        table = _app_table(mine, question, style)
        if table:
            title = f"{cells[0].app}: {cells[0].app_title}, seconds"
            blocks.append((f"## {title}\n\n" if style == "markdown" else f"{title}\n") + table)
            blocks += [textwrap.fill(line, width, subsequent_indent="  ") for line in break_evens(mine, question)]
        for cell in mine:
            if lacking := ", ".join(_lacking(cell)):
                missing.setdefault(lacking, []).append(cell.cell)
    if stored := _storage_table(parts.values(), question, style):
        title = f"Registry storage of all apps, compressed, {question.versions} versions"
        blocks.append((f"## {title}\n\n" if style == "markdown" else f"{title}\n") + stored)
    notes = [
        "¹ if CI builds without cache: layers that are not reproducible are new in every version.",
        f"A number has no interval if a part of it has fewer than {SMALLEST_DECIDABLE} samples.",
        *(f"Not measured for {', '.join(cells)}: {lacking}." for lacking, cells in missing.items()),
    ]
    blocks.append("\n".join(textwrap.fill(note, width, subsequent_indent="  ") for note in notes))
    return "\n\n".join(blocks)


def break_evens(cells: Sequence[Parts], question: Question) -> Iterator[str]:
    """A sentence for each scenario and pair of strategies that change places between 1 Mbit/s and 10 Gbit/s."""
    for title, which in _PULLS.items():
        known = [cell for cell in cells if deploy_curve(cell, which)]
        said = [
            _sentence(one.strategy, two.strategy, found)
            for one, two in combinations(known, 2)
            if (found := _visible(break_even(one, two, which, rtt=question.wire.rtt)))
        ]
        if said:
            yield f"{title}: {'; '.join(said)}."
        elif len(known) > 1:
            yield f"{title}: no two strategies change places between 1 Mbit/s and 10 Gbit/s."


def _visible(found: Iterable[Crossing]) -> list[Crossing]:
    slow, fast = _SHOWN
    return [crossing for crossing in found if slow <= crossing.bits_per_second <= fast]


def _sentence(one: str, two: str, found: Sequence[Crossing]) -> str:
    """By rising bandwidth: `full is faster than slim below 35 and above 900 Mbit/s`."""
    rising = sorted(found, key=lambda crossing: crossing.bits_per_second)
    ranges = []
    for number, crossing in enumerate(rising):
        if crossing.below:
            before = rising[number - 1] if number else None
            ranges.append(f"from {_at(before)} to {_at(crossing)}" if before else f"below {_at(crossing)}")
        elif number == len(rising) - 1:
            ranges.append(f"above {_at(crossing)}")
    return f"{one} is faster than {two} {' and '.join(ranges)} Mbit/s"


def _at(crossing: Crossing) -> str:
    """`35`, or `35 [31–40]` if there is an interval."""
    low, high = crossing.low, crossing.high
    if low is None and high is None:
        return _speed(crossing.bits_per_second)
    bounds = f"{'0' if low is None else _speed(low)}–{'∞' if high is None else _speed(high)}"
    return f"{_speed(crossing.bits_per_second)} [{bounds}]"


def _speed(bits_per_second: float) -> str:
    megabits = bits_per_second / 1e6
    return f"{megabits:.3g}" if megabits < 1000 else f"{megabits:.0f}"


def _app_table(cells: Sequence[Parts], question: Question, style: Style) -> str:
    answers = {scenario.name: {cell.cell: scenario.compute(cell, question) for cell in cells} for scenario in SCENARIOS}
    shown = {name: column for name, column in answers.items() if any(column.values())}
    if not shown:
        return ""
    headers = ["", *(_COLUMNS[name].format(nodes=question.nodes) for name in shown)]
    scales = {
        name: scale(_SECONDS, (answer.value for answer in column.values() if answer)) for name, column in shown.items()
    }
    rows = [
        [cell.strategy, *(_text(column[cell.cell], scales[name]) for name, column in shown.items())] for cell in cells
    ]
    return tabulate(rows, headers=headers, tablefmt=_format(style), disable_numparse=True, colalign=_aligned(headers))


def _text(answer: Estimate | None, scale: Scale) -> str:
    if answer is None:
        return "–"
    as_summary = Summary(
        n=answer.n, median=answer.value, low=answer.low, high=answer.high, method=Method.NONE,
        minimum=answer.value, maximum=answer.value, mad=0.0,
    )  # fmt: skip
    spread = interval_text(as_summary, scale)
    return f"{scale.amount(answer.value)} {spread}".rstrip()


def _storage_table(cells: Iterable[Parts], question: Question, style: Style) -> str:
    by_strategy: dict[str, list[Parts]] = {}
    for cell in cells:
        by_strategy.setdefault(cell.strategy, []).append(cell)
    found = {
        name: (stored, storage(mine, cached=False)) for name, mine in by_strategy.items() if (stored := storage(mine))
    }
    if not found:
        return ""
    versions = question.versions
    headers = ["", "apps", "one version", "unshared", "each further", f"{versions} versions", f"{versions} versions¹"]
    rows = [
        [name, str(len(cached.apps)), *map(_size, (cached.first, cached.alone, cached.added, cached.of(versions))),
         _uncached(cached, cold, versions)]
        for name, (cached, cold) in found.items()
    ]  # fmt: skip
    return tabulate(rows, headers=headers, tablefmt=_format(style), disable_numparse=True, colalign=_aligned(headers))


def _uncached(cached: Storage, cold: Storage | None, versions: int) -> str:
    return _size(cold.of(versions)) if cold and cold.apps == cached.apps else "–"


def _size(value: int) -> str:
    own = scale(_BYTES, [value])
    return own.amount(value)


def _format(style: Style) -> str:
    return "github" if style == "markdown" else "simple"


def _aligned(headers: Sequence[str]) -> tuple[str, ...]:
    return ("left", *("right" for _ in headers[1:]))


def _lacking(cell: Parts) -> list[str]:
    """The parts that scenarios lack for a cell, by the probe that measures them."""
    lacking = []
    if cell.images is None:
        lacking.append("layers.json (probe size)")
    if cell.empty is None or cell.update is None:
        lacking.append("pulls to an empty machine and to a machine with the previous version (probe pull)")
    if cell.start is None:
        lacking.append("deploys or warm starts (probes deploy, start)")
    if cell.cold is None or cell.source is None:
        lacking.append("builds (probe build)")
    return lacking


def render_checks(checks: Sequence[Check], question: Question) -> str:
    """The result of each formula beside the measurement, and the error."""
    wire = question.wire
    heading = (
        f"Scenarios by formula and measured: {wire.bits_per_second / 1e6:g} Mbit/s of payload, "
        f"{wire.rtt * 1e3:g} ms round-trip time, {question.nodes} machines, {question.versions} versions"
    )
    rows = []
    for each in checks:
        metric = _BYTES if each.scenario == "storage" else _SECONDS
        own = scale(metric, [each.predicted.value, each.measured])
        note = "" if each.holds else f"off by more than {each.limit:.0%}"
        measured = own.amount(each.measured)
        rows.append([each.cell, each.scenario, _text(each.predicted, own), measured, f"{each.error:+.1%}", note])
    headers = ["cell", "scenario", "by formula", "measured", "error", ""]
    return f"{heading}\n\n{tabulate(rows, headers=headers, disable_numparse=True)}"
