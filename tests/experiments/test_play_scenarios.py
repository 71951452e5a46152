"""Scenarios played out on a real engine: deploys over a shaped link, two nodes at once, versions in a registry."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.experiments.play_scenarios import Check, check
from harness.report.scenarios import render_checks
from harness.scenarios.formulas import LinkSpeed, Question, exact

ROOT = Path(__file__).parents[2]
QUESTION = Question(wire=LinkSpeed(bits_per_second=20e6, rtt=0.01), nodes=2, versions=3)
LIMIT = 0.3  # others are at work on the machine; `tox -e scenarios` has the whole of it, and a stricter limit


def test_a_formula_that_is_off_does_not_hold_and_is_marked():
    right, wrong = (
        Check(cell="go-slim", scenario="first", predicted=exact(value), measured=10.0) for value in (10.5, 13.0)
    )
    assert right.holds and right.error == pytest.approx(0.05)
    assert not wrong.holds
    text = render_checks([right, wrong], QUESTION)
    assert "+30.0%" in text and text.count("off by more than 15%") == 1


def test_a_cell_that_is_not_there_is_said_before_anything_is_started():
    with pytest.raises(UsageError, match="go-slmi: no cell has this name"):
        next(check(ROOT, ["go-slmi"], QUESTION, say=print))


@pytest.mark.live
def test_deploys_nodes_at_once_and_storage_are_as_computed(capsys):
    checks = list(check(ROOT, ["go-distroless"], QUESTION, only=("first", "update", "scale"),
                        say=lambda text: print(text, file=sys.stderr)))  # fmt: skip
    with capsys.disabled():
        print("\n" + render_checks(checks, QUESTION))
    assert [each.scenario for each in checks] == ["first", "update", "scale", "storage"]
    assert all(abs(each.error) <= (LIMIT if each.scenario != "storage" else each.limit) for each in checks)
