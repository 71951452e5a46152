"""What the samples of a row say so far: how wide its intervals are, and whether its comparisons are decided. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model import Metric, Unit
from harness.statistics import SMALLEST_DECIDABLE, Floats, Verdict, ratio, relative_width, summarise

Samples = Mapping[tuple[str, str], Mapping[int, float]]  # by cell and metric: value by block


@dataclass(frozen=True, slots=True)
class Column:
    """Samples with their blocks."""

    value: Floats
    block: NDArray[np.int32]

    @classmethod
    def of(cls, samples: Mapping[int, float]) -> Column:
        return cls(np.fromiter(samples.values(), np.float64), np.fromiter(samples.keys(), np.int32))


def outlook(samples: Samples, cells: Sequence[str], metrics: Sequence[Metric]) -> tuple[float | None, int]:
    """`width` and `more` of harness.plan.Progress for the headline metrics of `metrics`.

    The first of `cells` with samples is the reference, as in the tables. Without a comparison (one cell, or the
    engine) a row is decided once its intervals are known.
    """
    spreads: list[float] = []
    widths: list[float] = []
    waits: list[int] = []
    for metric in metrics:
        if not metric.headline:
            continue
        found = [Column.of(samples[cell, metric.name]) for cell in cells if (cell, metric.name) in samples]
        summaries = [summarise(column.value, deterministic=metric.deterministic) for column in found]
        widths += [relative_width(summary) for summary in summaries if summary.low is not None]
        waits += [SMALLEST_DECIDABLE - summary.n for summary in summaries if summary.low is None]
        if metric.unit in (Unit.BOOLEAN, Unit.RATIO):
            continue
        for column in found[1:]:
            answer = ratio(found[0], column, direction=metric.direction, deterministic=metric.deterministic)
            if answer is None or answer.verdict is not Verdict.UNDECIDED:
                continue
            waits.append(answer.more)
            if answer.low is not None and answer.high is not None:
                spreads.append((answer.high - answer.low) / answer.estimate)
    if waits:
        return max(spreads, default=None), min(waits)
    return max(widths, default=None), 0
