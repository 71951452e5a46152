"""Preparing cells side by side, while nothing is timed: build, verify, push, and measure what needs no clock.

Each worker has a test bed of its own, so that two apps never meet on a port. What a worker has done is handed over in
the order it ends, to be recorded by the thread that runs the plan.
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
from harness.errors import EngineError, EngineUnavailable, TareError
from harness.lab.bases.bases import BaseImage
from harness.lab.lab import Lab
from harness.ledger import HARNESS
from harness.model import Cell
from harness.probes.base import Probe, Reading
from harness.run.kept_readings import keep, recall
from harness.run.outcome import Outcome

PREPARE = "prepare"  # not a probe: the record of building, verifying and pushing a cell
WORKERS = 3  # two cores' worth of building and compressing, and one to wait for the disk or a start
_TICK = 1.0  # s between looks of who waits
_PATIENCE = 10.0  # s for workers to end what they are at once they are told to stop


@dataclass(frozen=True, slots=True)
class Done:
    """One thing a worker has ended: preparing a cell (`probe` is PREPARE), or one state of an untimed probe."""

    cell: Cell
    probe: str
    state: str
    at: float  # Unix time it began, s
    seconds: float
    outcome: Outcome
    prepared: Prepared | None = None


@dataclass(frozen=True, slots=True)
class _Left:
    """A worker has ended, with the error that ended it where one did."""

    error: Exception | None


class Crew:
    """Prepares `cells` with a few workers, but for those of `ready`, which are prepared already and only probed.

    `wanted` says which states of a probe a cell still needs, `rebuilds` whether cells will be built again.
    Iterate over `work()` to get what is done; `spent` then holds the workers' seconds by activity. Leaving the
    iteration early, by Ctrl-C too, stops the workers.
    """

    def __init__(
        self,
        lab: Lab,
        cells: Sequence[Cell],
        probes: Sequence[Probe],
        wanted: Callable[[Cell, Probe], Sequence[str]],
        *,
        ready: Mapping[str, Prepared] | None = None,
        rebuilds: bool = False,
        workers: int = WORKERS,
    ) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.under_way: dict[str, None] = {}  # ids of cells, in the order they were begun
        self._lab = lab
        self._probes = probes
        self._wanted = wanted
        self._ready = ready or {}
        self._rebuilds = rebuilds
        self._waiting = deque(sorted(cells, key=lambda cell: _weight(lab, cell), reverse=True))
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._done: queue.SimpleQueue[Done | _Left] = queue.SimpleQueue()
        count = max(min(workers, len(cells)), 1)
        self._threads = [
            threading.Thread(target=self._work, name=f"prepare {number}", daemon=True) for number in range(count)
        ]

    def work(self) -> Generator[Done | None]:
        """What is done, as it is done; None about every second in which nothing was. Raises what ended a worker."""
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

    def _next(self) -> Cell | None:
        """The next cell; None where there is none left."""
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
                workshop = Workshop(lab, rebuilds=self._rebuilds)
                while cell := self._next():
                    prepared = self._ready.get(cell.id) or self._prepare(lab, workshop, cell)
                    if prepared:
                        self._probe(lab, workshop, prepared)
                    self.under_way.pop(cell.id, None)
                with self._guard:
                    for activity, seconds in workshop.ledger.accounts().items():
                        self.spent[activity] += seconds
                    self.spent.pop(HARNESS, None)
        except Exception as caught:  # noqa: BLE001 - handed over, and raised where the plan runs
            error = caught
        self._done.put(_Left(error))

    def _prepare(self, lab: Lab, workshop: Workshop, cell: Cell) -> Prepared | None:
        at, began = time.time(), time.monotonic()
        prepared, outcome = None, Outcome()
        try:
            prepared = workshop.prepare(cell)
            if prepared.kept:
                outcome = Outcome(
                    reading=Reading({}, notes={"image": f"built {time.ctime(prepared.kept)}, kept since"})
                )
        except TareError as error:
            require_engine(lab, error)
            outcome = Outcome.of(error)
        self._done.put(Done(cell, PREPARE, "image", at, time.monotonic() - began, outcome, prepared))
        return prepared

    def _probe(self, lab: Lab, workshop: Workshop, prepared: Prepared) -> None:
        for probe in self._probes:
            with workshop.ledger.spend(probe.activity):
                self._measure(lab, workshop, probe, prepared)

    def _measure(self, lab: Lab, workshop: Workshop, probe: Probe, prepared: Prepared) -> None:
        """Every state of an untimed probe that is still wanted, until one fails."""
        cell = prepared.cell
        wanted = self._wanted(cell, probe)
        if not wanted:
            return
        at, began, state = time.time(), time.monotonic(), wanted[0]
        try:
            workshop.ensure(prepared)
            with closing(probe.visit(lab, prepared)) as visit:
                for state, measure in visit:
                    at, began = time.time(), time.monotonic()
                    reading = recall(lab.shelf, prepared, probe, state)
                    if not reading:
                        reading = measure()
                        keep(lab.shelf, prepared, probe, state, reading)
                    if state in wanted:
                        outcome = Outcome(reading=reading)
                        self._done.put(Done(cell, probe.name, state, at, time.monotonic() - began, outcome))
        except (TareError, OSError) as error:
            require_engine(lab, error)
            self._done.put(Done(cell, probe.name, state, at, time.monotonic() - began, Outcome.of(error)))


def _weight(lab: Lab, cell: Cell) -> tuple[bool, int, int]:
    """Larger for what takes longer, which goes first, so that no worker is left with it at the end.

    What installs its tools by itself takes longest, then what has the largest ones; a Dockerfile that says more does
    more.
    """
    tools = sum(base.packed for role in cell.bases if isinstance(base := lab.bases[role], BaseImage))
    return len(cell.bases) == 1, tools, cell.dockerfile.stat().st_size


class EngineLost(EngineUnavailable):
    """The engine of the run has gone; the run ends, to be resumed."""


def require_engine(lab: Lab, error: Exception) -> None:
    """After a failure: go on only with an engine that still answers, or every cell would fail for its absence."""
    try:
        lab.engine.containers()
    except EngineError as silence:
        raise EngineLost(f"the engine no longer answers: {silence}", fix="Read the engine's log.") from error
