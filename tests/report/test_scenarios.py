"""Scenarios as text: tables, break-evens in words, what is missing."""

from __future__ import annotations

import pytest

from harness.model import Environment
from harness.report.scenarios import _sentence, break_evens, render
from harness.scenarios.break_even import Crossing, break_even
from harness.scenarios.formulas import LinkSpeed, Parts, Question, Typical, first_deploy, of_samples
from harness.scenarios.measured import measured_parts
from harness.scenarios.pull_model import LayerCost, PullProfile
from harness.store.run import CellInfo, Manifest, read_run
from harness.store.writer import RunWriter

QUESTION = Question(wire=LinkSpeed(bits_per_second=1e8, rtt=0.005), nodes=3, versions=5)


def cell(strategy, *costs, start=0.2):
    profile = PullProfile(tuple(LayerCost(str(n), size, unpack) for n, (size, unpack) in enumerate(costs)), 0.05, 0.05)
    return Parts(cell=f"go-{strategy}", app="go", strategy=strategy, empty=Typical.of([profile]),
                 start=of_samples([start]))  # fmt: skip


@pytest.fixture
def run(tmp_path):
    cells = tuple(
        CellInfo(id=f"go-{name}", app="go", app_title="Go", strategy=name, strategy_title="", rank=rank)
        for rank, name in enumerate(("full", "slim"))
    )
    with RunWriter.create(tmp_path, Manifest(environment=Environment(facts={}), seed=1, metrics=(), cells=cells)) as w:
        pass
    return read_run(w.folder)


def test_what_is_known_is_shown_and_what_is_not_is_said(run):
    parts = {"go-full": cell("full", (300 * 10**6, 3.0)), "go-slim": Parts(cell="go-slim", app="go", strategy="slim")}
    text = render(run, parts, QUESTION)
    expected = first_deploy(parts["go-full"], QUESTION).value
    assert f"{expected:.1f} s" in text and "3 machines" in text
    assert "Not measured for go-slim: layers.json (probe size), pulls" in text
    assert "new version to a machine" not in text and "CI rebuild " not in text  # columns that nothing is known of


def test_a_run_without_anything_says_what_would_measure_it(run):
    text = render(run, measured_parts(run), QUESTION, style="markdown")
    assert "Not measured for go-full, go-slim: layers.json (probe size)" in text


def test_the_small_image_that_starts_slowly_wins_on_slow_wires_only():
    small, large = cell("slim", (10**7, 0.1), start=2.0), cell("full", (10**8, 0.5), start=0.1)
    (said,) = break_evens([large, small], QUESTION)
    (crossing,) = break_even(small, large, "empty", rtt=0.005)
    assert crossing.below and crossing.low is crossing.high is None  # one sample has no interval
    assert said == f"First deploy: full is faster than slim above {crossing.bits_per_second / 1e6:.3g} Mbit/s."
    question = Question(wire=LinkSpeed(bits_per_second=crossing.bits_per_second, rtt=0.005))
    assert first_deploy(small, question).value == pytest.approx(first_deploy(large, question).value)


def test_two_that_never_change_places_are_said_so():
    (said,) = break_evens([cell("full", (10**8, 1.0)), cell("slim", (10**7, 0.1))], QUESTION)
    assert said == "First deploy: no two strategies change places between 1 Mbit/s and 10 Gbit/s."


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([(50e6, True)], "below 50 Mbit/s"),
        ([(50e6, True, 40e6, 60e6)], "below 50 [40–60] Mbit/s"),
        ([(50e6, False)], "above 50 Mbit/s"),
        ([(900e6, False), (50e6, True)], "below 50 and above 900 Mbit/s"),
        ([(900e6, True), (50e6, False)], "from 50 to 900 Mbit/s"),
        ([(2e9, False), (900e6, True), (50e6, False)], "from 50 to 900 and above 2000 Mbit/s"),
    ],
)
def test_ranges_in_words(found, words):
    assert _sentence("a", "b", [Crossing(*each) for each in found]) == f"a is faster than b {words}"
