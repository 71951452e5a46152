"""What a probe is.

A probe measures one thing about a cell. Its `visit` yields pairs of a cache state and a call that measures it;
the runner waits for a quiet machine, makes the call, and records what it returns or how it failed. What a state
needs beforehand is done between the yields, outside the measurement; what must be undone afterwards, in `finally`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from harness.lab import Lab
from harness.model import Metric, Phase
from harness.workshop import Prepared


@dataclass(frozen=True, slots=True)
class Reading:
    """What one measurement gave: one value per metric name, and the phases it consisted of."""

    values: Mapping[str, float]
    phases: tuple[Phase, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


Measurement = Callable[[], Reading]
Visit = Generator[tuple[str, Measurement]]


class Probe(Protocol):
    """`rank` orders first blocks: what answers most for its time comes first. `activity` names where its time goes in the run's account: builds, pulls, starts, sizes.

    `blocks` is 1 for what is the same every time, None for durations. `guess` is the seconds one visit is expected
    to take before any was seen. A probe `of_engine` measures the engine itself, through the tool image.
    """

    @property
    def name(self) -> str: ...
    @property
    def activity(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...
    @property
    def states(self) -> tuple[str, ...]: ...
    @property
    def blocks(self) -> int | None: ...
    @property
    def guess(self) -> float: ...
    @property
    def of_engine(self) -> bool: ...

    def impossible(self, lab: Lab) -> str:
        """Why this probe cannot measure in this lab; "" where it can."""
        ...

    def visit(self, lab: Lab, cell: Prepared) -> Visit: ...
