"""What a probe is.

A probe measures one thing about a cell. Its visit yields pairs of a cache state and a call that measures it; the runner
waits for a quiet machine, makes the call, and records what it returns or how it failed. The preparation of a state
happens between the yields, outside the measurement; the clean-up happens in `finally`.

A probe is one of four kinds, by what it measures:

    CellProbe     the image of a cell, or a container of it
    ImageProbe    what depends on the image alone: read while cells are prepared, and kept with a kept image
    SourceProbe   a cell as it is written: nothing is built, started or pushed beforehand
    EngineProbe   the engine itself, not a cell; its samples have the cell ""
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.lab.lab import Lab
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.model import Cell, Metric, Phase


def not_measured(reason: str, metrics: Iterable[Metric]) -> dict[str, str]:
    """These metrics, each with the reason; empty if there is no reason."""
    return {metric.name: reason for metric in metrics} if reason else {}


class When(Enum):
    """When a probe is measured."""

    PREPARING = "while cells are prepared, side by side: other load does not change the result"
    TIMED = "in blocks, while nothing else runs"
    AFTER_FIRST_BLOCK = "side by side, once every timed probe has its first block: it takes long and needs no clock"


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one measurement: one value per metric name, and its phases.

    `artefacts` are documents to keep with the cell, by file name.
    """

    values: Mapping[str, float]
    phases: tuple[Phase, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    artefacts: Mapping[str, bytes] = field(default_factory=dict)


Measurement = Callable[[], Reading]
Visit = Generator[tuple[str, Measurement]]


class Probe(ABC):
    """Measures one thing, in one or more cache states."""

    name: ClassVar[str]
    activity: ClassVar[str]  # its account in the run's ledger: builds, pulls, starts, sizes
    rank: ClassVar[int]  # order of first blocks: the probe that answers most for its time comes first
    metrics: ClassVar[tuple[Metric, ...]]
    states: ClassVar[tuple[str, ...]]  # in the order in which a visit yields them
    reports: ClassVar[Mapping[str, str]]  # the metric that stands for a state in the suite of benchmarks/
    guess: ClassVar[float]  # expected seconds of a visit, before the first visit
    when: ClassVar[When] = When.TIMED
    blocks: ClassVar[int | None] = None  # 1 if the result is the same every time; None: as many as the budget gives
    # the probe that this probe belongs to: if that probe is selected, this one is selected too
    beside: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Each metric carries the probe that yields it."""
        if "metrics" in cls.__dict__:
            cls.metrics = tuple(replace(each, probe=cls.name, group=each.group or cls.name) for each in cls.metrics)

    def begin(self, state: RunState, cells: Sequence[Prepared]) -> None:  # noqa: B027 - most have nothing to choose
        """Called when cells are prepared, before the first of them is visited: for a probe that chooses among them."""

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:  # noqa: ARG002 - for those that override it
        """The metrics that cannot be measured with an engine, each with the reason."""
        return {}

    def impossible(self, lab: Lab) -> str:
        """Why this probe cannot measure anything; "" if it can."""
        absent = self.unmeasured(lab.reach)
        whole = bool(self.metrics) and all(metric.name in absent for metric in self.metrics)
        return "; ".join(dict.fromkeys(absent.values())) if whole else ""


class CellProbe(Probe):
    """A probe of prepared cells."""

    @abstractmethod
    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        """One visit to a cell."""


class ImageProbe(CellProbe):
    """A probe of images alone: the same image gives the same reading on the same day, so the reading is kept with the
    image.
    """

    when = When.PREPARING
    blocks = 1
    guess = 0.0  # it is part of the preparation of a cell


class SourceProbe(Probe):
    """A probe of cells as they are written."""

    @abstractmethod
    def visit_source(self, lab: Lab, state: RunState, cell: Cell) -> Visit:
        """One visit to a cell that was not built."""


class EngineProbe(Probe):
    """A probe of the engine."""

    @abstractmethod
    def visit_engine(self, lab: Lab, state: RunState) -> Visit:
        """One visit to the engine."""
