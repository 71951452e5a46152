"""Executing a plan: prepare every cell, then block after block, every try on disk before the next one starts.

Nothing that goes wrong with one cell stops the others: a failed try is a record with its reason. What was
recorded before, in this run's earlier sessions, is not measured again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from harness.cell.prepare import Prepared, Workshop
from harness.errors import StoreError, TareError
from harness.host.quiet import PATIENCE, Quiet
from harness.lab.lab import Lab
from harness.ledger import Ledger
from harness.model import Cell, Status, Try
from harness.probes.base import Measurement, Probe, Reading
from harness.run.outcome import Outcome
from harness.run.plan import Block, Plan, expected_seconds, next_block
from harness.run.progress import Standing, Tally
from harness.run.provenance import source_record
from harness.run.workers import PREPARE, Crew, Done, EngineLost, require_engine
from harness.store.documents import SOURCE
from harness.store.run import RunWriter
from harness.text.display import Display, clock

LEAST_PATIENCE = 0.5  # s to wait for a machine that was not quiet the last times
PREPARE_GUESS = 20.0  # s for each cell to build, verify, push and look into all of them, before any was seen
KEPT_GUESS = 5.0  # s for each whose image is kept


class Runner:
    """Runs a plan over cells in a lab, into a run folder."""

    def __init__(
        self,
        *,
        lab: Lab,
        plan: Plan,
        probes: Sequence[Probe],
        cells: Sequence[Cell],
        writer: RunWriter,
        display: Display,
        ledger: Ledger,
        history: Tally | None = None,
        spent: float = 0.0,
    ) -> None:
        """`history` and `spent` (s) are of the run's earlier sessions."""
        self._lab = lab
        self._plan = plan
        self._probes = {probe.name: probe for probe in probes}
        self._cells = cells
        self._writer = writer
        self._display = display
        self._ledger = ledger
        self._history = history if history is not None else Tally()
        self._spent = spent
        self._workshop = Workshop(lab)
        self._prepared: dict[str, Prepared] = {}
        self._to_prepare = len(cells)
        self._prepare_guess = PREPARE_GUESS
        self._resumed = False  # with a first answer that an earlier session had completed
        self._settled = False
        self._preparing = 0.0  # s spent on the cells that are no longer to be prepared
        self._patience = PATIENCE
        self._standing = Standing(plan, self._probes, self._history, self._prepared)

    @property
    def prepared(self) -> Mapping[str, Prepared]:
        """The cells whose images could be made, by id."""
        return self._prepared

    def run(self) -> None:
        """Returns when the plan is done or the budget spent. KeyboardInterrupt passes through, nothing is lost."""
        self._prepare()
        if self._cells and not self._prepared:
            return  # every cell failed, and every reason is recorded
        for probe in self._probes.values():
            probe.begin(list(self._prepared.values()))
        rows = self._standing.progress().values()
        self._resumed = bool(rows) and all(row.done for row in rows)
        while block := next_block(self._plan, self._standing.progress(), elapsed=self._elapsed):
            if block.index and not self._settled:
                self._settle()
                continue  # which took time
            self._run_block(block)
        if not self._settled:
            self._settle()

    def _settle(self) -> None:
        """The first answer is complete; now what takes long and no clock."""
        if not self._resumed:
            self._display.say(f"{clock(self._elapsed)}: the first answer is complete")
        self._probe_late()
        for probe in self._probes.values():
            try:
                with self._ledger.spend(probe.activity):
                    for cell, documents in probe.settle(self._lab):
                        self._display.now(f"{probe.name}: comparing two builds of {cell}", self._left())
                        for file, data in documents.items():
                            self._writer.artefact(cell, file, data)
            except TareError as error:
                require_engine(self._lab, error)
                self._display.say(f"{probe.name}: {error}")
        self._settled = True

    def _probe_late(self) -> None:
        """What is measured without a clock and is not of the first answer, of cells side by side."""
        probes = [probe for probe in self._untimed() if probe.late]
        cells = [cell.cell for cell in self._prepared.values() if any(self._wanted(cell.cell, p) for p in probes)]
        if not cells:
            return
        names = " and ".join(probe.name for probe in probes)
        crew = Crew(self._lab, cells, probes, self._wanted, ready=self._prepared)
        with self._ledger.spend("late"), closing(crew.work()) as work:
            for done in work:
                if done:
                    self._take(done)
                self._display.now(f"{names}: {', '.join(crew.under_way)}", self._left())
        self._ledger.divide("late", crew.spent)

    def _untimed(self) -> list[Probe]:
        """Probes of the plan that are measured without a clock."""
        return [self._probes[plan.name] for plan in self._plan.probes if not self._probes[plan.name].timed]

    # ── preparing ──────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        """Every cell, side by side, and what of it is measured without a clock."""
        began = time.monotonic()
        if kept := sum(self._workshop.is_kept(cell) for cell in self._cells):
            self._prepare_guess += (KEPT_GUESS - PREPARE_GUESS) * kept / len(self._cells)
            sooner = clock(kept * (PREPARE_GUESS - KEPT_GUESS))
            self._display.say(
                f"images kept from earlier runs: {kept} of {len(self._cells)}, so the first complete answer comes "
                f"about {sooner} sooner (TARE_IMAGES=anew builds every image)"
            )
        at_once = [probe for probe in self._untimed() if not probe.late]
        rebuilds = any(probe.activity == "builds" for probe in self._probes.values())
        crew = Crew(self._lab, self._cells, at_once, self._wanted, rebuilds=rebuilds)
        with self._ledger.spend("preparing"), closing(crew.work()) as work:
            for done in work:
                if done:
                    self._take(done)
                    self._preparing = time.monotonic() - began
                doing = ", ".join(crew.under_way)
                self._display.now(f"prepare, {self._to_prepare} to go: {doing}", self._left())
        self._ledger.divide("preparing", crew.spent)

    def _wanted(self, cell: Cell, probe: Probe) -> list[str]:
        """The states of an untimed probe that this cell lacks."""
        return [state for state in probe.states if (cell.id, probe.name, 0, state) not in self._history.tries]

    def _take(self, done: Done) -> None:
        cell = done.cell
        self._record(cell.id, done.probe, done.state, 0, done.at, done.seconds, done.outcome)
        if done.probe != PREPARE:
            return
        self._to_prepare -= 1
        # a failed state is told by its record; the visit is over either way
        self._history.visits |= {(cell.id, probe.name, 0) for probe in self._untimed()}
        if prepared := done.prepared:
            self._prepared[cell.id] = prepared
            self._writer.artefact(cell.id, "Dockerfile", cell.dockerfile.read_bytes())
            self._writer.artefact(cell.id, "build.log", prepared.log)
            self._writer.artefact(cell.id, SOURCE, source_record(cell.app))
            self._writer.images({name: done.id for name, done in self._prepared.items()})
            how = (
                f"kept from {time.strftime('%H:%M', time.localtime(prepared.kept))}, verified"
                if prepared.kept
                else ("built, verified and pushed")
            )
            self._display.say(f"{cell.id}: {how} in {done.seconds:.0f} s")

    # ── blocks ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_block(self, block: Block) -> None:
        probe, row = self._probes[block.row.probe], block.row
        self._standing.begin(block)
        title = f"{row.probe} {row.app}".strip()
        began = time.monotonic()
        order = [name for name in self._plan.order(block) if probe.of_engine or name in self._prepared]
        for number, name in enumerate(order, 1):
            where = f"{title}, block {block.index + 1}: {name or 'engine'} ({number}/{len(order)})"
            self._display.now(where, self._left())
            self._visit(probe, name, block.index)
        self._display.block(f"{title}: block {block.index + 1}, {time.monotonic() - began:.0f} s", self._left())

    def _visit(self, probe: Probe, name: str, block: int) -> None:
        history, key = self._history, (name, probe.name)
        if (*key, block) in history.visits:
            return
        if not self._standing.is_given_up(key):
            began = time.monotonic()
            succeeded = self._measure(probe, name, block)
            self._standing.visited(key, succeeded, time.monotonic() - began)
        history.visits.add((*key, block))

    def _measure(self, probe: Probe, name: str, block: int) -> bool:
        """Every state of one visit, until one fails; whether none did."""
        wanted = [state for state in probe.states if (name, probe.name, block, state) not in self._history.tries]
        at, began = time.time(), time.monotonic()
        prepared = self._prepared.get(name)
        visit = probe.visit(self._lab, prepared)
        try:
            with self._ledger.spend(probe.activity), closing(visit):
                if prepared:
                    self._workshop.ensure(prepared)
                for state, measure in visit:
                    if not self._try(probe, name, state, block, measure, record=state in wanted):
                        return False
        except (StoreError, EngineLost):
            raise
        except (TareError, OSError) as error:
            # what a state needs beforehand failed: a node, a link, a base to pull
            require_engine(self._lab, error)
            missing = next((s for s in wanted if (name, probe.name, block, s) not in self._history.tries), wanted[0])
            self._record(name, probe.name, missing, block, at, time.monotonic() - began, Outcome.of(error))
            return False
        return True

    def _try(self, probe: Probe, cell: str, state: str, block: int, measure: Measurement, *, record: bool) -> bool:
        """Make one measurement and record it; whether it succeeded."""
        with self._ledger.spend("waiting"):
            quiet = self._lab.monitor.wait(self._patience)
        # a machine that does not become quiet is measured as it is, its load stored: waiting must not eat the budget
        self._patience = PATIENCE if quiet.quiet else max(self._patience / 2, LEAST_PATIENCE)
        at, began = time.time(), time.monotonic()
        try:
            outcome = Outcome(reading=measure())
        except TareError as error:
            require_engine(self._lab, error)
            outcome = Outcome.of(error)
        seconds = time.monotonic() - began
        self._lab.monitor.mark()
        if record:
            self._record(cell, probe.name, state, block, at, seconds, outcome, quiet)
        return outcome.status is Status.OK

    def _record(
        self,
        cell: str,
        probe: str,
        state: str,
        block: int,
        at: float,
        seconds: float,
        outcome: Outcome,
        quiet: Quiet | None = None,
    ) -> None:
        reading = outcome.reading or Reading({})
        try_ = Try(
            cell=cell,
            probe=probe,
            state=state,
            block=block,
            order=self._history.order,
            at=at,
            seconds=seconds,
            status=outcome.status,
            values=reading.values,
            phases=reading.phases,
            notes=reading.notes,
            reason=outcome.reason,
            log=outcome.log,
            load=quiet.load if quiet else 0.0,
            waited=quiet.waited if quiet else 0.0,
        )
        self._writer.append(try_)
        self._history.add(try_)
        for file, data in reading.artefacts.items():
            self._writer.artefact(cell, file, data)
        if outcome.status is not Status.OK:
            self._display.say(f"{cell or 'engine'}: {probe} {state}: {outcome.status}: {outcome.reason}")

    # ── what is known ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _elapsed(self) -> float:
        return self._spent + self._ledger.elapsed

    def _left(self) -> float:
        ready = len(self._cells) - self._to_prepare
        to_prepare = (self._preparing / ready if ready else self._prepare_guess) * self._to_prepare
        late = 0.0 if self._settled else sum(probe.guess for probe in self._untimed() if probe.late) * len(self._cells)
        before = to_prepare + late
        return expected_seconds(self._plan, self._standing.progress(), elapsed=self._elapsed + before) + before
