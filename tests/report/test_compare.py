"""`tare compare`: two cells, two runs, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.report.compare import compare_cells, compare_runs, differs, worse
from harness.store.run import read_run
from support.synthetic import APPS, write

GO = {"go": APPS["go"]}
SLOWER = {"go": (APPS["go"][0], APPS["go"][1] * 1.5, *APPS["go"][2:])}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def base(results: Path) -> Path:
    return write(results, apps=GO, seed=1)


def test_two_cells_of_a_run(base: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "go-full", "go-scratch", "--run", base.name, "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert "size.transfer" in text
    assert "0.014×" in text
    assert main(["compare", "go-scratch", "go-full", "--run", base.name, "--results", str(results)]) == 1


def test_two_runs_of_the_same_differ_in_nothing_that_is_exact(base: Path, results: Path) -> None:
    again = write(results, apps=GO, seed=2)
    lines = compare_runs(read_run(base), read_run(again), full=True)
    assert lines
    assert not [line.metric.name for line in lines if line.metric.deterministic and differs(line)]


def test_a_slower_start_is_found(base: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slower = write(results, apps=SLOWER, seed=2)
    lines = compare_runs(read_run(base), read_run(slower), ["start.warm.total"])
    assert len(lines) == 5
    assert all(worse(line) for line in lines)
    asked = ["compare", base.name, slower.name, "--results", str(results), "--metric", "start.warm.total", "--changed"]
    assert main(asked) == 1
    assert "worse" in capsys.readouterr().out


def test_answers_that_turn_are_told(base: Path) -> None:
    lines = compare_cells(read_run(base), "go-scratch", "go-full", ["surface.root"])
    assert [worse(line) for line in lines] == [True]


def test_what_cannot_be_compared(base: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(results, apps=GO, blocks=1, kernel="9.9")
    assert main(["compare", base.name, other.name, "--results", str(results)]) == 2
    assert "kernel: absent → 9.9" in capsys.readouterr().err
    assert main(["compare", "go-full", "go-none", "--run", base.name, "--results", str(results)]) == 2
    assert "no cell of this name" in capsys.readouterr().err
