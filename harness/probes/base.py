"""What a probe is.

A probe measures one thing about a cell. Its `visit` yields pairs of a cache state and a call that measures it;
the runner waits for a quiet machine, makes the call, and records what it returns or how it failed. What a state
needs beforehand is done between the yields, outside the measurement; what must be undone afterwards, in `finally`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.lab.lab import Lab
from harness.model import Metric, Phase


@dataclass(frozen=True, slots=True)
class Reading:
    """What one measurement gave: one value per metric name, and the phases it consisted of.

    `artefacts` are documents to keep with the cell, by file name: what is worth more than a number.
    """

    values: Mapping[str, float]
    phases: tuple[Phase, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    artefacts: Mapping[str, bytes] = field(default_factory=dict)


Measurement = Callable[[], Reading]
Visit = Generator[tuple[str, Measurement]]


class Probe(ABC):
    """Measures one thing about a cell, in one or more cache states."""

    name: ClassVar[str]
    activity: ClassVar[str]  # where its time goes in the run's account: builds, pulls, starts, sizes
    rank: ClassVar[int]  # order of first blocks: what answers most for its time comes first
    metrics: ClassVar[tuple[Metric, ...]]
    states: ClassVar[tuple[str, ...]]  # in the order a visit yields them
    reports: ClassVar[Mapping[str, str]]  # the metric that stands for a state in the suite of benchmarks/
    guess: ClassVar[float]  # s one visit is expected to take, before any was seen
    blocks: ClassVar[int | None] = None  # 1 for what is the same every time; None: as many as the budget gives
    of_engine: ClassVar[bool] = False  # measures the engine itself, not a cell; its samples have the cell ""
    timed: ClassVar[bool] = True  # False: what else the machine does changes nothing, so cells are visited side by side
    of_image: ClassVar[bool] = False  # True: the same image gives the same that day, so it is kept with a kept image
    late: ClassVar[bool] = False  # True, of one that is not timed: asked for when the first answer is complete

    def begin(self, cells: Sequence[Prepared]) -> None:  # noqa: B027 - most have nothing to choose
        """Told once, when the cells of the run are prepared, for a probe that chooses among them."""

    def impossible(self, lab: Lab) -> str:  # noqa: ARG002 - for those that override it
        """Why this probe cannot measure in this lab; "" where it can."""
        return ""

    def settle(self, lab: Lab) -> Iterator[tuple[str, Mapping[str, bytes]]]:  # noqa: ARG002 - for those that override it
        """Documents to keep with cells (by id; by file name) that take long and no clock: asked for after the first
        block of every row."""
        yield from ()

    @abstractmethod
    def visit(self, lab: Lab, cell: Prepared | None) -> Visit:
        """One visit to a cell. `cell` is None only for a probe of the engine."""


class CellProbe(Probe):
    """A probe of cells."""

    def visit(self, lab: Lab, cell: Prepared | None) -> Visit:
        assert cell is not None
        return self.visit_cell(lab, cell)

    @abstractmethod
    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit: ...
