"""Scenarios as tables: per app, strategies as rows; storage per strategy; where one strategy overtakes another."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from tabulate import tabulate

from harness.breakeven import Crossing, Piece, crossings, pull_curve, raised
from harness.model import Metric, Unit
from harness.report.figures import Scale, apps, interval_text, scale
from harness.scenarios import SCENARIOS, Estimate, Parts, Question, Storage, Typical, storage
from harness.statistics import Method, Summary
from harness.store import Run

if TYPE_CHECKING:
    from harness.scenariocheck import Check

Style = Literal["terminal", "markdown"]

_COLUMNS = {
    "first": "first deploy",
    "update": "new version",
    "update-cold": "new version¹",
    "scale": "{nodes} nodes",
    "rebuild": "CI rebuild",
    "rebuild-cold": "CI rebuild¹",
}
_SHOWN = 1e6, 1e10  # bit/s: a wire outside of this is nobody's, nor is a break-even
_SECONDS = Metric(name="scenario", unit=Unit.SECONDS, help="")
_BYTES = Metric(name="storage", unit=Unit.BYTES, deterministic=True, help="")


def render(
    run: Run, parts: Mapping[str, Parts], question: Question, *, style: Style = "terminal", width: int = 100
) -> str:
    """Everything the scenarios say of a run, as text `width` columns wide."""
    wire = question.wire
    heading = (
        f"Scenarios of run {run.id}, environment {run.manifest.environment.fingerprint}: "
        f"{wire.bits_per_second / 1e6:g} Mbit/s of payload, {wire.rtt * 1e3:g} ms round-trip time"
    )
    blocks = [f"# {heading}" if style == "markdown" else heading]
    missing: list[str] = []
    for cells in apps(run).values():
        mine = [parts[cell.id] for cell in cells]
        table = _app_table(mine, question, style)
        if table:
            title = f"{cells[0].app}: {cells[0].app_title}, seconds"
            blocks.append((f"## {title}\n\n" if style == "markdown" else f"{title}\n") + table)
            blocks += [textwrap.fill(line, width, subsequent_indent="  ") for line in break_evens(mine, question)]
        missing += [f"{cell.cell}: {', '.join(lacking)}" for cell in mine if (lacking := _lacking(cell))]
    if stored := _storage_table(parts.values(), question, style):
        title = f"Registry storage of all apps, compressed, {question.versions} versions"
        blocks.append((f"## {title}\n\n" if style == "markdown" else f"{title}\n") + stored)
    blocks.append("¹ where CI builds without cache: layers that are not reproducible are new in every version.")
    if missing:
        blocks.append("\n".join(textwrap.fill(f"Not measured of {line}", width) for line in missing))
    return "\n\n".join(blocks)


def break_evens(cells: Sequence[Parts], question: Question) -> Iterator[str]:
    """A sentence for each scenario and pair of strategies that change places between 1 Mbit/s and 10 Gbit/s."""
    for title, which in (("First deploy", "empty"), ("New version", "update")):
        curves = {cell.strategy: curve for cell in cells if (curve := deploy_curve(cell, which, rtt=question.wire.rtt))}
        said = [
            _sentence(one, two, found)
            for one, two in combinations(curves, 2)
            if (found := _visible(crossings(curves[one], curves[two])))
        ]
        if said:
            yield f"{title}: {'; '.join(said)}."
        elif len(curves) > 1:
            yield f"{title}: no two strategies change places between 1 Mbit/s and 10 Gbit/s."


def deploy_curve(parts: Parts, which: str, *, rtt: float, nodes: int = 1) -> tuple[Piece, ...]:
    """Seconds of a deploy over seconds a byte takes; `which` pull: empty, update or base. Empty where not measured."""
    pulls: Typical | None = getattr(parts, which)
    if pulls is None or parts.start is None:
        return ()
    return raised(pull_curve(pulls.profile, rtt=rtt, nodes=nodes), parts.start.value)


def _visible(found: Iterable[Crossing]) -> list[Crossing]:
    slow, fast = _SHOWN
    return [crossing for crossing in found if slow <= crossing.bits_per_second <= fast]


def _sentence(one: str, two: str, found: Sequence[Crossing]) -> str:
    """By rising bandwidth: `full is faster than slim below 35 and above 900 Mbit/s`."""
    rising = sorted(found, key=lambda crossing: crossing.bits_per_second)
    ranges = []
    for number, crossing in enumerate(rising):
        speed = _speed(crossing.bits_per_second)
        if crossing.below:
            before = rising[number - 1] if number else None
            ranges.append(f"from {_speed(before.bits_per_second)} to {speed}" if before else f"below {speed}")
        elif number == len(rising) - 1:
            ranges.append(f"above {speed}")
    return f"{one} is faster than {two} {' and '.join(ranges)} Mbit/s"


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
    return f"{scale.text(answer.value)} {scale.unit} {spread}".rstrip()


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
    return f"{own.text(value)} {own.unit}"


def _format(style: Style) -> str:
    return "github" if style == "markdown" else "simple"


def _aligned(headers: Sequence[str]) -> tuple[str, ...]:
    return ("left", *("right" for _ in headers[1:]))


def _lacking(cell: Parts) -> list[str]:
    """What scenarios lack of a cell, by the probe that would give it."""
    lacking = []
    if cell.images is None:
        lacking.append("layers.json (probe size)")
    if cell.empty is None or cell.update is None:
        lacking.append("pulls to an empty node and to one with the version before (probe pull)")
    if cell.start is None:
        lacking.append("deploys or warm starts (probes deploy, start)")
    if cell.cold is None or cell.source is None:
        lacking.append("builds (probe build)")
    return lacking


def render_checks(checks: Sequence[Check], question: Question) -> str:
    """Formulas beside what really happened, and the error of each."""
    wire = question.wire
    heading = (
        f"Scenarios by formula and for real: {wire.bits_per_second / 1e6:g} Mbit/s of payload, "
        f"{wire.rtt * 1e3:g} ms round-trip time, {question.nodes} nodes, {question.versions} versions"
    )
    rows = []
    for each in checks:
        metric = _BYTES if each.scenario == "storage" else _SECONDS
        own = scale(metric, [each.predicted.value, each.measured])
        note = "" if each.holds else f"off by more than {each.limit:.0%}"
        measured = f"{own.text(each.measured)} {own.unit}"
        rows.append([each.cell, each.scenario, _text(each.predicted, own), measured, f"{each.error:+.1%}", note])
    headers = ["cell", "scenario", "by formula", "measured", "error", ""]
    return f"{heading}\n\n{tabulate(rows, headers=headers, disable_numparse=True)}"
