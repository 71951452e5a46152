"""Several engines: on which of them a choice holds, and how they are compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.commands._on_each import engines_of
from harness.decision.engines import ENGINE, TOGETHER
from harness.report.documents import make, siblings
from harness.report.markdown.decision import render
from harness.store.run import Run, read_run
from support.synthetic import APPS, write

GO = {"go": APPS["go"]}
OTHERS = {"go": ((290, 240, 35, 66, 2.6), 0.12, 9, 6.0)}  # scratch is much smaller than distroless there
CLASSIC, CONTAINERD = "private:26.1", "private:28.5+containerd"


def on(results: Path, engine: str, apps: object = GO, together: str = "1234", **facts: str) -> Run:
    """A stored run of a job on several engines."""
    folder = write(results, apps=apps, **{"engine": f"docker {engine}", **facts})  # type: ignore[arg-type]
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["plan"] |= {TOGETHER: together, ENGINE: engine}
    path.write_text(json.dumps(manifest))
    return read_run(folder)


def answer(run: Run) -> str:
    return render(make([run])).partition("## Context")[0]


def test_a_choice_that_holds_says_on_what(tmp_path: Path) -> None:
    first, second = on(tmp_path, CLASSIC), on(tmp_path, CONTAINERD)
    on(tmp_path, "private:20.10", OTHERS, together="another job")
    assert [other.id for other in siblings(first)] == [second.id]
    text = answer(first)
    assert "| how sure | holds on |" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| **go**"))
    assert row.endswith(f"| all of {CLASSIC}, {CONTAINERD} |")
    assert "Not on" not in text


def test_a_choice_that_flips_is_a_warning_with_both_numbers(tmp_path: Path) -> None:
    first = on(tmp_path, CLASSIC)
    on(tmp_path, CONTAINERD, OTHERS)
    text = answer(first)
    (row,) = (line for line in text.splitlines() if line.startswith("| **go**"))
    assert row.endswith(f"| {CLASSIC} |")
    (warning,) = (line for line in text.splitlines() if line.startswith("> **Not on"))
    assert warning == (
        f"> **Not on {CONTAINERD}.** go: scratch comes first there, not distroless. `size.transfer` of distroless and"
        " scratch, MB: 6.10 and 4.20 here, 66.00 and 2.60 there."
    )


def test_a_run_by_itself_has_no_such_column(tmp_path: Path) -> None:
    run = read_run(write(tmp_path, apps=GO))
    assert not siblings(run)
    assert "holds on" not in answer(run)


def test_a_run_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    first, second = on(tmp_path, CLASSIC), on(tmp_path, CONTAINERD)
    (second.folder / "samples.jsonl").write_text('{"torn"\n{"torn"\n')
    assert siblings(first) == []


def test_engines_of_one_job_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on(tmp_path, CLASSIC, **{"image store": "classic"})
    on(tmp_path, CONTAINERD, OTHERS, **{"image store": "containerd"})
    assert main(["compare", CLASSIC, CONTAINERD, "--results", str(tmp_path), "--metric", "size.transfer"]) == 1
    text = capsys.readouterr().out
    assert f"{CLASSIC} and {CONTAINERD}: × is second ÷ first" in text
    assert "go-scratch" in text


def test_engines_on_different_machines_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on(tmp_path, CLASSIC, processor="one")
    on(tmp_path, CONTAINERD, processor="another")
    assert main(["compare", CLASSIC, CONTAINERD, "--results", str(tmp_path)]) == 2
    assert "processor: one → another" in capsys.readouterr().err


def test_an_engine_that_was_not_measured_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on(tmp_path, CLASSIC)
    assert main(["compare", CLASSIC, "private:20.10", "--results", str(tmp_path)]) == 2
    assert "the run has no cell of this name" in capsys.readouterr().err


def test_engines_are_told_from_pytests_arguments() -> None:
    arguments = ["--engine", CLASSIC, "-k", "go", f"--engine={CONTAINERD}", "-m", "size", "--co"]
    assert engines_of(arguments) == ([CLASSIC, CONTAINERD], ["-k", "go", "-m", "size", "--co"])


def test_a_name_that_is_no_engine_ends_it_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--engine", CLASSIC, "--engine", "private:19.03", "--co"]) == 2
    assert "--engine: 'private:19.03' names no version" in capsys.readouterr().err
