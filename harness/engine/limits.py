"""What a container or a build of a cell may take. A cell that takes more fails, and harms nothing but itself.

The limits are large, so that they change no measurement of an honest app. They are stored with the plan of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

_SHARE = 0.75  # of the engine's memory: the rest is for the engine, the registry and Tare
_SHORTEST_BUILD = 300.0  # s


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory` in B (0: no limit), number of `processes` and threads, B of `log` that the engine keeps of a container,
    s that a `build` may take.
    """

    memory: int = 0
    processes: int = 4096
    log: int = 16 << 20
    build: float = 1800.0

    @classmethod
    def of(cls, memory: int, budget: float | None) -> Self:
        """The limits on an engine with this memory (B), in a run with this budget (s, None: without one)."""
        build = cls().build if budget is None else min(max(budget, _SHORTEST_BUILD), cls().build)
        return cls(memory=int(memory * _SHARE), build=build)
