"""What a run does, and in which order: cells, blocks, seeds and the time budget. Pure: no clock, no engine.

A block is every selected cell once, under one probe, in a freshly shuffled order. Blocks of different probes take
turns; the first block of every probe is always run, so a small budget gives fewer blocks, never fewer cells.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError

ENOUGH_BLOCKS = 60  # more would not change a verdict: the interval shrinks by the root of the number of blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """How often a probe runs. `blocks` is 1 for what is the same every time, None for as often as time allows.

    `guess` is the expected seconds for one visit, before any was seen. A probe `of_engine` has one visit a block,
    to the engine itself, which stands as the cell "".
    """

    name: str
    blocks: int | None
    guess: float
    of_engine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`budget` is seconds from the start of the run to its last block's end; None: until `blocks` are done.

    `blocks` bounds the blocks of every duration probe; None: as many as the budget gives.
    """

    cells: tuple[str, ...]
    probes: tuple[ProbePlan, ...]
    seed: int
    budget: float | None
    blocks: int | None

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise UsageError(f"{self.blocks} blocks measure nothing", where="--blocks", fix="Use 1 or more.")
        if self.budget is None and self.blocks is None:
            raise UsageError("neither a budget nor a number of blocks", fix="Give --budget 20m or --blocks 6.")
        if len(set(self.cells)) != len(self.cells):
            raise UsageError("a cell is in the plan twice")

    def order(self, probe: ProbePlan, block: int) -> tuple[str, ...]:
        """The cells in the order of this block: reproducible from the seed, independent between blocks."""
        if probe.of_engine:
            return ("",)
        cells = list(self.cells)
        random.Random(f"{self.seed}/{probe.name}/{block}").shuffle(cells)
        return tuple(cells)

    def limit(self, probe: ProbePlan) -> int:
        """How many blocks of this probe at most."""
        return min(bound for bound in (probe.blocks, self.blocks, ENOUGH_BLOCKS) if bound is not None)


@dataclass(frozen=True, slots=True)
class Block:
    probe: str
    index: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a probe so far.

    `done` counts complete blocks, `cost` is the seconds a block took (or is expected to take), `width` the median
    over its cells and headline metrics of the interval's width relative to the median; None before three blocks.
    """

    done: int
    cost: float
    width: float | None


_UNKNOWN_WIDTH = 1.0  # before an interval can be told, as if it were as wide as the median itself


def gain_per_second(progress: Progress) -> float:
    """How much the relative interval is expected to shrink per second of one more block.

    An interval over n blocks shrinks as 1/√n, so one more takes it to √(n/(n+1)) of its width.
    """
    width = _UNKNOWN_WIDTH if progress.width is None else progress.width
    n = max(progress.done, 1)
    return width * (1 - math.sqrt(n / (n + 1))) / max(progress.cost, 1e-3)


def next_block(plan: Plan, progress: Mapping[str, Progress], *, elapsed: float) -> Block | None:
    """The block to run now; None when the plan is done or no further block fits the budget.

    First every probe once, in the plan's order; then wherever the interval shrinks most per second.
    """
    for probe in plan.probes:
        if progress[probe.name].done == 0 and plan.limit(probe) > 0:
            return Block(probe.name, 0)
    left = math.inf if plan.budget is None else plan.budget - elapsed
    open_probes = [
        probe
        for probe in plan.probes
        if progress[probe.name].done < plan.limit(probe) and progress[probe.name].cost <= left
    ]
    if not open_probes:
        return None
    best = max(open_probes, key=lambda probe: gain_per_second(progress[probe.name]))
    return Block(best.name, progress[best.name].done)


def expected_seconds(plan: Plan, progress: Mapping[str, Progress], *, elapsed: float) -> float:
    """Seconds until the run ends, as expected now: the first blocks, then what the budget leaves."""
    first = sum(p.cost for name, p in progress.items() if p.done == 0)
    if plan.budget is not None and plan.blocks is None:
        return max(first, plan.budget - elapsed)
    rest = sum(
        max(plan.limit(probe) - max(progress[probe.name].done, 1), 0) * progress[probe.name].cost
        for probe in plan.probes
    )
    whole = first + rest
    return whole if plan.budget is None else max(first, min(whole, plan.budget - elapsed))


def parse_budget(text: str) -> float:
    """Seconds of "90s", "5m", "1h30m" or a plain number of seconds. Raises UsageError."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, digits = 0.0, ""
    for character in text.strip().lower():
        if character.isdigit() or character == ".":
            digits += character
        elif character in units and digits:
            total += _number(digits, text) * units[character]
            digits = ""
        else:
            raise _not_a_time(text)
    if digits:
        if total:
            raise _not_a_time(text)
        total = _number(digits, text)
    if not 0 < total < math.inf:
        raise _not_a_time(text)
    return total


def _number(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise _not_a_time(text) from None


def _not_a_time(text: str) -> UsageError:
    return UsageError(f"{text!r} is not a length of time", where="--budget", fix="Use 90s, 5m or 1h30m.")
