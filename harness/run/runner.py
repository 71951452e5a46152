"""Executing a plan: prepare every cell, then block after block, every try on disk before the next one starts.

Nothing that goes wrong with one cell stops the others: a failed try is a record with its reason. What was
recorded before, in this run's earlier sessions, is not measured again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from harness.cell.prepare import Prepared, Workshop
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.ledger import Ledger
from harness.model import Cell
from harness.probes.base import CellProbe, EngineProbe, Probe, When
from harness.run.pace import Pace
from harness.run.plan import Block, Plan, expected_seconds, next_block
from harness.run.progress import Progress
from harness.run.provenance import source_record
from harness.run.visit import Attempt, Bench, visit
from harness.run.workers import PREPARE, Crew, Done
from harness.store.documents import SOURCE
from harness.store.run import RunWriter
from harness.text.display import Display, clock

PREPARE_GUESS = 20.0  # s for each cell to build, verify, push and look into all of them, before any was seen
KEPT_GUESS = 5.0  # s for each whose image is kept
RUN = "run"  # the name under which documents of the run itself are kept, and of the engine


class Runner:
    """Runs a plan over cells in a lab, into a run folder."""

    def __init__(
        self,
        *,
        lab: Lab,
        state: RunState,
        plan: Plan,
        probes: Sequence[Probe],
        cells: Sequence[Cell],
        writer: RunWriter,
        display: Display,
        ledger: Ledger,
        progress: Progress,
        spent: float = 0.0,
    ) -> None:
        """`progress` and `spent` (s) know the run's earlier sessions."""
        self._lab = lab
        self._state = state
        self._plan = plan
        self._probes = {probe.name: probe for probe in probes}
        self._cells = {cell.id: cell for cell in cells}
        self._writer = writer
        self._display = display
        self._ledger = ledger
        self._progress = progress
        self._spent = spent
        self._workshop = Workshop(lab, state)
        self._bench = Bench(lab=lab, state=state, workshop=self._workshop)
        self._pace = Pace(lab.monitor, ledger)
        self._prepared: dict[str, Prepared] = {}
        self._planned = [self._probes[plan.name] for plan in plan.probes]
        self._to_prepare = len(cells) if any(isinstance(probe, CellProbe) for probe in self._planned) else 0
        self._prepare_guess = PREPARE_GUESS
        self._resumed = False  # with a first answer that an earlier session had completed
        self._settled = False
        self._preparing = 0.0  # s spent on the cells that are no longer to be prepared

    @property
    def prepared(self) -> Mapping[str, Prepared]:
        """The cells whose images could be made, by id."""
        return self._prepared

    def run(self) -> None:
        """Returns when the plan is done or the budget spent. KeyboardInterrupt passes through, nothing is lost."""
        if self._to_prepare:
            self._prepare()
            if not self._prepared:
                return  # every cell failed, and every reason is recorded
        for probe in self._probes.values():
            probe.begin(self._state, list(self._prepared.values()))
        rows = self._progress.rows().values()
        self._resumed = bool(rows) and all(row.done for row in rows)
        while block := next_block(self._plan, self._progress.rows(), elapsed=self._elapsed):
            if block.index and not self._settled:
                self._settle()
                continue  # which took time
            self._run_block(block)
        if not self._settled:
            self._settle()

    def _at(self, when: When) -> list[Probe]:
        """The probes of the plan that are measured then."""
        return [probe for probe in self._planned if probe.when is when]

    # ── preparing ──────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        """Every cell, side by side, and what of it is measured without a clock."""
        began = time.monotonic()
        cells = list(self._cells.values())
        if kept := sum(self._workshop.is_kept(cell) for cell in cells):
            self._prepare_guess += (KEPT_GUESS - PREPARE_GUESS) * kept / len(cells)
            sooner = clock(kept * (PREPARE_GUESS - KEPT_GUESS))
            self._display.say(
                f"images kept from earlier runs: {kept} of {len(cells)}, so the first complete answer comes "
                f"about {sooner} sooner (TARE_IMAGES=anew builds every image)"
            )
        rebuilds = any(probe.activity == "builds" for probe in self._probes.values())
        at_once = self._at(When.PREPARING)
        crew = Crew(self._lab, self._state, cells, at_once, self._progress.wanted, rebuilds=rebuilds)
        with self._ledger.spend("preparing"), closing(crew.work()) as work:
            for done in work:
                if done:
                    self._take(done)
                    self._preparing = time.monotonic() - began
                doing = ", ".join(crew.under_way)
                self._display.now(f"prepare, {self._to_prepare} to go: {doing}", self._left())
        self._ledger.divide("preparing", crew.spent)

    def _take(self, done: Done) -> None:
        """Record what a worker has done."""
        cell = done.cell
        self._record(done.made)
        if done.made.try_.probe != PREPARE:
            return
        self._to_prepare -= 1
        prepared = done.prepared
        if prepared is None:
            self._progress.drop(cell.id)
            return
        self._prepared[cell.id] = prepared
        self._writer.artefact(cell.id, "Dockerfile", cell.dockerfile.read_bytes())
        self._writer.artefact(cell.id, "build.log", prepared.log)
        self._writer.artefact(cell.id, SOURCE, source_record(cell))
        self._writer.images({name: done.id for name, done in self._prepared.items()})
        how = (
            f"kept from {time.strftime('%H:%M', time.localtime(prepared.kept))}, verified"
            if prepared.kept
            else "built, verified and pushed"
        )
        self._display.say(f"{cell.id}: {how} in {done.made.try_.seconds:.0f} s")

    # ── blocks ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_block(self, block: Block) -> None:
        probe, row = self._probes[block.row.probe], block.row
        self._progress.begin(block)
        title = f"{row.probe} {row.app}".strip()
        began = time.monotonic()
        order = [name for name in self._plan.order(block) if not isinstance(probe, CellProbe) or name in self._prepared]
        for number, name in enumerate(order, 1):
            where = f"{title}, block {block.index + 1}: {name or 'engine'} ({number}/{len(order)})"
            self._display.now(where, self._left())
            self._visit(probe, name, block.index)
        self._display.block(f"{title}: block {block.index + 1}, {time.monotonic() - began:.0f} s", self._left())

    def _visit(self, probe: Probe, name: str, block: int) -> None:
        progress = self._progress
        if progress.is_visited(name, probe.name, block):
            return
        if progress.is_given_up(name, probe.name):
            progress.visited(name, probe.name, block)
            return
        began = time.monotonic()
        subject = None if isinstance(probe, EngineProbe) else self._prepared.get(name) or self._cells[name]
        wanted = progress.wanted(probe, name, block)
        succeeded = True
        with (
            self._ledger.spend(probe.activity),
            closing(visit(self._bench, probe, subject, block, wanted=wanted, pace=self._pace)) as tries,
        ):
            for made in tries:
                self._record(made)
                succeeded = succeeded and made.succeeded
        progress.visited(name, probe.name, block, time.monotonic() - began, succeeded=succeeded)

    def _settle(self) -> None:
        """The first answer is complete; now what takes long and no clock, of cells side by side."""
        if not self._resumed:
            self._display.say(f"{clock(self._elapsed)}: the first answer is complete")
        probes = self._at(When.AFTER_FIRST_BLOCK)
        cells = [c.cell for c in self._prepared.values() if any(self._progress.wanted(p, c.cell.id) for p in probes)]
        self._settled = True
        if not cells:
            return
        names = " and ".join(probe.name for probe in probes)
        crew = Crew(self._lab, self._state, cells, probes, self._progress.wanted, ready=self._prepared)
        with self._ledger.spend("late"), closing(crew.work()) as work:
            for done in work:
                if done:
                    self._take(done)
                self._display.now(f"{names}: {', '.join(crew.under_way)}", self._left())
        self._ledger.divide("late", crew.spent)

    def _record(self, made: Attempt) -> None:
        """Put a try on disk, with its documents; say why it failed, if it did."""
        try_ = replace(made.try_, order=self._progress.order)
        self._writer.append(try_)
        self._progress.add(try_)
        for file, data in made.documents.items():
            self._writer.artefact(try_.cell or RUN, file, data)
        if not made.succeeded:
            self._display.say(f"{try_.cell or 'engine'}: {try_.probe} {try_.state}: {try_.status}: {try_.reason}")

    # ── what is known ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _elapsed(self) -> float:
        return self._spent + self._ledger.elapsed

    def _left(self) -> float:
        ready = len(self._cells) - self._to_prepare
        to_prepare = (self._preparing / ready if ready else self._prepare_guess) * self._to_prepare
        late = 0.0 if self._settled else sum(p.guess for p in self._at(When.AFTER_FIRST_BLOCK)) * len(self._cells)
        before = to_prepare + late
        return expected_seconds(self._plan, self._progress.rows(), elapsed=self._elapsed + before) + before
