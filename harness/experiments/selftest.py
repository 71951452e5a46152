"""Tests the harness with samples whose true difference is known: a cell against itself.

Pure: stored samples in, counts out. Everything is drawn from real samples with a seeded generator, so that the noise
is the noise of a real machine and the answer is the same every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.model import Cell, Metric
from harness.run.undecided import Column
from harness.stats.intervals import RATE, Floats, Ratio, Verdict, confirm, ratio
from harness.store.run import Series

CLAIMS = (Verdict.BETTER, Verdict.WORSE, Verdict.DIFFERENT)
TWINS = ("one", "two")
BLOCKS = (6, 8, 12, 20, 30)  # numbers of blocks of the tables that are drawn from stored samples
TABLES = 100  # of each

Table = Mapping[tuple[str, str], Ratio]  # by cell and metric
Samples = Mapping[tuple[str, str], Series]


@dataclass(frozen=True, slots=True)
class Count:
    """The number of verdicts, and how many of them claim a difference."""

    verdicts: int = 0
    claims: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.verdicts + other.verdicts, self.claims + other.claims)

    @property
    def share(self) -> float:
        return self.claims / self.verdicts if self.verdicts else 0.0

    @property
    def passed(self) -> bool:
        return self.verdicts > 0 and self.share <= RATE


def count(table: Table) -> Count:
    return Count(len(table), sum(item.verdict in CLAIMS for item in table.values()))


def twins(cells: Iterable[Cell]) -> list[Cell]:
    """Each cell twice, under two names: an app of the cell's name with the strategies one and two."""
    found = []
    for cell in cells:
        app = replace(cell.app, name=cell.id, title=f"{cell.id}, twice the same")
        for rank, name in enumerate(TWINS):
            strategy = replace(cell.strategy, name=name, title=name.capitalize(), rank=rank)
            found.append(replace(cell, app=app, strategy=strategy))
    return found


def compared(metrics: Iterable[Metric]) -> list[Metric]:
    """The metrics whose verdicts come from statistics."""
    return [m for m in metrics if m.headline and not m.deterministic and m.has_ratio]


def _compare(pairs: Iterable[tuple[tuple[str, str], Floats, Floats]], metrics: Sequence[Metric]) -> Table:
    directions = {metric.name: metric.direction for metric in metrics}
    table = {}
    for key, first, second in pairs:
        blocks = np.arange(first.size, dtype=np.int32)
        answer = ratio(Column(first, blocks), Column(second, blocks), direction=directions[key[1]])
        if answer:
            table[key] = answer
    return confirm(table)


def relabelled(samples: Samples, metrics: Iterable[Metric], *, seed: int, tables: int = TABLES) -> Count:
    """Verdicts on twins that were measured in the same blocks, with the two exchanged at random within each block.

    Which of two equal cells is called one is chance, so each of these tables could have been the one measured.
    """
    wanted = compared(metrics)
    random = np.random.default_rng(seed)
    pairs: dict[tuple[str, str], tuple[Floats, Floats, NDArray[np.int32]]] = {}
    for (cell, name), first in samples.items():
        app, _, twin = cell.rpartition("-")
        second = samples.get((f"{app}-{TWINS[1]}", name))
        if twin == TWINS[0] and second is not None and any(metric.name == name for metric in wanted):
            blocks, left, right = np.intersect1d(first.block, second.block, return_indices=True)
            pairs[app, name] = first.value[left], second.value[right], blocks
    probes = {metric.name: metric.probe for metric in wanted}
    # the values of one visit to an app belong together and are exchanged together
    visits = {visit: row for row, visit in enumerate(dict.fromkeys((app, probes[name]) for app, name in pairs))}
    width = 1 + max((int(blocks.max(initial=0)) for _, _, blocks in pairs.values()), default=0)
    total = Count()
    for _ in range(tables):
        tosses = random.random((len(visits), width)) < 0.5
        drawn = []
        for (app, name), (one, two, blocks) in pairs.items():
            swap = tosses[visits[app, probes[name]], blocks]
            drawn.append(((app, name), np.where(swap, two, one), np.where(swap, one, two)))
        total += count(_compare(drawn, wanted))
    return total


def against_itself(
    samples: Samples, metrics: Iterable[Metric], *, seed: int, blocks: Sequence[int] = BLOCKS, tables: int = TABLES
) -> dict[int, Count]:
    """Verdicts by number of blocks: both sides of every comparison are drawn from the same stored samples.

    A pair is two different samples of one cell; the pairs of a table are drawn with replacement, because few runs have
    thirty blocks. Series of fewer than four samples are left out.
    """
    wanted = compared(metrics)
    random = np.random.default_rng(seed)
    names = {metric.name for metric in wanted}
    pools = {key: series.value for key, series in samples.items() if key[1] in names and series.value.size >= 4}
    found = {}
    for n in blocks:
        found[n] = Count()
        for _ in range(tables):
            found[n] += count(_compare((_pairs(key, pool, n, random) for key, pool in pools.items()), wanted))
    return found


def _pairs(
    key: tuple[str, str], pool: Floats, n: int, random: np.random.Generator
) -> tuple[tuple[str, str], Floats, Floats]:
    first = random.integers(0, pool.size, n)
    second = (first + random.integers(1, pool.size, n)) % pool.size
    return key, pool[first], pool[second]
