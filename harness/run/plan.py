"""What a run does, and in which order: cells, blocks, seeds and the time budget. Pure: no clock, no engine.

A row is a group of cells that are compared: the cells of one app under one probe. A block is every cell of a row once,
in a freshly shuffled order. The first blocks are run app by app, so a small budget gives fewer blocks, and a very small
one fewer apps. Every further block goes to the row whose undecided comparison has the widest interval per second spent,
and within a budget visits only the cells that are still undecided, beside the reference.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.stats.intervals import PRACTICAL

ENOUGH_BLOCKS = 60  # more blocks would not change a verdict: the interval shrinks by the root of the number of blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """How often a probe runs. `blocks` is 1 for a probe whose result is the same every time, None for as often as time
    allows.

    `guess` is the expected seconds for one visit, before any was seen. A probe `of_engine` has one visit a block, to
    the engine itself, which stands as the cell "". `cells` are the cells that it visits; None: all cells of the plan.
    """

    name: str
    blocks: int | None
    guess: float
    of_engine: bool = False
    cells: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one app under one probe. A probe of the engine has one row, of the app ""."""

    probe: str
    app: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """What to measure after all blocks of a plan are done: these probes, until they have this number of blocks in
    total.
    """

    probes: frozenset[str]
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`budget` is seconds from the start of the run to its last block's end; None: until `blocks` are done.

    `apps` names the app of each cell, in the order of `cells`; empty: all are of one app, called "". `blocks` bounds
    the blocks of every row of a duration probe; None: as many as fit the budget. `precision` is a width, as a share of
    the ratio. An interval that is no wider is narrow enough even if it decides nothing: it then contains the practical
    threshold, and more blocks are hardly worth the time.
    """

    cells: tuple[str, ...]
    probes: tuple[ProbePlan, ...]
    seed: int
    budget: float | None
    blocks: int | None
    apps: tuple[str, ...] = ()
    precision: float = 2 * PRACTICAL

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise UsageError(f"{self.blocks} blocks measure nothing", where="--blocks", fix="Use at least 1.")
        if self.budget is None and self.blocks is None:
            raise UsageError(
                "neither a budget nor a number of blocks", fix="Set one, such as --budget 20m or --blocks 6."
            )
        if len(set(self.cells)) != len(self.cells):
            raise UsageError("a cell is in the plan twice")
        if self.apps and len(self.apps) != len(self.cells):
            raise UsageError("either every cell of a plan has an app, or no cell has one")

    def rows(self) -> tuple[Row, ...]:
        """By app, then probe: the order in which first blocks are run. A row of the engine comes with the first app."""
        found = []
        for number, app in enumerate(self.app_order()):
            for probe in self.probes:
                if not probe.of_engine:
                    found.append(Row(probe.name, app))
                elif not number:
                    found.append(Row(probe.name))
        return tuple(found)

    def app_order(self) -> tuple[str, ...]:
        """The apps in the order in which they are measured: each is finished before the next one is begun."""
        return tuple(dict.fromkeys(self.apps)) or ("",)

    def members(self, row: Row) -> tuple[str, ...]:
        """The cells of a row; the engine is the cell ""."""
        probe = next(probe for probe in self.probes if probe.name == row.probe)
        if probe.of_engine:
            return ("",)
        apps = self.apps or ("",) * len(self.cells)
        wanted = self.cells if probe.cells is None else probe.cells
        return tuple(c for c, app in zip(self.cells, apps, strict=True) if app == row.app and c in wanted)

    def order(self, block: Block) -> tuple[str, ...]:
        """The cells in the order of this block: reproducible from the seed, independent between blocks."""
        cells = [cell for cell in self.members(block.row) if block.only is None or cell in block.only]
        random.Random(f"{self.seed}/{block.row.probe}/{block.row.app}/{block.index}").shuffle(cells)
        return tuple(cells)

    def extended(self, further: Further) -> Plan:
        """The plan with further blocks of some probes. The other probes get no more."""
        probes = tuple(
            probe if probe.name in further.probes else replace(probe, blocks=self.limit(Row(probe.name)))
            for probe in self.probes
        )
        return replace(self, probes=probes, blocks=further.blocks)

    def limit(self, row: Row) -> int:
        """How many blocks of this row at most."""
        probe = next(probe for probe in self.probes if probe.name == row.probe)
        return min(bound for bound in (probe.blocks, self.blocks, ENOUGH_BLOCKS) if bound is not None)


@dataclass(frozen=True, slots=True)
class Block:
    """`only` are the cells that it visits; None: all cells of the row."""

    row: Row
    index: int
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class RowProgress:
    """The progress of a row.

    `done` counts complete blocks, `cost` is the seconds a block took (or is expected to take). `more` is about how many
    blocks it takes until its next comparison is decided, 0 if all are decided. `width` is the width of the widest
    interval of an undecided comparison, as a share of the ratio. If all comparisons are decided, it is the width of the
    widest interval of a median; None while there is no interval. `open` are the cells that a further block should
    visit; None: all cells.
    """

    done: int
    cost: float
    width: float | None
    more: int = 1
    open: frozenset[str] | None = None


_UNKNOWN_WIDTH = 1.0  # before there is an interval, as if it were as wide as the value itself


def width_per_second(progress: RowProgress) -> float:
    """The width of the interval ÷ the seconds that one more block takes."""
    width = _UNKNOWN_WIDTH if progress.width is None else progress.width
    return width / max(progress.cost, 1e-3)


def _to_go(progress: RowProgress, precision: float) -> int:
    """About how many blocks it takes until a comparison is decided, or until all are known to `precision`: widths fall
    with √n.
    """
    if progress.width is None or not progress.more:
        return progress.more
    narrow = math.ceil(progress.done * ((progress.width / precision) ** 2 - 1))
    return min(progress.more, max(narrow, 0))


def next_block(plan: Plan, progress: Mapping[Row, RowProgress], *, elapsed: float) -> Block | None:
    """The block to run now; None when the plan is done or no further block fits the budget.

    First comes every row once, in the plan's order. Then comes the row whose interval is widest per second, among the
    rows whose comparisons are neither decided nor known to the plan's precision and can be decided in the time left; if
    there are none, among all rows. Rows without progress are left out, and so is a row whose block would take longer
    than the time that is left.
    """
    left = math.inf if plan.budget is None else plan.budget - elapsed
    rows = [row for row in plan.rows() if row in progress and progress[row].done < plan.limit(row)]
    within = [row for row in rows if progress[row].cost <= left]
    for row in within:
        if progress[row].done == 0:
            return Block(row, 0)
    if not within:
        return None

    def attention(row: Row) -> tuple[bool, float]:
        known = progress[row]
        reach = min(left, (plan.limit(row) - known.done) * known.cost)
        return 0 < _to_go(known, plan.precision) * known.cost <= reach, width_per_second(known)

    best = max(within, key=attention)
    # a user who asks for a number of blocks gets them for every cell; a budget goes to undecided cells only
    return Block(best, progress[best].done, progress[best].open if plan.budget is not None else None)


def expected_seconds(plan: Plan, progress: Mapping[Row, RowProgress], *, elapsed: float) -> float:
    """Seconds until the run ends, as expected now: the first blocks, then the rest of the budget."""
    first = sum(known.cost for known in progress.values() if known.done == 0)
    if plan.budget is not None and plan.blocks is None:
        return max(plan.budget - elapsed, 0.0)
    rest = sum(max(plan.limit(row) - max(known.done, 1), 0) * known.cost for row, known in progress.items())
    whole = first + rest
    return whole if plan.budget is None else max(min(whole, plan.budget - elapsed), 0.0)


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
    return UsageError(f"{text!r} is not a length of time", where="--budget", fix="Use a time such as 90s, 5m or 1h30m.")
