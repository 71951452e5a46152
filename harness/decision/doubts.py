"""Reasons to doubt stored data: it is stale, of mixed environments, has too few blocks, or is unfinished. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from harness.decision.choice import Choice, Confidence, listed
from harness.model import Environment, Unit, differing
from harness.stats.intervals import PRACTICAL, SMALLEST_DECIDABLE
from harness.store.run import Run, Series
from harness.text.units import counted

STALE_DAYS = 30  # official base images are rebuilt about monthly: older data describe images that nobody pulls any more
DAY = 86_400.0


class DoubtKind(StrEnum):
    STALE = "stale"
    MIXED = "mixed environments"
    THIN = "too few blocks"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Doubt:
    """`withholds`: no conclusion is possible at all. Otherwise the affected choices say so themselves."""

    kind: DoubtKind
    text: str
    withholds: bool


def doubts(runs: Sequence[Run], *, now: float) -> tuple[Doubt, ...]:
    """Doubts about one run, or about several runs that are read as one. `now` is Unix time, s."""
    found: list[Doubt] = []
    first = runs[0].manifest.environment
    found += [
        Doubt(DoubtKind.MIXED, f"{runs[0].id} and {run.id} differ in {_differing(first, run)}.", True)
        for run in runs[1:]
        if run.manifest.environment.fingerprint != first.fingerprint
    ]
    for run in runs:
        if changed := _changed(run):
            text = f"The images of {changed} changed size within run {run.id}: its sessions measured different images."
            found.append(Doubt(DoubtKind.MIXED, text, True))
    oldest = min(runs, key=lambda run: run.manifest.started)
    age = (now - oldest.manifest.started) / DAY
    if oldest.manifest.started and age > STALE_DAYS:
        text = (
            f"The data was measured {age:.0f} days ago. The limit is {STALE_DAYS} days, because people now pull"
            " different images."
        )
        found.append(Doubt(DoubtKind.STALE, text, True))
    counts = blocks(joined(runs))
    thin = {name: count for name, count in counts.items() if count < SMALLEST_DECIDABLE}
    if thin or not counts:
        text = (
            f"{_few(thin, whole=len(thin) == len(counts))}; at least {SMALLEST_DECIDABLE} blocks are needed to tell a"
        )
        text += " difference from noise."
        if thin:
            text += " They widen the interval of each choice that counts them."
            text += " If the interval includes 1×, the choice is only “leaning”."
        found.append(Doubt(DoubtKind.THIN, text, False))
    found += [
        Doubt(DoubtKind.UNFINISHED, f"The last session of run {run.id} was {run.sessions[-1].outcome}.", False)
        for run in runs
        if run.sessions and run.sessions[-1].outcome not in ("complete", "")
    ]
    return tuple(found)


def fewest(run: Run) -> int:
    """Blocks of the headline duration that has fewest; 0 if none was measured."""
    return min(blocks(run).values(), default=0)


def blocks(run: Run) -> dict[str, int]:
    """Blocks of each headline duration that was measured, except the ones whose plan is one block."""
    limited = planned_once(run)
    counts = {}
    for metric in run.manifest.metrics:
        if metric.headline and metric.unit is Unit.SECONDS and metric.probe not in limited:
            mine = [run.series().get((cell.id, metric.name)) for cell in run.manifest.cells]
            sizes = [np.unique(series.block).size for series in mine if series is not None]
            if sizes:
                counts[metric.name] = max(sizes)
    return counts


def planned_once(run: Run) -> frozenset[str]:
    """Probes whose plan is one block, whatever the budget."""
    probes = run.manifest.plan.get("probes", ())
    found = [probe for probe in probes if isinstance(probe, dict)] if isinstance(probes, Sequence) else []
    return frozenset(str(probe.get("name")) for probe in found if probe.get("blocks") == 1)


def withheld(choice: Choice, found: Sequence[Doubt]) -> Choice:
    """The choice as it may be shown: withheld if a doubt requires it."""
    reasons = [doubt.kind.value for doubt in found if doubt.withholds]
    if not reasons or choice.confidence is Confidence.OPEN:
        return choice
    return replace(choice, confidence=Confidence.WITHHELD, reasons=(*dict.fromkeys(reasons), *choice.reasons))


def joined(runs: Sequence[Run]) -> Run:
    """Several runs read as one: the blocks of later runs are numbered on. Cells, metrics and environment are the first
    run's.

    `doubts` says whether they may be read as one.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    cells = {cell.id for cell in first.manifest.cells} | {""}
    parts: dict[tuple[str, str], list[Series]] = {}
    block = order = 0
    for run in runs:
        top_block = top_order = -1
        for key, series in run.series().items():
            if key[0] not in cells or not series.block.size:
                continue
            top_block, top_order = max(top_block, int(series.block.max())), max(top_order, int(series.order.max()))
            moved = replace(
                series,
                block=(series.block + block).astype(np.int32),
                order=(series.order + order).astype(np.int32),
            )
            parts.setdefault(key, []).append(moved)
        block, order = block + top_block + 1, order + top_order + 1
    whole = {
        key: Series(
            value=np.concatenate([piece.value for piece in pieces]),
            block=np.concatenate([piece.block for piece in pieces]),
            order=np.concatenate([piece.order for piece in pieces]),
            at=np.concatenate([piece.at for piece in pieces]),
        )
        for key, pieces in parts.items()
    }
    return replace(
        first,
        failures=tuple(try_ for run in runs for try_ in run.failures),
        warnings=tuple(warning for run in runs for warning in run.warnings),
        _series=whole,
    )


def _differing(ours: Environment, other: Run) -> str:
    return "; ".join(differing(ours.facts, other.manifest.environment.facts))


def _changed(run: Run) -> str:
    """Cells with several sizes: the image was another in a later session.

    Image ids do not show it, because they contain the time of the build. Sizes may differ by a few bytes for the same
    reason.
    """
    sizes = [metric.name for metric in run.manifest.metrics if metric.deterministic and metric.unit is Unit.BYTES]
    cells = []
    for cell in run.manifest.cells:
        for name in sizes:
            series = run.series().get((cell.id, name))
            if series is not None and np.ptp(series.value) > PRACTICAL * np.max(series.value):
                cells.append(cell.id)
                break
    return ", ".join(cells)


def _few(thin: Mapping[str, int], *, whole: bool) -> str:
    """Which durations have how many blocks: `build.cold and build.source have 1 block each`."""
    counts = sorted(set(thin.values()))
    if not thin:
        return "No duration was measured"
    if whole:
        return f"Every duration has {f'{counts[0]} to ' if len(counts) > 1 else ''}{counted(counts[-1], 'block')}"
    texts = []
    for count in counts:
        has = counted(count, "block")
        names = [name for name, blocks_ in thin.items() if blocks_ == count]
        texts.append(f"{listed(names)} {f'has {has}' if len(names) == 1 else f'have {has} each'}")
    return "; ".join(texts)


def when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
