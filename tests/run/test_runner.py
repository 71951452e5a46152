"""The runner on an engine in memory, which builds, pushes and serves; tests/live/test_matrix.py has a real one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.errors import EngineError, LabError, TryFailed
from harness.model import Metric, Status, Unit
from harness.probes.base import CellProbe, EngineProbe, Reading, SourceProbe, When
from harness.run.plan import Further
from harness.run.progress import GIVE_UP_AFTER
from harness.run.visit import EngineLost
from harness.run.workers import PREPARE
from harness.store.run import read_run
from support.fake_lab import FakeRun


class Counter:
    """Two states a visit; fails on demand, and counts its calls."""

    name = "count"
    activity = "counting"
    rank = 1
    states = ("first", "second")
    reports = {"first": "count.first", "second": "count.second"}  # noqa: RUF012
    guess = 0.01
    metrics = tuple(Metric(name=f"count.{s}", unit=Unit.SECONDS, headline=True, help="") for s in states)

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fails: dict[tuple[str, str], BaseException] = {}
        self.closed = 0

    def states_of(self, app):
        try:
            if error := self.fails.get((app, "before")):
                raise error
            for state in self.states:
                yield state, lambda state=state: self._measure(app, state)
        finally:
            self.closed += 1

    def _measure(self, name, state):
        self.calls.append((name, state))
        if error := self.fails.get((name, state)):
            raise error
        return Reading({f"count.{state}": float(len(self.calls))})


class Counting(Counter, CellProbe):
    def visit_cell(self, lab, state, cell):
        yield from self.states_of(cell.cell.app.name)


class Looking(Counting):
    """Needs no clock, and is not of the first answer."""

    name = "look"
    states = ("once",)
    reports = {"once": "count.once"}  # noqa: RUF012
    blocks = 1
    when = When.AFTER_FIRST_BLOCK
    metrics = tuple(Metric(name=f"count.{s}", unit=Unit.COUNT, help="") for s in states)


@pytest.fixture
def bench(tmp_path):
    yield from opened(tmp_path)


@pytest.fixture
def alone(tmp_path):
    yield from opened(tmp_path, names=("a",))


def opened(folder, names=("a", "b", "c")):
    bench = FakeRun(folder, [Counting()], names)
    bench.probe = bench.probes[0]
    yield bench
    bench.close()


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


def test_a_plan_that_is_done_goes_on_if_more_is_asked_for(bench):
    bench.further = iter([Further(probes=frozenset({"count"}), blocks=4)])
    run = bench.run(blocks=2)
    assert list(run.series()["a-slim", "count.first"].block) == [0, 1, 2, 3]
    assert len(run.sessions) == 1  # nothing is built again


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_late_probe_visits_every_cell_once_the_first_answer_is_complete(bench, blocks):
    late = Looking()
    bench.probes.append(late)
    seen = []
    late.visit_cell = lambda *given: seen.append(bench.probe.closed) or Counting.visit_cell(late, *given)
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
    bench.probes.append(late)
    bench.probe.fails["c", "second"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.run(blocks=1)
    assert not late.calls
    del bench.probe.fails["c", "second"]
    bench.run(blocks=1, resume=bench.stored())
    assert sorted(name for name, _ in late.calls) == ["a", "b", "c"]


def noisy(bench, values):
    """Make the probe return these values (by app) with 10 % noise; a second state returns the same."""
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


def test_a_cell_that_cannot_be_prepared_is_a_record_and_the_rest_is_measured(bench):
    bench.behaviour.broken = ("cell/b-",)
    run = bench.run(blocks=2)
    assert [(t.cell, t.probe, t.status, t.log) for t in run.failures] == [("b-slim", PREPARE, Status.ERROR, "the log")]
    assert {name for name, _ in run.series()} == {"a-slim", "c-slim"}
    assert "b-slim: prepare image: error: build failed: exit code: 1" in bench.out.getvalue()


def test_nothing_is_measured_if_no_cell_can_be_prepared(alone):
    alone.behaviour.broken = ("cell/a-",)
    run = alone.run()
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


def test_a_run_ends_if_its_engine_is_gone(bench, monkeypatch):
    def silence():
        raise EngineError("no answer")

    bench.probe.fails["c", "before"] = LabError("no node")
    before = bench.probe.visit_cell

    def visit(*given):
        monkeypatch.setattr(bench.engine, "containers", silence)
        return before(*given)

    bench.probe.visit_cell = visit
    with pytest.raises(EngineLost, match="no longer answers"):
        bench.run(blocks=1)
    assert read_run(bench.stored()).sessions[-1].outcome == "failed"


@pytest.mark.parametrize("place", ["before", "second"])
def test_an_error_that_nobody_foresaw_is_a_record_with_its_traceback(bench, place):
    bench.probe.fails["b", place] = UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "in a file\nof theirs")
    run = bench.run(blocks=2)
    assert {(t.cell, t.probe, t.status) for t in run.failures} == {("b-slim", "count", Status.ERROR)}
    state = "first" if place == "before" else "second"
    (reason,) = {t.reason for t in run.failures}
    assert reason.startswith("unexpected UnicodeDecodeError: ") and "\n" not in reason
    assert reason.endswith(f"(see traceback-count-{state}.txt)")
    assert "raise error" in (run.folder / f"artefacts/b-slim/traceback-count-{state}.txt").read_text()
    assert {block for name in "ac" for block in run.series()[f"{name}-slim", "count.second"].block} == {0, 1}


def test_an_error_that_nobody_foresaw_while_preparing_fails_that_cell_alone(bench):
    bench.cells[1].app.path.joinpath(".dockerignore").write_bytes(b"\xe9\n")  # Latin-1, which is no UTF-8
    run = bench.run(blocks=1)
    assert {(t.cell, t.probe) for t in run.failures} <= {("b-slim", PREPARE)}
    assert {"a-slim", "c-slim"} <= {name for name, _ in run.series()}


def test_a_probe_of_the_engine_keeps_its_documents_with_the_run(bench):
    class OfEngine(Counter, EngineProbe):
        name = "engine"

        def visit_engine(self, lab, state):
            yield "first", lambda: Reading({"count.first": 1.0}, artefacts={"found.json": b"{}"})

    bench.probes = [OfEngine()]
    run = bench.run(blocks=2)
    assert list(run.series()["", "count.first"].block) == [0, 1]
    assert (run.folder / "artefacts/run/found.json").read_bytes() == b"{}"


def test_nothing_is_prepared_for_a_probe_of_sources(bench):
    class OfSource(Counter, SourceProbe):
        name = "source"

        def visit_source(self, lab, state, cell):
            yield from self.states_of(cell.app.name)

    bench.probes = [OfSource()]
    run = bench.run(blocks=2)
    assert {try_.probe for try_ in run.tries()} == {"source"}
    assert {name for name, _ in run.series()} == {"a-slim", "b-slim", "c-slim"}
    assert not [call for call in bench.engine.calls if "cell/" in call]


def test_every_timed_try_waits_for_a_quiet_machine(bench):
    run = bench.run(blocks=2)
    assert bench.lab.monitor.waits == sum(try_.probe == "count" for try_ in run.tries()) == 12


def test_a_resumed_run_repeats_nothing(bench):
    def interrupt(state_calls=[0]):  # noqa: B006
        state_calls[0] += 1
        if state_calls[0] == 8:
            raise KeyboardInterrupt

    measure = bench.probe._measure
    bench.probe._measure = lambda name, state: (interrupt(), measure(name, state))[1]
    with pytest.raises(KeyboardInterrupt):
        bench.run(blocks=3)
    folder = bench.stored()
    before = (folder / "samples.jsonl").read_bytes()
    assert read_run(folder).sessions[-1].outcome == "interrupted"
    bench.probe._measure = measure
    run = bench.run(blocks=3, resume=folder)
    assert (folder / "samples.jsonl").read_bytes().startswith(before)
    keys = [(t.cell, t.probe, t.state, t.block) for t in run.tries() if t.probe != PREPARE]
    assert len(keys) == len(set(keys)) == 18
    assert [session.outcome for session in run.sessions] == ["interrupted", "complete"]


def test_plain_progress_says_what_is_done(bench):
    bench.run(blocks=1)
    text = bench.out.getvalue()
    assert "a-slim: built, verified and pushed" in text
    assert "count: block 1" in text


def test_artefacts_are_kept(bench):
    run = bench.run(blocks=1)
    assert (run.folder / "artefacts" / "a-slim" / "Dockerfile").read_text() == "FROM scratch\nCOPY . /slim\n"
    assert json.loads((run.folder / "manifest.json").read_text())["seed"] == 3


def test_an_ignore_file_that_cannot_be_read_fails_its_cell_alone(bench):
    (bench.cells[1].app.path / ".dockerignore").write_bytes("Entwürfe\n".encode("latin-1"))
    run = bench.run(blocks=1)
    (failure,) = run.failures
    assert (failure.cell, failure.probe) == ("b-slim", PREPARE)
    assert "UTF-8" in failure.reason
    assert ".dockerignore:1" in failure.reason
    assert {cell for cell, metric in run.series() if metric == "count.first"} == {"a-slim", "c-slim"}
