"""How a run stands: what is recorded, and by it what each row of the plan has, costs and still wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from harness.cell.prepare import Prepared
from harness.model import Status, Try
from harness.probes.base import Probe
from harness.run.plan import Block, Plan, Progress, Row
from harness.run.undecided import Outlook, outlook

GIVE_UP_AFTER = 2  # failed visits of a probe to a cell, in a row: a cell that hangs must not eat the budget


@dataclass(slots=True)
class Tally:
    """What is recorded so far: of earlier sessions at first, then of this one too."""

    tries: set[tuple[str, str, int, str]] = field(default_factory=set)  # cell, probe, block, state
    visits: set[tuple[str, str, int]] = field(default_factory=set)  # cell, probe, block: complete, or failed
    values: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)  # by cell and metric, then block
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)  # this session's visits, by cell, probe
    order: int = 0

    def add(self, try_: Try) -> None:
        self.order = max(self.order, try_.order + 1)
        self.tries.add((try_.cell, try_.probe, try_.block, try_.state))
        for metric, value in try_.values.items():
            self.values.setdefault((try_.cell, metric), {})[try_.block] = value

    @classmethod
    def of(cls, tries: Iterable[Try], probes: Iterable[Probe]) -> Tally:
        """A visit whose last state is recorded, or one of whose states failed, is complete."""
        last = {probe.name: probe.states[-1] for probe in probes}
        history = cls()
        for try_ in tries:
            history.add(try_)
            if try_.status is not Status.OK or try_.state == last.get(try_.probe):
                history.visits.add((try_.cell, try_.probe, try_.block))
        return history


class Standing:
    """How the rows of a plan stand. `history` and `prepared` grow while the plan is run."""

    def __init__(
        self, plan: Plan, probes: Mapping[str, Probe], history: Tally, prepared: Mapping[str, Prepared]
    ) -> None:
        self._plan = plan
        self._probes = probes
        self._history = history
        self._prepared = prepared
        self._outlooks: dict[Row, tuple[int, Outlook]] = {}  # with the blocks they were made of
        self._only: dict[Row, frozenset[str] | None] = {}  # the cells of the last block of a row; none: all
        self._failed: dict[tuple[str, str], int] = {}  # visits in a row, by cell and probe

    def begin(self, block: Block) -> None:
        """That block is run now."""
        self._only[block.row] = block.only

    def visited(self, key: tuple[str, str], succeeded: bool, seconds: float) -> None:
        """A probe's visit to a cell (`key`: cell, probe) has ended."""
        self._failed[key] = 0 if succeeded else self._failed.get(key, 0) + 1
        self._history.seconds.setdefault(key, []).append(seconds)

    def is_given_up(self, key: tuple[str, str]) -> bool:
        """Whether this probe's visits to this cell are no longer worth their time."""
        return self._failed.get(key, 0) >= GIVE_UP_AFTER

    def progress(self) -> Mapping[Row, Progress]:
        """Of every row that has a cell to measure."""
        rows = {row: self._cells_of(row) for row in self._plan.rows()}
        return {row: self._progress_of(row, cells) for row, cells in rows.items() if cells}

    def _cells_of(self, row: Row) -> list[str]:
        """All before the first is prepared; then those that could be."""
        cells = self._plan.members(row)
        return [cell for cell in cells if not cell or not self._prepared or cell in self._prepared]

    def _progress_of(self, row: Row, cells: Sequence[str]) -> Progress:
        probe, history = self._probes[row.probe], self._history
        done, before = self._done(row, cells), self._outlooks.get(row)
        if before is None or before[0] != done:
            alive = [cell for cell in cells if not self.is_given_up((cell, row.probe))]
            seen = outlook(history.values, alive, probe.metrics, precision=self._plan.precision)
            before = self._outlooks[row] = (done, seen)
        seen = before[1]
        visited = [cell for cell in cells if self._plan.budget is None or cell in seen.open] or cells
        cost = sum(self._seconds(cell, probe) for cell in visited)
        return Progress(done, cost, seen.width, seen.more, seen.open or None)

    def _done(self, row: Row, cells: Sequence[str]) -> int:
        """Complete blocks of a row. The last one begun is complete when each cell that it was to visit has been."""
        visits, planned = self._history.visits, self._only.get(row)
        begun = next(n for n in count() if not any((cell, row.probe, n) in visits for cell in cells))
        last = [cell for cell in cells if planned is None or cell in planned]
        return begun - any((cell, row.probe, begun - 1) not in visits for cell in last) if begun else 0

    def _seconds(self, cell: str, probe: Probe) -> float:
        """Expected for a visit: the mean of those to this cell, else of those to any, else the probe's guess."""
        seconds = self._history.seconds
        seen = seconds.get((cell, probe.name)) or [
            s for key, each in seconds.items() if key[1] == probe.name for s in each
        ]
        return sum(seen) / len(seen) if seen else probe.guess
