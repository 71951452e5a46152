"""What a choice costs in care, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.report.care import care_text
from harness.report.traits import traits
from harness.store.run import CellInfo, Run
from support.synthetic import run


def cell(of: Run, id_: str) -> CellInfo:
    return next(cell for cell in of.manifest.cells if cell.id == id_)


def test_a_choice_for_scratch_says_what_it_costs(tmp_path: Path) -> None:
    found = run(tmp_path, blocks=1)
    assert care_text(found, cell(found, "go-scratch"), cell(found, "go-distroless")) == (
        "What scratch asks of its team: 21 (distroless: 0) components are patched only if the build collects their"
        " files again, and no scanner reports them; 38 (distroless: 18) lines of Dockerfile are the team's to maintain;"
        " it lacks a locale and a shell to debug with (a container beside it can still attach a debugger). Two builds"
        " give the same image with every strategy that was measured."
    )
    assert "a rebuild on a new base patches every component" in care_text(found, cell(found, "go-slim"))


def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path) -> None:
    found = run(tmp_path, blocks=1, without=("surface", "care", "build"))
    assert care_text(found, cell(found, "go-scratch")) == ""


def test_builds_that_differ_are_compared_with_the_other_strategies(tmp_path: Path) -> None:
    found = run(tmp_path, blocks=1)
    series = dict(found.series())
    key = ("go-full", "build.reproducible")
    series[key] = replace(series[key], value=1 - series[key].value)
    changed = replace(found, _series=series)
    said = "Two builds of full give different images. Two builds of slim, multi-stage, distroless and scratch give"
    assert f"{said} the same image." in care_text(changed, cell(changed, "go-full"))


def test_a_restriction_is_named_and_whether_it_depends_on_the_strategy(tmp_path: Path) -> None:
    found = run(tmp_path, blocks=1)
    cells = [item for item in found.manifest.cells if item.app == "go"]
    one = replace(found.series()["go-full", "surface.root"], value=np.array([0.0]))
    fails = {(item.id, name): one for item in cells for name in ("harden.all", "harden.readonly")}
    everywhere = replace(found, _series={**found.series(), **fails})
    said = "does not work with a read-only root file system"
    assert f"{said} (this is so with every strategy)" in traits(everywhere, cells[0])
    works = replace(one, value=np.array([1.0]))
    only = replace(found, _series={**everywhere.series(), **{("go-slim", name): works for _, name in fails}})
    assert said in traits(only, cells[0])
    assert any(text.startswith("works with a read-only root file") for text in traits(only, cell(only, "go-slim")))
