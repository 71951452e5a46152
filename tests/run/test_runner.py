"""The runner, with probes and a workshop that do as they are told. The real ones are in test_matrix_live.py."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import harness.cell.prepare
from harness.errors import EngineError, LabError, TryFailed
from harness.host.quiet import Quiet
from harness.lab.bases.bases import BaseImage
from harness.ledger import Ledger
from harness.model import App, Cell, Edit, Environment, Metric, Request, Status, Strategy, Unit
from harness.probes.base import CellProbe, Reading
from harness.run.job import spent
from harness.run.plan import Plan, ProbePlan
from harness.run.progress import GIVE_UP_AFTER, Tally
from harness.run.runner import Runner
from harness.run.workers import PREPARE, Crew, EngineLost
from harness.store.run import CellInfo, Manifest, RunWriter, read_run
from harness.text.display import Display

EDIT = Edit("main", "0", "{n}")


def cell(name: str, folder: Path) -> Cell:
    app = App(
        name=name,
        title=name,
        language="go",
        path=folder,
        port=1,
        ready=Request("/"),
        verify=(),
        source_change=EDIT,
        dependency_change=EDIT,
    )
    strategy = Strategy(name="slim", title="Slim", summary="", trades="", path=folder, rank=1)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    return Cell(app=app, strategy=strategy, dockerfile=dockerfile)


class Counting(CellProbe):
    """Two states a visit; fails where told, and counts what it is asked."""

    name = "count"
    activity = "counting"
    rank = 1
    states = ("first", "second")
    reports = {"first": "count.first", "second": "count.second"}  # noqa: RUF012
    guess = 0.01
    metrics = tuple(Metric(name=f"count.{s}", unit=Unit.SECONDS, headline=True, help="") for s in states)

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fails: dict[tuple[str, str], Exception] = {}
        self.closed = 0

    def visit_cell(self, lab, cell):
        try:
            if error := self.fails.get((cell.cell.app.name, "before")):
                raise error
            for state in self.states:
                yield state, lambda state=state: self._measure(cell.cell.app.name, state)
        finally:
            self.closed += 1

    def _measure(self, name, state):
        self.calls.append((name, state))
        if error := self.fails.get((name, state)):
            raise error
        return Reading({f"count.{state}": float(len(self.calls))})


class Looking(Counting):
    """Needs no clock, and is not of the first answer."""

    name = "look"
    states = ("once",)
    reports = {"once": "count.once"}  # noqa: RUF012
    blocks = 1
    timed = False
    late = True
    metrics = tuple(Metric(name=f"count.{s}", unit=Unit.COUNT, help="") for s in states)


class Bench:
    """A runner over `names`, with its run folder."""

    def __init__(self, folder: Path, monkeypatch, names=("a", "b", "c"), broken=()) -> None:
        self.folder = folder
        self.probe = Counting()
        self.others: tuple[CellProbe, ...] = ()
        self.cells = [cell(name, folder) for name in names]
        self.out = io.StringIO()
        self.engine = SimpleNamespace(containers=list)

        def prepare(_, cell):
            if cell.app.name in broken:
                raise TryFailed(Status.ERROR, "build failed", log="the log")
            return SimpleNamespace(cell=cell, log="built", kept=0.0, id="sha256:1", diff_ids=("sha256:2",))

        monkeypatch.setattr(harness.cell.prepare.Workshop, "prepare", prepare)
        monkeypatch.setattr(harness.cell.prepare.Workshop, "ensure", lambda *_: None)

    @property
    def probes(self) -> tuple[CellProbe, ...]:
        return (self.probe, *self.others)

    def manifest(self) -> Manifest:
        return Manifest(
            environment=Environment(facts={"engine": "fake"}),
            seed=3,
            metrics=tuple(metric for probe in self.probes for metric in probe.metrics),
            cells=tuple(CellInfo.of(cell) for cell in self.cells),
        )

    def lab(self, monitor):
        lab = SimpleNamespace(monitor=monitor, engine=self.engine, shelf=None)
        lab.apart = lambda: contextlib.nullcontext(lab)
        return lab

    def run(self, blocks: int = 3, resume: Path | None = None, budget: float | None = None):
        names = tuple(cell.id for cell in self.cells)
        plans = tuple(ProbePlan(name=probe.name, blocks=probe.blocks, guess=0.01) for probe in self.probes)
        plan = Plan(cells=names, probes=plans, seed=3, budget=budget, blocks=blocks)
        history = Tally.of(read_run(resume).tries(), self.probes) if resume else None
        writer = RunWriter.resume(resume) if resume else RunWriter.create(self.folder / "results", self.manifest())
        monitor = SimpleNamespace(wait=lambda _: Quiet(0.0, 0.0, True), mark=lambda: None)
        with writer:
            runner = Runner(
                lab=self.lab(monitor),
                plan=plan,
                probes=self.probes,
                cells=self.cells,
                writer=writer,
                display=Display(self.out),
                ledger=Ledger(),
                history=history,
            )
            runner.run()
        return read_run(writer.folder)


def base(role, packed):
    return BaseImage(role=role, name=role, image_id="", diff_ids=(), lane="packages", provenance={}, packed=packed)


def test_cells_are_prepared_side_by_side_what_takes_longest_first(monkeypatch, tmp_path):
    guard, building, most, order = threading.Lock(), [], [], []

    def prepare(_, cell):
        with guard:
            building.append(cell)
            order.append(cell.id)
            most.append(len(building))
        time.sleep(0.002)
        with guard:
            building.remove(cell)
        return SimpleNamespace(cell=cell, kept=0.0)

    monkeypatch.setattr(harness.cell.prepare.Workshop, "prepare", prepare)
    cells = []
    for number in range(12):
        dockerfile = tmp_path / f"{number}.Dockerfile"
        dockerfile.write_text("x" * number)
        roles = ("os",) if number < 4 else ("os", "sdk-rust") if number < 6 else ("os", "sdk-go")
        cells.append(SimpleNamespace(id=str(number), bases=roles, dockerfile=dockerfile))
    bases = {role: base(role, size) for role, size in (("os", 30), ("sdk-rust", 236), ("sdk-go", 80))}
    lab = SimpleNamespace(engine=SimpleNamespace(containers=list), bases=bases)
    lab.apart = lambda: contextlib.nullcontext(lab)
    done = [item for item in Crew(lab, cells, [], lambda *_: [], workers=2).work() if item]
    assert sorted(int(item.cell.id) for item in done) == list(range(len(cells)))
    assert max(most) == 2
    places = {cell: place for place, cell in enumerate(order)}  # two at once: either may be entered first
    for earlier, later in (("3", "5"), ("2", "4"), ("5", "11"), ("4", "10"), ("11", "8"), ("9", "6")):
        assert places[earlier] < places[later], order


def test_a_changed_image_has_to_answer_in_one_strategy_of_each_app(monkeypatch):
    lab = SimpleNamespace(changed_by={})
    workshop = harness.cell.prepare.Workshop(lab)
    started = []

    def verify(_, cell, image):
        started.append(image)
        if "bad" in image:
            raise TryFailed(Status.WRONG_ANSWER, "no")
        return 2.0

    monkeypatch.setattr(harness.cell.prepare.Workshop, "verify", verify)
    cells = [
        SimpleNamespace(id=f"{a}-{s}", app=SimpleNamespace(name=a)) for a in ("good", "bad") for s in ("full", "slim")
    ]
    assert [workshop._verify_changed(cell, cell.id) for cell in cells[:2]] == [2.0, 0.0]
    for cell in cells[2:]:  # then every strategy tells what is wrong
        with pytest.raises(TryFailed):
            workshop._verify_changed(cell, cell.id)
    assert started == ["good-full", "bad-full", "bad-slim"]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def test_every_cell_is_visited_once_a_block_and_every_state_stored(bench):
    run = bench.run(blocks=3)
    assert not run.failures
    for name in ("a-slim", "b-slim", "c-slim"):
        for state in bench.probe.states:
            assert list(run.series()[name, f"count.{state}"].block) == [0, 1, 2]
    tries = [try_ for try_ in run.tries() if try_.probe == "count"]
    assert [try_.order for try_ in run.tries()] == list(range(len(list(run.tries()))))
    for block in range(3):
        cells = [t.cell for t in tries if t.block == block and t.state == "first"]
        assert sorted(cells) == ["a-slim", "b-slim", "c-slim"]
    assert bench.probe.closed == 9


@pytest.mark.parametrize("blocks", [1, 3])
def test_what_takes_long_is_asked_for_once_the_first_answer_is_complete(bench, blocks):
    seen = []

    def settle(_):
        seen.append(bench.probe.closed)
        yield "a-slim", {"late.json": b"{}"}

    bench.probe.settle = settle
    run = bench.run(blocks=blocks)
    assert seen == [3]  # visits: every cell once
    assert (run.folder / "artefacts/a-slim/late.json").read_bytes() == b"{}"
    assert "the first answer is complete" in bench.out.getvalue()


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_late_probe_visits_every_cell_once_the_first_answer_is_complete(bench, blocks):
    late = Looking()
    bench.others = (late,)
    seen = []
    late.visit_cell = lambda lab, cell: seen.append(bench.probe.closed) or Counting.visit_cell(late, lab, cell)
    late.fails["b", "once"] = TryFailed(Status.ERROR, "cannot be looked at")
    run = bench.run(blocks=blocks)
    assert seen == [3, 3, 3]  # visits of the other: every cell once
    assert {cell for cell, metric in run.series() if metric == "count.once"} == {"a-slim", "c-slim"}
    assert [(failure.cell, failure.probe) for failure in run.failures] == [("b-slim", "look")]
    assert "b-slim: look once: error: cannot be looked at" in bench.out.getvalue()

    bench.out.truncate(0)
    bench.run(blocks=blocks, resume=run.folder)
    assert len(late.calls) == 3  # what is recorded is not asked for again
    assert "first answer" not in bench.out.getvalue()  # which is no news


def test_a_late_probe_that_was_not_reached_is_made_up_for(bench):
    late = Looking()
    bench.others = (late,)
    bench.probe.fails["c", "second"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.run(blocks=1)
    assert not late.calls
    del bench.probe.fails["c", "second"]
    (folder,) = (bench.folder / "results").iterdir()
    bench.run(blocks=1, resume=folder)
    assert sorted(name for name, _ in late.calls) == ["a", "b", "c"]


def noisy(bench, values):
    """Let the probe tell these values (by app), 10 % noise on them; a second state tells the same."""
    random = np.random.default_rng(5)

    def measure(name, state):
        return Reading({f"count.{state}": float(values[name] * np.exp(random.normal(0, 0.1)))})

    bench.probe._measure = measure


def test_within_a_budget_what_is_decided_is_visited_no_more(bench):
    noisy(bench, {"a": 1.0, "b": 1.1, "c": 5.0})
    run = bench.run(blocks=12, budget=1000.0)
    blocks = {name: list(run.series()[f"{name}-slim", "count.first"].block) for name in "abc"}
    assert blocks["a"] == blocks["b"] == list(range(12))
    assert 6 <= len(blocks["c"]) < 12
    assert blocks["c"] == list(range(len(blocks["c"])))


def test_with_a_number_of_blocks_every_cell_gets_them(bench):
    noisy(bench, {"a": 1.0, "b": 1.1, "c": 5.0})
    run = bench.run(blocks=9)
    assert {len(run.series()[f"{name}-slim", "count.first"].block) for name in "abc"} == {9}


def test_a_resumed_run_within_a_budget_goes_on_with_whole_blocks(bench):
    noisy(bench, {"a": 1.0, "b": 1.1, "c": 5.0})
    first = bench.run(blocks=10, budget=1000.0)
    run = bench.run(blocks=12, budget=1000.0, resume=first.folder)
    columns = {name: run.series()[f"{name}-slim", "count.first"].block for name in "abc"}
    assert list(columns["a"]) == list(columns["b"]) == list(range(12))
    assert len(columns["c"]) < 12


def test_a_cell_that_cannot_be_prepared_is_a_record_and_the_rest_is_measured(tmp_path, monkeypatch):
    bench = Bench(tmp_path, monkeypatch, broken=("b",))
    run = bench.run(blocks=2)
    assert [(t.cell, t.probe, t.status, t.reason, t.log) for t in run.failures] == [
        ("b-slim", PREPARE, Status.ERROR, "build failed", "the log")
    ]
    assert {name for name, _ in run.series()} == {"a-slim", "c-slim"}
    assert "b-slim: prepare image: error: build failed" in bench.out.getvalue()


def test_nothing_is_measured_where_no_cell_can_be_prepared(tmp_path, monkeypatch):
    run = Bench(tmp_path, monkeypatch, names=("a",), broken=("a",)).run()
    assert len(run.failures) == 1
    assert not run.series()


def test_a_failed_state_ends_the_visit_and_two_failed_visits_end_the_cell(bench):
    bench.probe.fails["b", "first"] = TryFailed(Status.TIMEOUT, "no answer", log="silence")
    run = bench.run(blocks=4)
    assert [t.block for t in run.failures] == list(range(GIVE_UP_AFTER))
    assert {t.status for t in run.failures} == {Status.TIMEOUT}
    assert bench.probe.calls.count(("b", "second")) == 0
    assert bench.probe.calls.count(("a", "second")) == 4


def test_a_failure_between_measurements_is_recorded_against_the_state_it_prevented(bench):
    bench.probe.fails["c", "before"] = LabError("no node")
    run = bench.run(blocks=1)
    assert [(t.cell, t.state, t.reason) for t in run.failures] == [("c-slim", "first", "no node")]


def test_a_run_ends_where_its_engine_is_gone(bench):
    def silence():
        raise EngineError("no answer")

    bench.engine.containers = silence
    bench.probe.fails["c", "before"] = LabError("no node")
    with pytest.raises(EngineLost, match="does not answer any more"):
        bench.run(blocks=1)


def test_a_resumed_run_repeats_nothing(bench):
    def interrupt(state_calls=[0]):  # noqa: B006
        state_calls[0] += 1
        if state_calls[0] == 8:
            raise KeyboardInterrupt

    measure = bench.probe._measure
    bench.probe._measure = lambda name, state: (interrupt(), measure(name, state))[1]
    with pytest.raises(KeyboardInterrupt):
        bench.run(blocks=3)
    folder = next((bench.folder / "results").iterdir())
    before = (folder / "samples.jsonl").read_bytes()
    assert read_run(folder).sessions[-1].outcome == "interrupted"
    bench.probe._measure = measure
    run = bench.run(blocks=3, resume=folder)
    assert (folder / "samples.jsonl").read_bytes().startswith(before)
    keys = [(t.cell, t.probe, t.state, t.block) for t in run.tries() if t.probe != PREPARE]
    assert len(keys) == len(set(keys)) == 18
    assert spent(run) >= 0
    assert [session.outcome for session in run.sessions] == ["interrupted", "complete"]


def test_plain_progress_says_what_is_done(bench):
    bench.run(blocks=1)
    text = bench.out.getvalue()
    assert "a-slim: built, verified and pushed" in text
    assert "count: block 1" in text


def test_artefacts_are_kept(bench):
    run = bench.run(blocks=1)
    assert (run.folder / "artefacts" / "a-slim" / "Dockerfile").read_text() == "FROM scratch\n"
    assert json.loads((run.folder / "manifest.json").read_text())["seed"] == 3
