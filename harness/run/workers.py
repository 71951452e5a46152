"""Prepares cells side by side, while nothing is timed: build, verify, push, and measure what needs no clock.

Each worker has a test bed of its own, so that two apps never meet on a port. Results are handed over in the order in
which they are ready, and the thread that runs the plan records them.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from harness.cell.prepare import Prepared, Workshop
from harness.errors import TryFailed
from harness.lab.bases.bases import BaseImage
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.ledger import HARNESS
from harness.model import Cell
from harness.probes.base import Probe, Reading
from harness.run.visit import Attempt, Bench, attempt, visit

REMEDY = "remedy"  # the note of a cell that could be prepared only after a remedy
PREPARE = "prepare"  # not a probe: the record of building, verifying and pushing a cell
WORKERS = 3  # two build and compress, and one waits for the disk or for a start
_TICK = 1.0  # s between two looks at the queue
_PATIENCE = 10.0  # s that workers have to end their work after they were asked to stop


# What is made of a cell that cannot be prepared: another cell, and what it has that the first lacks. It is tried once.
_MOST_REMEDIES = 3  # headers to build with, the library to run with, a folder; more would be guessing
Mend = Callable[[Cell, TryFailed], tuple[Cell, str] | None]


@dataclass(frozen=True, slots=True)
class Done:
    """A try that a worker has made of a cell, with the prepared cell if the worker prepared it."""

    cell: Cell
    made: Attempt
    prepared: Prepared | None = None


@dataclass(frozen=True, slots=True)
class _Left:
    """A worker has ended; `error` is the error that ended it, if there was one."""

    error: Exception | None


class Crew:
    """Prepares `cells` with a few workers, except the cells of `ready`: they are prepared already and are only probed.

    `wanted` says which states of a probe a cell still needs, `rebuilds` whether cells will be built again. Iterate over
    `work()` to get the results; `spent` then holds the workers' seconds by activity. If the iteration ends early, for
    example by Ctrl-C, the workers stop.
    """

    def __init__(
        self,
        lab: Lab,
        state: RunState,
        cells: Sequence[Cell],
        probes: Sequence[Probe],
        wanted: Callable[[Probe, str], Sequence[str]],
        *,
        ready: Mapping[str, Prepared] | None = None,
        rebuilds: bool = False,
        workers: int = WORKERS,
        mend: Mend | None = None,
    ) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.under_way: dict[str, None] = {}  # ids of cells, in the order in which they were begun
        self._lab = lab
        self._state = state
        self._probes = probes
        self._wanted = wanted
        self._ready = ready or {}
        self._rebuilds = rebuilds
        self._mend = mend
        self._waiting = deque(sorted(cells, key=lambda cell: _weight(lab, cell), reverse=True))
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._done: queue.SimpleQueue[Done | _Left] = queue.SimpleQueue()
        count = max(min(workers, len(cells)), 1)
        self._threads = [
            threading.Thread(target=self._work, name=f"prepare {number}", daemon=True) for number in range(count)
        ]

    def work(self) -> Generator[Done | None]:
        """Results as they are ready; None about every second if there is none. Raises the error that ended a worker."""
        for thread in self._threads:
            thread.start()
        left = 0
        try:
            while left < len(self._threads):
                try:
                    item = self._done.get(timeout=_TICK)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(item, Done):
                    yield item
                elif item.error:
                    raise item.error
                else:
                    left += 1
        finally:
            self._stop.set()
            deadline = time.monotonic() + _PATIENCE
            for thread in self._threads:
                thread.join(max(deadline - time.monotonic(), 0.0))
            self._state.layers.forget()

    def _next(self) -> Cell | None:
        """The next cell; None if there is none left."""
        with self._guard:
            if not self._waiting or self._stop.is_set():
                return None
            cell = self._waiting.popleft()
            self.under_way[cell.id] = None
            return cell

    def _work(self) -> None:
        error: Exception | None = None
        try:
            with self._lab.apart() as lab:
                workshop = Workshop(lab, self._state, rebuilds=self._rebuilds)
                bench = Bench(lab=lab, state=self._state, workshop=workshop)
                while cell := self._next():
                    prepared = self._ready.get(cell.id) or self._prepare(bench, cell)
                    if prepared:
                        self._probe(bench, prepared)
                    self.under_way.pop(cell.id, None)
                with self._guard:
                    for activity, seconds in workshop.ledger.accounts().items():
                        self.spent[activity] += seconds
                    self.spent.pop(HARNESS, None)
        except Exception as caught:  # noqa: BLE001 - handed over, and raised where the plan runs
            error = caught
        self._done.put(_Left(error))

    def _prepare(self, bench: Bench, cell: Cell) -> Prepared | None:
        made: list[Prepared] = []

        def prepare() -> Reading:
            notes: dict[str, str] = {}
            tried, lacked = cell, list[str]()
            while not made:
                try:
                    made.append(bench.workshop.prepare(tried))
                except TryFailed as error:
                    mended = self._mend(tried, error) if self._mend and len(lacked) < _MOST_REMEDIES else None
                    if mended is None or mended[1] in lacked:
                        raise
                    tried = mended[0]
                    lacked.append(mended[1])
                    notes[REMEDY] = "; ".join(lacked)
            if kept := made[-1].kept:
                notes["image"] = f"built {time.ctime(kept)}, kept since"
            return Reading({}, notes=notes)

        done = attempt(bench.lab, cell.id, PREPARE, "image", 0, prepare)
        prepared = made[-1] if made else None
        self._done.put(Done(prepared.cell if prepared else cell, done, prepared))
        return prepared

    def _probe(self, bench: Bench, prepared: Prepared) -> None:
        """Every state that the probes still need, each probe until a state fails."""
        for probe in self._probes:
            wanted = self._wanted(probe, prepared.cell.id)
            if not wanted or self._stop.is_set():
                continue
            with (
                bench.workshop.ledger.spend(probe.activity),
                closing(visit(bench, probe, prepared, 0, wanted=wanted)) as v,
            ):
                for made in v:
                    self._done.put(Done(prepared.cell, made))


def _weight(lab: Lab, cell: Cell) -> tuple[bool, int, int]:
    """Larger for cells that take longer. They go first, so that no worker still has a long cell at the end.

    Cells that install their tools themselves take longest, then cells with the largest tools; a longer Dockerfile does
    more.
    """
    tools = sum(base.packed for role in cell.bases if isinstance(base := lab.bases[role], BaseImage))
    return len(cell.bases) == 1, tools, cell.dockerfile.stat().st_size
