"""App by app, within a budget, by an honest clock: the real runner with a clock that only measurements move."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model import Metric, Unit
from harness.probes.base import CellProbe, Reading, SourceProbe, When
from harness.run.plan import Row
from harness.store.run import read_run
from harness.text.display import Display
from support.fake_lab import FakeRun, make_cell

EXAMPLE = next(path.parent for path in Path(__file__).parents[2].glob("docs/example/*/manifest.json"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def takes(clock, name, seconds, *, rank=1, guess=10.0):
    """A probe whose visit to a cell takes `seconds(cell, block)` on the clock."""

    class Taking(SourceProbe):
        states = ("once",)

        def visit_source(self, lab, state, cell):
            yield "once", lambda: self._measure(cell)

        def _measure(self, cell):
            spent = seconds(cell)
            clock.now += spent
            return Reading({f"{name}.once": spent})

    metrics = (Metric(name=f"{name}.once", unit=Unit.SECONDS, headline=True, help=""),)
    kind = type(
        "Named", (Taking,), {"name": name, "activity": name, "rank": rank, "guess": guess, "metrics": metrics}
    )  # a probe's class has its name from the start, because it places its metrics by it
    return kind()


def bench(folder, costs, names):
    """A run of one probe for each of `costs`, by name: seconds of a visit to a cell."""
    clock = Clock()
    made = FakeRun(folder, [takes(clock, name, lambda cell, s=cost: s) for name, cost in costs.items()], names)
    made.clock, made.one_row = clock, False
    return made


def test_an_app_is_complete_before_the_next_one_is_begun(tmp_path):
    class Late(CellProbe):
        name, activity, rank, guess = "late", "late", 3, 0.0
        states, metrics, reports, blocks = ("once",), (), {}, 1
        when = When.AFTER_FIRST_BLOCK

        def visit_cell(self, lab, state, cell):
            yield "once", lambda: Reading({})

    made = bench(tmp_path, {"short": 1.0, "long": 5.0}, ("b", "a"))
    made.probes[1].guess = 50.0
    made.probes.append(Late())
    run = made.run(blocks=2)
    made.close()
    first = [(t.cell, t.probe) for t in run.tries() if t.block == 0]
    of_app = [("prepare", "short", "long", "late")] * 2
    assert first == [
        (cell, probe) for cell, probes in zip(("b-slim", "a-slim"), of_app, strict=True) for probe in probes
    ]
    assert {t.block for t in list(run.tries())[len(first) :]} == {1}
    assert made.reported == ["b", "b", "a"]  # for the first app also before the probe that takes longest
    assert "the first block of b is done" in made.out.getvalue()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    budget=st.floats(20, 4000),
    costs=st.dictionaries(st.sampled_from(["start", "pull", "build"]), st.floats(0.5, 40), min_size=1),
)
def test_a_budget_is_kept_and_what_was_not_reached_is_known(tmp_path_factory, budget, costs):
    made = bench(tmp_path_factory.mktemp("run"), costs, ("a", "b", "c", "d"))
    run = made.run(blocks=None, budget=budget)
    made.close()
    assert made.ledger.elapsed <= budget + max(costs.values())  # the last visit is ended by the deadline
    reached = {(try_.cell.removesuffix("-slim"), try_.probe) for try_ in run.tries()}
    missed = {(app, probe) for app, probes in made.runner.missed().items() for probe in probes}
    assert reached | missed == {(app, probe) for app in "abcd" for probe in costs}
    assert not reached & missed
    assert bool(missed) == bool(made.runner.missed_seconds())


def test_what_a_budget_left_is_measured_by_going_on(tmp_path):
    made = bench(tmp_path, {"start": 10.0, "build": 30.0}, ("a", "b", "c"))
    made.run(blocks=1, budget=90.0)
    assert made.runner.missed()
    run = made.run(blocks=1, budget=90.0, resume=made.stored())
    made.close()
    assert not made.runner.missed()
    keys = [(try_.cell, try_.probe) for try_ in run.tries()]
    assert len(keys) == len(set(keys)) == 6


class Watched(Display):
    """Remembers each report of the time left, with the time."""

    def __init__(self, clock) -> None:
        super().__init__(io.StringIO())
        self.clock = clock
        self.seen: list[tuple[float, float, float]] = []

    def now(self, what, left=None, *, share=None, apps=""):
        if left is not None and share is not None:
            self.seen.append((self.clock(), left, share))


@pytest.mark.parametrize("slow", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("blocks", [1, 4])
def test_the_expected_end_of_a_recorded_run_is_right_within_a_fifth(tmp_path, slow, blocks):
    """The tries of docs/example again, app by app, on a machine that is `slow` times as slow."""
    stored = read_run(EXAMPLE)
    seconds: dict[tuple[str, str], float] = {}
    visits: dict[tuple[str, str], set[int]] = {}
    for try_ in stored.tries():
        key = try_.cell, try_.probe
        seconds[key] = seconds.get(key, 0.0) + try_.seconds
        visits.setdefault(key, set()).add(try_.block)
    clock = Clock()
    guesses = {"start": 3.0, "pull": 10.0, "build": 20.0}  # the metrics of the probes
    made = FakeRun(tmp_path, [], ())
    made.probes = [
        takes(clock, name, lambda cell, n=name: slow * seconds[cell.id, n] / len(visits[cell.id, n]), guess=guess)
        for name, guess in guesses.items()
    ]
    languages = {"shop": 2.25, "spring": 1.2, "java": 1.2, "node": 1.4, "rust": 1.7}
    infos = sorted(stored.manifest.cells, key=lambda cell: languages.get(cell.app, 1.0))
    made.cells = [make_cell(tmp_path, info.app, info.strategy) for info in infos]
    made.efforts = {info.id: languages.get(info.app, 1.0) for info in infos}
    made.clock, made.one_row, made.display = clock, False, Watched(clock)
    made.run(blocks=blocks)
    made.close()
    end = clock.now
    for share in (0.25, 0.5, 0.75):
        now, left, shown = max(seen for seen in made.display.seen if seen[0] <= share * end)
        assert now + left == pytest.approx(end, rel=0.2), f"at {share:.0%}"
        assert shown == pytest.approx(share, abs=0.15)


def test_the_bar_shows_the_whole_run_and_the_apps():
    out = io.StringIO()
    display = Display(out)
    display.now("pull go", 60.0, share=0.5, apps="1 of 7 apps")
    display.close()
    assert re.match(r"\S{20}  50% 1 of 7 apps: \[0:00\] pull go, about 1:00 left", out.getvalue())


def test_a_row_that_does_not_fit_is_left_for_a_shorter_one(tmp_path):
    made = bench(tmp_path, {"build": 200.0, "start": 1.0}, ("a", "b"))
    for probe in made.probes:
        probe.guess = {"build": 200.0, "start": 1.0}[probe.name]
    run = made.run(blocks=1, budget=210.0)
    made.close()
    assert made.runner.missed() == {"b": ["build"]}
    assert Row("start", "b") in [Row(t.probe, t.cell[0]) for t in run.tries()]
