"""What the samples of a row show so far: how wide its intervals are, and whether its comparisons are decided. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model import Metric
from harness.stats.intervals import SMALLEST_DECIDABLE, Floats, Verdict, compared, relative_width, summarise

Samples = Mapping[tuple[str, str], Mapping[int, float]]  # by cell and metric: value by block


@dataclass(frozen=True, slots=True)
class Column:
    """Samples with their blocks."""

    value: Floats
    block: NDArray[np.int32]

    @classmethod
    def of(cls, samples: Mapping[int, float]) -> Column:
        return cls(np.fromiter(samples.values(), np.float64), np.fromiter(samples.keys(), np.int32))


@dataclass(frozen=True, slots=True)
class Undecided:
    """`width` and `more` as in harness.run.plan.RowProgress; `open` are the cells that a further block should visit."""

    width: float | None
    more: int
    open: frozenset[str]


def undecided(
    samples: Samples,
    cells: Sequence[str],
    metrics: Sequence[Metric],
    *,
    precision: float,
    pairs: Mapping[str, str] | None = None,
) -> Undecided:
    """The progress of a row by the headline metrics of `metrics`.

    The first of `cells` with samples is the reference, as in the tables; with `pairs`, each cell named there has a
    reference of its own, and only these cells are compared. Without a comparison (one cell, or the engine)
    a row is decided once its intervals are known. A comparison whose interval is no wider than `precision` counts as
    decided. A cell is open while one of its comparisons is undecided, and then its reference is open too; if every
    comparison is decided, all cells are open.
    """
    spreads: list[float] = []
    widths: list[float] = []
    waits: list[int] = []
    unsure: set[str] = set()
    for metric in metrics:
        if not metric.headline:
            continue
        found = {cell: Column.of(samples[cell, metric.name]) for cell in cells if (cell, metric.name) in samples}
        for cell, column in found.items():
            summary = summarise(column.value, deterministic=metric.deterministic)
            if summary.low is None:
                waits.append(SMALLEST_DECIDABLE - summary.n)
                unsure.add(cell)
            else:
                widths.append(relative_width(summary))
        if not (metric.has_ratio and found):
            continue
        first, *others = found
        for cell, reference in (pairs or dict.fromkeys(others, first)).items():
            if not {cell, reference} <= found.keys():
                continue
            one, two = found[reference], found[cell]
            answer = compared(metric, one, two)
            if answer is None or answer.verdict is not Verdict.UNDECIDED:
                continue
            if answer.low is not None and answer.high is not None:
                width = (answer.high - answer.low) / answer.estimate
                if width <= precision:
                    continue
                spreads.append(width)
            waits.append(answer.more)
            unsure |= {reference, cell}
    if waits:
        return Undecided(max(spreads, default=None), min(waits), frozenset(unsure))
    return Undecided(max(widths, default=None), 0, frozenset(cells))
