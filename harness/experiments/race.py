"""The planner against a simple plan, on stored samples: how many samples each takes to the same confidence. Pure.

Blocks are drawn from real samples with a seeded generator, as in harness/experiments/selftest.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.experiments.selftest import Samples, compared
from harness.model import Metric
from harness.run.plan import ENOUGH_BLOCKS, Plan, ProbePlan, Row, RowProgress, next_block
from harness.run.undecided import Column, Undecided, undecided
from harness.stats.intervals import SMALLEST_DECIDABLE, Ratio, Verdict, ratio
from harness.store.run import Run

GOALS = (0.5, 0.3, 0.2, 0.15, 0.1)  # widths of an interval, as shares of the ratio


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
