"""Tests the harness with samples whose true difference is known: a cell against itself, and the planner against a
simple plan.

Pure: stored samples in, counts out. Everything is drawn from real samples with a seeded generator, so that the noise
is the noise of a real machine and the answer is the same every time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.model import Cell, Metric
from harness.run.plan import ENOUGH_BLOCKS, Plan, ProbePlan, Row, RowProgress, next_block
from harness.run.undecided import Column, Undecided, undecided
from harness.stats.intervals import RATE, SMALLEST_DECIDABLE, Floats, Ratio, Verdict, confirm, ratio
from harness.store.run import Run, Series

CLAIMS = (Verdict.BETTER, Verdict.WORSE, Verdict.DIFFERENT)
TWINS = ("one", "two")
BLOCKS = (6, 8, 12, 20, 30)  # numbers of blocks of the tables that are drawn from stored samples
TABLES = 100  # of each
GOALS = (0.5, 0.3, 0.2, 0.15, 0.1)  # widths of an interval, as shares of the ratio

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


# ── the planner ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Race:
    """Samples that two plans took to the same confidence: no undecided comparison has an interval wider than `goal`,
    as a share of the ratio.

    `least` is the minimum of every plan: the blocks of all cells without which there is no interval.
    """

    goal: float
    comparisons: int
    least: int
    planned: int
    equal: int

    @property
    def share(self) -> float:
        return self.planned / self.equal

    @property
    def is_open(self) -> bool:
        """Whether any plan could need at most half of the samples."""
        return self.equal >= 2 * self.least


class _Replay:
    """Endless blocks, each a stored block that is drawn at random: the cells of a row stay together, as they were
    measured.
    """

    def __init__(self, samples: Samples, plan: Plan, metrics: Sequence[Metric], seed: int) -> None:
        self.plan = plan
        self.metrics = {row: [m for m in compared(metrics) if m.probe == row.probe] for row in plan.rows()}
        self._stored = {row: self._complete(samples, row) for row in plan.rows()}
        self._seed = seed

    def _complete(self, samples: Samples, row: Row) -> list[dict[tuple[str, str], float]]:
        keys = [(cell, metric.name) for cell in self.plan.members(row) for metric in self.metrics[row]]
        columns = {
            key: dict(zip(samples[key].block, samples[key].value, strict=True)) for key in keys if key in samples
        }
        if not columns:
            return []
        blocks = set.intersection(*(set(column) for column in columns.values()))
        return [{key: float(column[block]) for key, column in columns.items()} for block in sorted(blocks)]

    def block(self, row: Row, index: int, *, apart: bool) -> dict[tuple[str, str], float]:
        """`apart`: each cell's samples from a stored block of its own, as if it had been measured at another time."""
        stored = self._stored[row]
        chosen = np.random.default_rng([self._seed, index, *f"{row.probe} {row.app}".encode()])
        cells = self.plan.members(row)
        drawn = chosen.integers(len(stored), size=len(cells))
        return {key: stored[drawn[cells.index(key[0]) if apart else 0]][key] for key in stored[0]}

    def rows(self) -> list[Row]:
        """The cells with samples that can be replayed."""
        return [row for row in self.plan.rows() if len(self._stored[row]) >= 4]


class _Measured:
    """The samples of a plan so far in a replay; `apart`: the cells of a row one after the other, not in blocks."""

    def __init__(self, replay: _Replay, *, apart: bool) -> None:
        self._replay = replay
        self._precision = replay.plan.precision
        self._apart = apart
        self.done = Counter[Row]()
        self.taken = 0  # samples
        self.undecided: dict[Row, Undecided] = {}
        self._values: dict[tuple[str, str], dict[int, float]] = {}
        self.ratios: dict[Row, dict[tuple[str, str], Ratio]] = {}

    def take(self, row: Row, only: Collection[str] | None = None) -> None:
        """One more block of a row, of all its cells or of some."""
        for key, value in self._replay.block(row, self.done[row], apart=self._apart).items():
            if only is not None and key[0] not in only:
                continue
            self._values.setdefault(key, {})[self.done[row]] = value
            self.taken += 1
        self.done[row] += 1
        reference, *others = self._replay.plan.members(row)
        metrics = self._replay.metrics[row]
        self.undecided[row] = undecided(self._values, (reference, *others), metrics, precision=self._precision)
        self.ratios[row] = {
            (cell, metric.name): answer
            for metric in metrics
            for cell in others
            if (answer := self._ratio(reference, cell, metric))
        }

    def _ratio(self, reference: str, cell: str, metric: Metric) -> Ratio | None:
        pair = [self._values.get((name, metric.name)) for name in (reference, cell)]
        one, two = (None if values is None else Column.of(values) for values in pair)
        return None if one is None or two is None else ratio(one, two, direction=metric.direction)

    def widest(self) -> float:
        """The widest interval of a comparison that is undecided; 0 if all are decided, infinite if there is none."""
        open_ = [
            math.inf if item.low is None or item.high is None else (item.high - item.low) / item.estimate
            for ratios in self.ratios.values()
            for item in ratios.values()
            if item.verdict is Verdict.UNDECIDED
        ]
        return max(open_, default=0.0)

    def comparisons(self) -> int:
        return sum(map(len, self.ratios.values()))


def race(
    samples: Samples,
    metrics: Sequence[Metric],
    apps: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float],
    *,
    seed: int,
    goal: float,
) -> Race | None:
    """The planner against a plan that gives every cell the same number of samples, one cell after the other.

    Both replay the same stored blocks; in the equal plan the cells of a row are not of one block, as they are measured
    at different times. Only the smallest number of samples that reaches the goal is counted for it, as if the number
    had been known. None if it cannot reach the goal with the most blocks that a run would ever give. `apps` are cells
    by app, the reference first; `seconds` is the length of a visit by probe; probes without it are left out.
    """
    plan = Plan(
        cells=tuple(cell for members in apps.values() for cell in members),
        apps=tuple(app for app, members in apps.items() for _ in members),
        probes=tuple(ProbePlan(name=name, blocks=None, guess=cost) for name, cost in seconds.items()),
        seed=seed,
        budget=math.inf,
        blocks=ENOUGH_BLOCKS,
        precision=goal,
    )
    replay = _Replay(samples, plan, metrics, seed)
    equal, planned = _Measured(replay, apart=True), _Measured(replay, apart=False)
    for _ in range(ENOUGH_BLOCKS):
        for row in replay.rows():
            equal.take(row)
        if equal.widest() <= goal:
            break
    if not equal.comparisons() or equal.widest() > goal:
        return None
    while len(planned.done) < len(replay.rows()) or planned.widest() > goal:
        block = next_block(plan, _progress(planned, replay, seconds), elapsed=0.0)
        if block is None:
            break  # every row has all blocks that a run would ever give it
        planned.take(block.row, block.only)
    least = SMALLEST_DECIDABLE * equal.taken // max(equal.done.values())
    return Race(goal, equal.comparisons(), least, planned.taken, equal.taken)


def _progress(measured: _Measured, replay: _Replay, seconds: Mapping[str, float]) -> dict[Row, RowProgress]:
    found = {}
    for row in replay.rows():
        seen = measured.undecided.get(row, Undecided(None, 1, frozenset(replay.plan.members(row))))
        cost = seconds[row.probe] * len(seen.open)
        found[row] = RowProgress(measured.done[row], cost, seen.width, seen.more, seen.open)
    return found


def races(run: Run, *, seeds: Iterable[int], goals: Sequence[float] = GOALS) -> list[Race]:
    """Races over a stored run, with the seconds its own tries took."""
    spent: dict[str, list[float]] = {}
    visits: dict[str, set[tuple[str, int]]] = {}
    for try_ in run.tries():
        spent.setdefault(try_.probe, []).append(try_.seconds)
        visits.setdefault(try_.probe, set()).add((try_.cell, try_.block))
    wanted = compared(run.manifest.metrics)
    names = {metric.probe for metric in wanted if any(cell for cell, name in run.series() if name == metric.name)}
    seconds = {name: sum(spent[name]) / len(visits[name]) for name in spent if name in names}
    by_rank = sorted(run.manifest.cells, key=lambda cell: cell.rank)
    apps: dict[str, list[str]] = {}
    for cell in by_rank:
        apps.setdefault(cell.app, []).append(cell.id)
    found = (race(run.series(), wanted, apps, seconds, seed=seed, goal=goal) for goal in goals for seed in seeds)
    return [item for item in found if item is not None]
