"""What a choice costs in care, in words."""

from __future__ import annotations

from pathlib import Path

from harness.report.care import care_text
from harness.store.run import CellInfo, Run
from support.synthetic import run


def cell(of: Run, id_: str) -> CellInfo:
    return next(cell for cell in of.manifest.cells if cell.id == id_)


def test_a_choice_for_scratch_says_what_it_costs(tmp_path: Path) -> None:
    found = run(tmp_path, blocks=1)
    assert care_text(found, cell(found, "go-scratch"), cell(found, "go-distroless")) == (
        "What scratch costs in care: 21 (distroless: 0) components are patched only if the build collects their files"
        " again, and no scanner reports them; 38 (distroless: 18) lines of Dockerfile are the team's to maintain; it"
        " lacks a locale and a shell to debug with (a container beside it can still attach a debugger); two builds give"
        " the same image."
    )
    assert "a rebuild on a new base patches every component" in care_text(found, cell(found, "go-slim"))


def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path) -> None:
    found = run(tmp_path, blocks=1, without=("surface", "care", "build"))
    assert care_text(found, cell(found, "go-scratch")) == ""
