"""Executes a plan, app by app: the app's cells are prepared, every probe measures its first block, and the app's table
is written. Then further blocks go to the rows that need them. Every try is on disk before the next one starts.

A failure of one cell does not stop the others: a failed try is a record with its reason. Tries that earlier sessions of
this run recorded are not measured again. While anything is timed, nothing else runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from harness.cell.prepare import Prepared, Workshop
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.ledger import Ledger
from harness.model import Cell
from harness.probes.base import CellProbe, EngineProbe, Probe, When
from harness.run.pace import Pace
from harness.run.plan import Block, Further, Plan, Row, RowProgress, expected_seconds, next_block
from harness.run.progress import Progress
from harness.run.provenance import bases_record, source_record
from harness.run.visit import Attempt, Bench, visit
from harness.run.workers import PREPARE, Crew, Done, Mend
from harness.store.documents import BASES, SOURCE
from harness.store.writer import RunWriter
from harness.text.display import Display, clock

PREPARE_GUESS = 20.0  # s to build, verify, push and examine a cell of effort 1, before any cell has been prepared
RUN = "run"  # the name under which documents of the run itself and of the engine are kept


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
        report: Callable[[str], None] | None = None,
        further: Callable[[], Further | None] | None = None,
        mend: Mend | None = None,
    ) -> None:
        """`progress` knows the run's earlier sessions. `report` is called with the name of an app once its rows are
        measured; for the first app also before the probe that takes longest.
        """
        self._lab = lab
        self._state = state
        self._plan = plan
        self._probes = {probe.name: probe for probe in probes}
        self._cells = {cell.id: cell for cell in cells}
        self._writer = writer
        self._display = display
        self._ledger = ledger
        self._progress = progress
        self._report = report or (lambda _: None)
        self._further = further or (lambda: None)
        self._mend = mend
        self._workshop = Workshop(lab, state)
        self._bench = Bench(lab=lab, state=state, workshop=self._workshop)
        self._pace = Pace(lab.monitor, ledger)
        self._prepared: dict[str, Prepared] = {}
        self._planned = [self._probes[plan.name] for plan in plan.probes]
        self._needs_images = any(isinstance(probe, CellProbe) for probe in self._planned)
        self._apps = plan.app_order()
        names = plan.apps or ("",) * len(plan.cells)
        self._cells_of = {
            app: [self._cells[c] for c, of in zip(plan.cells, names, strict=True) if of == app] for app in self._apps
        }
        self._to_prepare = dict.fromkeys(self._cells) if self._needs_images else {}
        self._opened: set[str] = set()  # apps whose cells were prepared, as far as possible
        self._finished: set[str] = set()  # apps whose first block is complete, and the work after it
        self._preparing = 0.0  # s spent on the preparation of cells …
        self._prepared_effort = 0.0  # … with this total effort

    @property
    def prepared(self) -> Mapping[str, Prepared]:
        """The cells whose images could be made, by id."""
        return self._prepared

    def run(self) -> None:
        """Returns when the plan is done or no further step fits the budget. OutOfTime and KeyboardInterrupt pass
        through, and no sample is lost.
        """
        for number, app in enumerate(self._apps):
            if self._is_complete(app):
                self._finished.add(app)
                continue
            if number and not self._fits(self._least_seconds(app)):
                continue  # a smaller app may still fit
            self._open(app)
            if not any(self._is_there(cell.id) for cell in self._cells_of[app]):
                continue  # every cell failed, and every reason is recorded
            self._first_blocks(app)
            self._after_first_block(app)
            self._finished.add(app)
            self._display.say(f"{clock(self._elapsed)}: the first block of {app or 'every probe'} is done")
            self._report_on(app)
        while self._run_blocks() and (further := self._further()):
            self._plan = self._plan.extended(further)

    def _run_blocks(self) -> bool:
        """Run blocks until the plan is done. False if the time ended before."""
        while block := next_block(self._plan, self._reached(), elapsed=self._elapsed):
            if block.row.app not in self._opened and block.row.app in self._cells_of:
                self._open(block.row.app)
                continue  # the report took time
            if not self._run_block(block):
                return False
        return True

    def _at(self, when: When) -> list[Probe]:
        """The probes of the plan that are measured at that time."""
        return [probe for probe in self._planned if probe.when is when]

    # ── one app ────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_complete(self, app: str) -> bool:
        """Whether an earlier session has measured the app's row: all probes, one block."""
        known = self._progress.rows()
        rows = [known[row] for row in self._rows_of(app) if row in known]
        untimed = [probe for probe in self._planned if probe.when is not When.TIMED]
        wanted = any(self._progress.wanted(probe, cell.id) for probe in untimed for cell in self._cells_of[app])
        return bool(rows or untimed) and all(row.done for row in rows) and not wanted

    def _rows_of(self, app: str) -> list[Row]:
        """The rows that are measured with an app; the engine's rows come with the first app."""
        return [row for row in self._plan.rows() if row.app == app or (app == self._apps[0] and not row.app)]

    def _is_there(self, cell: str) -> bool:
        """Whether a cell can be measured."""
        return cell in self._prepared or not self._needs_images

    def _open(self, app: str) -> None:
        """Make the app's bases available and prepare its cells, as far as possible."""
        self._opened.add(app)
        cells = self._cells_of[app]
        with self._ledger.spend("bases"):
            self._lab.have_bases(cells, self._state)
            self._writer.artefact(RUN, BASES, bases_record(self._lab.bases))
        if not self._needs_images:
            return
        self._prepare(cells)
        prepared = [self._prepared[cell.id] for cell in cells if cell.id in self._prepared]
        if prepared:
            for probe in self._planned:
                probe.begin(self._state, prepared)

    def _first_blocks(self, app: str) -> None:
        """The first block of every timed probe, as far as the budget allows."""
        first = app == self._apps[0]
        rows = [row for row in self._rows_of(app) if row in self._progress.rows()]
        late = self._shown_before(rows)
        for row in rows:
            known = self._progress.rows()[row]
            if known.done:
                continue
            if first and row == late:
                self._report_on(app)  # a user who waits for the first numbers need not wait for the longest probe
            if self._fits(known.cost) or (first and row == rows[0]):
                self._run_block(Block(row, 0))

    def _shown_before(self, rows: Sequence[Row]) -> Row | None:
        """The row before which the first app's table is shown for the first time: what follows the pulls, because
        sizes, starts and pulls are what most people wait for; without pulls, what takes longest."""
        names = [row.probe for row in rows]
        if "pull" in names[:-1]:
            return rows[names.index("pull") + 1]
        return max(rows[1:], key=lambda row: self._progress.rows()[row].cost, default=None)

    def _report_on(self, app: str) -> None:
        with self._ledger.spend("tables"):
            self._report(app)

    # ── preparing ──────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self, cells: Sequence[Cell]) -> None:
        """Prepare cells side by side, and measure what needs no clock."""
        began = self._elapsed
        if kept := sum(self._workshop.is_kept(cell) for cell in cells):
            self._display.say(
                f"images kept from earlier runs: {kept} of {len(cells)} (TARE_IMAGES=anew builds every image)"
            )
        rebuilds = any(probe.activity == "builds" for probe in self._planned)
        at_once = self._at(When.PREPARING)
        crew = Crew(self._lab, self._state, cells, at_once, self._progress.wanted, rebuilds=rebuilds, mend=self._mend)
        with self._ledger.spend("preparing"), closing(crew.work()) as work:
            for done in work:
                if done:
                    self._take(done)
                self._now(f"prepare {', '.join(crew.under_way)}".rstrip())
        self._ledger.divide("preparing", crew.spent)
        self._preparing += self._elapsed - began
        self._prepared_effort += sum(self._progress.effort(cell.id) for cell in cells)

    def _take(self, done: Done) -> None:
        """Record what a worker has done."""
        cell = done.cell
        self._record(done.made)
        if done.made.try_.probe != PREPARE:
            return
        self._to_prepare.pop(cell.id, None)
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
            else f"{'built' if cell.is_built else 'fetched'}, verified and pushed"
        )
        self._display.say(f"{cell.id}: {how} in {done.made.try_.seconds:.0f} s")

    # ── blocks ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_block(self, block: Block) -> bool:
        """False if the time ended before every cell of the block was visited."""
        probe, row = self._probes[block.row.probe], block.row
        self._progress.begin(block)
        title = f"{row.probe} {row.app}".strip()
        began = self._elapsed
        order = [name for name in self._plan.order(block) if not isinstance(probe, CellProbe) or name in self._prepared]
        for number, name in enumerate(order, 1):
            if number > 1 and not self._fits(self._progress.seconds(name, probe) / 2):
                return False
            self._now(f"{title}, block {block.index + 1}: {name or 'engine'} ({number}/{len(order)})")
            self._visit(probe, name, block.index)
        self._display.block(f"{title}: block {block.index + 1}, {self._elapsed - began:.0f} s", self._left())
        return True

    def _visit(self, probe: Probe, name: str, block: int) -> None:
        progress = self._progress
        if progress.is_visited(name, probe.name, block):
            return
        if progress.is_given_up(name, probe.name):
            progress.visited(name, probe.name, block)
            return
        began = self._elapsed
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
        progress.visited(name, probe.name, block, self._elapsed - began, succeeded=succeeded)

    def _after_first_block(self, app: str) -> None:
        """Measure an app's cells side by side with the probes that take long and need no clock."""
        probes = self._at(When.AFTER_FIRST_BLOCK)
        wanted = self._progress.wanted
        cells = [
            cell
            for cell in self._cells_of[app]
            if cell.id in self._prepared and any(wanted(probe, cell.id) for probe in probes)
        ]
        if not cells or not self._fits(sum(self._progress.seconds(cell.id, p) for cell in cells for p in probes) / 2):
            return
        names = " and ".join(probe.name for probe in probes)
        crew = Crew(self._lab, self._state, cells, probes, wanted, ready=self._prepared)
        with self._ledger.spend("late"), closing(crew.work()) as work:
            for done in work:
                if done:
                    self._take(done)
                self._now(": ".join(filter(None, [names, ", ".join(crew.under_way)])))
        self._ledger.divide("late", crew.spent)

    def _record(self, made: Attempt) -> None:
        """Put a try on disk with its documents. If it failed, print why."""
        try_ = replace(made.try_, order=self._progress.order)
        self._writer.append(try_)
        self._progress.add(try_)
        for file, data in made.documents.items():
            self._writer.artefact(try_.cell or RUN, file, data)
        if not made.succeeded:
            self._display.say(f"{try_.cell or 'engine'}: {try_.probe} {try_.state}: {try_.status}: {try_.reason}")

    # ── what was not reached ───────────────────────────────────────────────────────────────────────────────────

    def missed(self) -> Mapping[str, Sequence[str]]:
        """The probes that have measured nothing of an app, by app. Cells that cannot be prepared are left out."""
        found: dict[str, list[str]] = {}
        for app in self._apps:
            alive = [cell.id for cell in self._cells_of[app] if not self._progress.is_dropped(cell.id)]
            for probe in self._planned:
                if isinstance(probe, EngineProbe):
                    continue
                cells = [cell for cell in self._plan.members(Row(probe.name, app)) if cell in alive]
                if cells and all(len(self._progress.wanted(probe, cell)) == len(probe.states) for cell in cells):
                    found.setdefault(app, []).append(probe.name)
        return found

    def missed_seconds(self) -> float:
        """About how long it takes to measure one block of everything that was not reached."""
        apps = self.missed()
        cells = [cell.id for app in apps for cell in self._cells_of[app]]
        rows = self._progress.rows()
        blocks = sum(rows[row].cost for app, names in apps.items() for n in names if (row := Row(n, app)) in rows)
        late = sum(probe.guess for probe in self._at(When.AFTER_FIRST_BLOCK)) * len(cells)
        return (self._preparing_seconds(cells) if self._needs_images else 0.0) + blocks + late

    # ── the clock ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _elapsed(self) -> float:
        """s of this session."""
        return self._ledger.elapsed

    def _fits(self, seconds: float) -> bool:
        return self._plan.budget is None or self._elapsed + seconds <= self._plan.budget

    def _reached(self) -> Mapping[Row, RowProgress]:
        """The rows that may get further blocks: those of apps whose first block is done."""
        reached = {"", *self._finished} if self._finished else set()
        return {row: known for row, known in self._progress.rows().items() if row.app in reached}

    def _preparing_seconds(self, cells: Iterable[str]) -> float:
        """Expected seconds to prepare these cells, from the time that earlier cells took."""
        effort = sum(self._progress.effort(cell) for cell in cells)
        each = self._preparing / self._prepared_effort if self._prepared_effort else PREPARE_GUESS
        return each * effort

    def _least_seconds(self, app: str) -> float:
        """The seconds until anything of an app is measured: the preparation of its cells and the shortest first
        block.
        """
        rows = [known.cost for row, known in self._progress.rows().items() if row.app == app and not known.done]
        cells = [cell.id for cell in self._cells_of[app] if cell.id in self._to_prepare]
        return self._preparing_seconds(cells) + min(rows, default=0.0)

    def _left(self) -> float:
        late = self._at(When.AFTER_FIRST_BLOCK)
        unfinished = [cell.id for app in self._apps if app not in self._finished for cell in self._cells_of[app]]
        before = self._preparing_seconds(self._to_prepare) + sum(p.guess for p in late) * len(unfinished)
        left = expected_seconds(self._plan, self._progress.rows(), elapsed=self._elapsed + before) + before
        return left if self._plan.budget is None else max(min(left, self._plan.budget - self._elapsed), 0.0)

    def _now(self, what: str) -> None:
        """Show the present work, and how far the whole run has got."""
        left = self._left()
        whole = self._elapsed + left
        apps = f"{len(self._finished)} of {len(self._apps)} apps" if len(self._apps) > 1 else ""
        self._display.now(what, left, share=self._elapsed / whole if whole else 0.0, apps=apps)
