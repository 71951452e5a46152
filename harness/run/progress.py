"""How far a run has got: what is recorded, what each row of the plan has, what it costs, and what it still needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from harness.model import Status, Try
from harness.probes.base import Probe, When
from harness.run.plan import Block, Plan, Row, RowProgress
from harness.run.undecided import Undecided, undecided

GIVE_UP_AFTER = 2  # failed visits of a probe to a cell in a row: a cell that hangs must not use up the budget


class Progress:
    """What is recorded so far: first the tries of earlier sessions, then the tries of this session.

    A visit is complete if its last state is recorded or if a state has failed.
    """

    def __init__(
        self,
        plan: Plan,
        probes: Iterable[Probe],
        tries: Iterable[Try] = (),
        *,
        efforts: Mapping[str, float] | None = None,
        pairs: Mapping[str, str] | None = None,
    ) -> None:
        """`tries` are those of earlier sessions. `efforts` says how long a cell takes compared with others, by its id;
        without it, all cells count alike.
        """
        self._efforts = efforts or {}
        self._pairs = pairs or {}
        self._plan = plan
        self._probes = {probe.name: probe for probe in probes}
        self._tries: set[tuple[str, str, int, str]] = set()  # cell, probe, block, state
        self._visits: set[tuple[str, str, int]] = set()  # cell, probe, block
        self._values: dict[tuple[str, str], dict[int, float]] = {}  # by cell and metric, then block
        self._seconds: dict[tuple[str, str], list[float]] = {}  # this session's visits, by cell and probe
        self._failed: dict[tuple[str, str], int] = {}  # failed visits in a row, by cell and probe
        self._dropped: set[str] = set()
        self._only: dict[Row, frozenset[str] | None] = {}  # the cells of the last block of a row; None: all cells
        self._undecided: dict[Row, tuple[int, Undecided]] = {}  # with the number of blocks that they were made from
        self._order = 0
        for try_ in tries:
            self.add(try_)
            last = self._probes[try_.probe].states[-1] if try_.probe in self._probes else ""
            if try_.status is not Status.OK or try_.state == last:
                self._visits.add((try_.cell, try_.probe, try_.block))

    # ── recording ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def order(self) -> int:
        """The position in the run of the next try."""
        return self._order

    def add(self, try_: Try) -> None:
        """A try has been recorded."""
        self._order = max(self._order, try_.order + 1)
        self._tries.add((try_.cell, try_.probe, try_.block, try_.state))
        for metric, value in try_.values.items():
            self._values.setdefault((try_.cell, metric), {})[try_.block] = value

    def drop(self, cell: str) -> None:
        """A cell could not be prepared: no row waits for it."""
        self._dropped.add(cell)

    def is_dropped(self, cell: str) -> bool:
        """Whether the cell could not be prepared."""
        return cell in self._dropped

    def begin(self, block: Block) -> None:
        """This block is run now."""
        self._only[block.row] = block.only

    def visited(
        self, cell: str, probe: str, block: int, seconds: float | None = None, *, succeeded: bool = True
    ) -> None:
        """A visit has ended. `seconds` is its length; None if it was skipped because it is no longer worth its time."""
        key = cell, probe
        self._visits.add((*key, block))
        if seconds is not None:
            self._failed[key] = 0 if succeeded else self._failed.get(key, 0) + 1
            self._seconds.setdefault(key, []).append(seconds)

    # ── what is still needed ─────────────────────────────────────────────────────────────────────────────────────────

    def wanted(self, probe: Probe, cell: str, block: int = 0) -> list[str]:
        """The states of a visit that are not recorded yet."""
        return [state for state in probe.states if (cell, probe.name, block, state) not in self._tries]

    def is_visited(self, cell: str, probe: str, block: int) -> bool:
        return (cell, probe, block) in self._visits

    def is_given_up(self, cell: str, probe: str) -> bool:
        """Whether this probe's visits to this cell are no longer worth their time."""
        return self._failed.get((cell, probe), 0) >= GIVE_UP_AFTER

    # ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> Mapping[Row, RowProgress]:
        """Every row that is measured in blocks and has a cell to measure."""
        timed = [row for row in self._plan.rows() if self._probes[row.probe].when is When.TIMED]
        rows = {row: [cell for cell in self._plan.members(row) if cell not in self._dropped] for row in timed}
        return {row: self._row(row, cells) for row, cells in rows.items() if cells}

    def _row(self, row: Row, cells: Sequence[str]) -> RowProgress:
        probe = self._probes[row.probe]
        done, before = self._done(row, cells), self._undecided.get(row)
        if before is None or before[0] != done:
            alive = [cell for cell in cells if not self.is_given_up(cell, row.probe)]
            seen = undecided(self._values, alive, probe.metrics, precision=self._plan.precision, pairs=self._pairs)
            before = self._undecided[row] = (done, seen)
        seen = before[1]
        visited = [cell for cell in cells if self._plan.budget is None or cell in seen.open] or cells
        cost = sum(self.seconds(cell, probe) for cell in visited)
        return RowProgress(done, cost, seen.width, seen.more, seen.open or None)

    def _done(self, row: Row, cells: Sequence[str]) -> int:
        """Complete blocks of a row. The last block is complete once each of its cells has been visited."""
        visits, planned = self._visits, self._only.get(row)
        begun = next(n for n in count() if not any((cell, row.probe, n) in visits for cell in cells))
        last = [cell for cell in cells if planned is None or cell in planned]
        return begun - any((cell, row.probe, begun - 1) not in visits for cell in last) if begun else 0

    def seconds(self, cell: str, probe: Probe) -> float:
        """Expected seconds of a visit: the mean of the visits to this cell. Without one, the mean of visits to all
        cells, scaled by effort. Without any, the probe's guess, scaled by how much slower or faster than guessed this
        machine has been.
        """
        seen = self._seconds.get((cell, probe.name))
        if seen:
            return sum(seen) / len(seen)
        of_probe = {key[0]: each for key, each in self._seconds.items() if key[1] == probe.name}
        others = [(second, self.effort(other)) for other, each in of_probe.items() for second in each]
        if others:
            return self.effort(cell) * sum(second for second, _ in others) / sum(effort for _, effort in others)
        return probe.guess * self.effort(cell) * self._slowness()

    def effort(self, cell: str) -> float:
        """How long a cell takes, compared with others."""
        return self._efforts.get(cell, 1.0)

    def _slowness(self) -> float:
        """The seconds that visits have taken ÷ the seconds that were guessed."""
        taken = guessed = 0.0
        for (cell, name), each in self._seconds.items():
            taken += sum(each)
            guessed += self._probes[name].guess * self.effort(cell) * len(each)
        return taken / guessed if guessed else 1.0
