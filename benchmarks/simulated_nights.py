"""Simulated nights: histories that the real `Nightly` runs, on a machine that computes.

Every night of every history is run by `harness.nights.nightly.Nightly`: it measures, judges by `watch`, compares images
and promotes them, from the first night to the last. Only the `NightBench` is a stand-in: it draws numbers instead of
starting containers. Each history has many cells with one series each, and all of it is seeded.

Noise is that of a night's median: independent; with 5 % of the nights 10–50 % too slow; or remembering the night before
(AR(1), ρ = 0.5). An A/B draws 12 pairs of samples, each with the same noise. Budgets are the built-in ones: 3 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.model import Direction, Metric, Unit
from harness.nights.budgets import default
from harness.nights.images import Good
from harness.nights.nightly import Nightly, Pairing
from harness.nights.records import NIGHTLY, PINNED, Confirmation, Key, Night, NightSeries
from harness.nights.watch import Watch, watch
from harness.stats.intervals import ratio
from harness.store.run import Series

SERIES = 100  # of one history
AUDIT = 7  # nights, as harness/nights/bench.py has it
PAIRS = 12
NOISE = 0.02
BASELINE = 30  # nights before the change
NOISES = ("independent", "5 % spikes", "AR(0.5)")
WARM = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="Simulated.")
FIRST, DAY = 1.7e9, 86400.0

Floats = NDArray[np.float64]


def noise(kind: str, random: np.random.Generator, nights: int, series: int = SERIES, size: float = NOISE) -> Floats:
    """Logarithms of nightly medians, series × nights, without any change."""
    base = random.normal(0, size, (series, nights))
    if kind == "AR(0.5)":
        for night in range(1, nights):
            base[:, night] = 0.5 * base[:, night - 1] + np.sqrt(0.75) * base[:, night]
    if kind == "5 % spikes":
        base += np.where(random.random(base.shape) < 0.05, np.log1p(random.uniform(0.1, 0.5, base.shape)), 0)
    return base


class Shelf:
    """The kept images of a track, in memory. An image's id is its cell and the night from which it is this one."""

    def __init__(self) -> None:
        self._good: dict[str, Good] = {}
        self._archives: dict[str, set[str]] = {}

    def put(self, cell: str, image: str) -> None:
        self._archives.setdefault(cell, set()).add(image)

    def good(self, cell: str) -> Good | None:
        return self._good.get(cell)

    def has(self, cell: str, image: str) -> bool:
        return image in self._archives.get(cell, ())

    def promote(self, cell: str, good: Good) -> None:
        self._good[cell] = good

    def prune(self, cell: str, wanted: set[str]) -> None:
        self._archives[cell] &= wanted | {self._good[cell].image} if cell in self._good else wanted


@dataclass
class SimulatedBench:
    """A `NightBench` that draws what it would have measured.

    `machine` are logarithms of how slow a night was (series × nights), `effect` those of how slow the image of a night
    is. `anew`: every night builds an image of another id; else only a change of the effect does. From the night `moved`
    on the environment is another one.
    """

    machine: Floats
    effect: Floats
    kind: str = "independent"
    sample_noise: float = NOISE
    anew: bool = True
    moved: int | None = None
    pairs: int = PAIRS
    seed: int = 5
    night: int = -1
    compared: list[tuple[int, str, str]] = field(default_factory=list)  # night, cell, why
    _shelf: Shelf = field(default_factory=Shelf)
    _confirmations: list[Confirmation] = field(default_factory=list)
    _drawn: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self.cells = tuple(f"c{number:03d}" for number in range(self.machine.shape[0]))
        self._index = {cell: place for place, cell in enumerate(self.cells)}
        self._median = np.exp(self.machine + self.effect)

    def measure(self, track: str) -> str:  # noqa: ARG002 - one track
        self.night += 1
        for cell, image in self.images(_run(self.night)).items():
            self._shelf.put(cell, image)
        return _run(self.night)

    def images(self, run: str) -> Mapping[str, str]:
        night = int(run[1:])
        if self.anew:
            return {cell: f"{cell}/{night}" for cell in self.cells}
        changed = np.ones((len(self.cells), night + 1), bool)
        changed[:, 1:] = np.diff(self.effect[:, : night + 1], axis=1) != 0
        since = night - np.argmax(changed[:, ::-1], axis=1)
        return {cell: f"{cell}/{since[place]}" for place, cell in enumerate(self.cells)}

    def compare(self, track: str, night: str, pairings: Sequence[Pairing], *, continues: str = "") -> str:  # noqa: ARG002
        run = f"{continues or f'ab{self.night}'}+"
        for pairing in pairings:
            if not continues:
                self._drawn[pairing.cell] = np.empty((2, 0))
            self.compared.append((self.night, pairing.cell, pairing.why))
            place = self._index[pairing.cell]
            drawn = []
            for image in (pairing.good.image, pairing.new):
                level = self.effect[place, int(image.partition("/")[2])]
                kind = "independent" if self.kind == "AR(0.5)" else self.kind
                drawn.append(np.exp(level + noise(kind, self._random, self.pairs, 1, self.sample_noise)[0]))
            both = self._drawn[pairing.cell] = np.concatenate([self._drawn[pairing.cell], np.array(drawn)], axis=1)
            blocks, times = np.arange(both.shape[1], dtype=np.int32), np.zeros(both.shape[1])
            good, new = (Series(values, blocks, blocks, times) for values in both)
            answer = ratio(good, new, direction=Direction.SMALLER)
            assert answer is not None
            self._confirmations.append(
                Confirmation(run=run, night=night, cell=pairing.cell, metric=WARM.name, ratio=answer)
            )
        return run

    def look(self) -> Watch:
        nights = [
            Night(
                run=_run(night),
                started=FIRST + night * DAY,
                fingerprint=self._environment(night),
                track=PINNED,
                git="",
                purpose=NIGHTLY,
            )
            for night in range(self.night + 1)
        ]
        began = [0] if self.moved is None or self.night < self.moved else [0, self.moved]
        ends = [*began[1:], self.night + 1]
        lines = [
            _line(cell, self._environment(begin), begin, self._median[place, begin:end])
            for begin, end in zip(began, ends, strict=True)
            for place, cell in enumerate(self.cells)
        ]
        return watch(lines, nights, budgets=(), confirmations=self._confirmations)

    def kept(self, track: str) -> Shelf:  # noqa: ARG002
        return self._shelf

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def _environment(self, night: int) -> str:
        return "before" if self.moved is None or night < self.moved else "after"


def _run(night: int) -> str:
    return f"n{night:04d}"


def _line(cell: str, environment: str, begin: int, median: Floats) -> NightSeries:
    count = median.size
    return NightSeries(
        key=Key(cell, WARM.name, environment, PINNED),
        metric=WARM,
        runs=tuple(_run(begin + place) for place in range(count)),
        at=FIRST + DAY * np.arange(begin, begin + count),
        n=np.full(count, 10),
        median=median,
        low=np.full(count, np.nan),
        high=np.full(count, np.nan),
    )


@dataclass(frozen=True)
class Course:
    """How a history went: whether an alarm was open (series × nights), and the A/Bs of each night by their reason."""

    alarm: NDArray[np.bool_]
    compared: Sequence[tuple[int, str, str]]

    def raised(self, begin: int = 0) -> int:
        """Alarms that were not open the night before, from a night on."""
        before = np.concatenate([np.zeros((self.alarm.shape[0], 1), bool), self.alarm[:, :-1]], axis=1)
        return int((self.alarm & ~before)[:, begin:].sum())

    def by_night(self, begin: int, nights: int) -> list[float]:
        """Share of series that alarmed in one of the nights from `begin` on."""
        known = np.maximum.accumulate(self.alarm[:, begin : begin + nights], axis=1)
        return [float(share) for share in known.mean(axis=0)]


def course(bench: SimulatedBench, *, audit: int = AUDIT) -> Course:
    """Every night of a history, decided by the real `Nightly`."""
    nightly = Nightly(bench, tracks=(PINNED,), audit=audit)
    rows = []
    for _ in range(bench.machine.shape[1]):
        found = nightly.run().found
        alarmed = {item.key.cell for item in found.series if item.alarm}
        rows.append([cell in alarmed for cell in bench.cells])
    return Course(np.array(rows).T, tuple(bench.compared))


def step(
    kind: str,
    change: float,
    *,
    size: float = NOISE,
    anew: bool = True,
    baseline: int = BASELINE,
    nights: int = 5,
    series: int = SERIES,
    hidden: bool = False,
) -> list[float]:
    """Share of series alarmed by the end of each night after a step. `hidden`: the same night changed the machine."""
    machine = noise(kind, np.random.default_rng(2), baseline + nights, series, size)
    effect = np.zeros_like(machine)
    effect[:, baseline:] = np.log1p(change)
    if hidden:
        machine[:, baseline:] -= np.log1p(0.08)
    bench = SimulatedBench(machine, effect, kind, size, anew, moved=baseline if hidden else None)
    return course(bench).by_night(baseline, nights)


def quiet(kind: str, *, size: float = NOISE, series: int = SERIES, nights: int = 60) -> tuple[float, float, float]:
    """Of 100 change-free series-nights: alarms raised, A/Bs of suspects, A/Bs that were only due."""
    machine = noise(kind, np.random.default_rng(1), nights, series, size)
    found = course(SimulatedBench(machine, np.zeros_like(machine), kind, size))
    per = 100 / (series * nights)
    suspects = sum(why == "suspect" for _, _, why in found.compared)
    return per * found.raised(), per * suspects, per * (len(found.compared) - suspects)


def creep(kind: str, rise: float, every: int, *, nights: int, series: int = SERIES) -> tuple[float, float, float]:
    """Shares alarmed while the sum is within the budget, by 1.5 × the budget, and the median sum at the alarm."""
    machine = noise(kind, np.random.default_rng(6), nights, series)
    sums = (1 + rise) ** (np.maximum(np.arange(nights) - BASELINE + every, 0) // every) - 1
    budget = default(WARM)
    assert budget is not None
    assert budget.growth is not None
    found = course(SimulatedBench(machine, np.tile(np.log1p(sums), (series, 1)), kind))
    first = np.where(found.alarm.any(axis=1), np.argmax(found.alarm, axis=1), nights - 1)
    at = np.where(found.alarm.any(axis=1), sums[first], np.inf)
    within, until = at <= budget.growth + 1e-9, at <= 1.5 * budget.growth + 1e-9
    return float(within.mean()), float(until.mean()), float(np.median(at))
