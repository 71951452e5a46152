"""`tare bench` from its first line to its last, on the engine in memory: however a run ends, it ends in tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.plugin import named_first
from harness.store.run import list_runs, read_run

ROOT = Path(__file__).parents[1]
SELECTED = ("-k", "(rust or go) and (slim or scratch)", "-m", "build")


def bench(results: Path, *options: str, stop: str = "") -> subprocess.CompletedProcess[str]:
    script = ROOT / "tests/support/fake_bench.py"
    command = [sys.executable, str(script), *([stop] if stop else []), "--", *SELECTED, "--results", str(results)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.parametrize(
    ("stop", "code", "why"),
    [
        ("SIGINT", 130, "The run was interrupted."),
        ("SIGTERM", 143, "The run was ended (SIGTERM)."),
        ("lost", 2, "the engine no longer answers"),
        ("bug", 3, "An error that nobody foresaw: ZeroDivisionError: nobody foresaw this"),
    ],
)
def test_a_run_that_is_stopped_ends_in_tables_and_in_how_to_go_on(tmp_path, stop, code, why):
    done = bench(tmp_path, "--blocks", "2", stop=stop)
    assert done.returncode == code, done.stderr
    (folder,) = list_runs(tmp_path)
    *_, missed, reason, last = done.stdout.rstrip().splitlines()
    assert missed.startswith("not reached: go: ")
    assert why in reason
    assert f"tox -e bench -- --resume {folder.name} --budget " in last
    assert "rust-scratch" in done.stdout or "Rust" in done.stdout
    assert (folder / "decision.md").exists() and (folder / "report.html").exists()
    assert "no tests ran" not in done.stdout


def test_a_run_that_was_stopped_goes_on_and_says_where_it_is_stored(tmp_path):
    bench(tmp_path, "--blocks", "1", stop="SIGINT")
    (folder,) = list_runs(tmp_path)
    done = bench(tmp_path, "--blocks", "1", "--resume", folder.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(f"Stored in {folder}; `tare report {folder.name}` shows this again.")
    cells = [try_.cell for try_ in read_run(folder).tries() if try_.probe == "build" and try_.state == "cold"]
    assert sorted(cells) == ["go-scratch", "go-slim", "rust-scratch", "rust-slim"]
    assert [cell.partition("-")[0] for cell in cells] == ["rust"] * 2 + ["go"] * 2  # in the order of -k


@pytest.mark.parametrize(("blocks", "later"), [(1, 0), (2, 1)])
def test_samples_are_read_and_summed_up_once_each_time_there_are_new_ones(tmp_path, blocks, later):
    """The table and both documents share one reading: after each app, and at the end if blocks were added since."""
    done = bench(tmp_path, "--blocks", str(blocks), stop="counts")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = list_runs(tmp_path)
    series = read_run(folder).series()
    first = sum(cell.startswith("rust-") for cell, _ in series)  # what there is when the first app has been measured
    (counted,) = [line for line in done.stderr.splitlines() if line.startswith("counted: ")]
    assert json.loads(counted.removeprefix("counted: ")) == {
        "readings": 2 + later,
        "summaries": first + len(series) * (1 + later),
    }


@pytest.mark.parametrize(
    ("keyword", "names"),
    [("rust or go", ["rust", "go"]), ("not java and (node)", ["java", "node"]), ("", []), ("go-slim", [])],
)
def test_the_order_of_a_keyword_expression(keyword, names):
    assert named_first(keyword, ["go", "rust", "node", "java"]) == names
