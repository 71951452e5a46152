"""The order of apps."""

from __future__ import annotations

from dataclasses import replace

from harness.run.effort import effort, in_order
from support.fake_lab import make_cell


def test_the_smallest_app_comes_first_unless_others_are_named(tmp_path):
    languages = {"spring": "java", "tool": "rust", "go": "go"}
    cells = []
    for name, language in languages.items():
        for strategy in ("full", "slim"):
            cell = make_cell(tmp_path, name, strategy)
            cells.append(replace(cell, app=replace(cell.app, language=language)))
    assert [cell.id for cell in in_order(cells)] == [
        *("go-full", "go-slim", "spring-full", "spring-slim", "tool-full", "tool-slim")
    ]
    named = in_order(cells, ["tool", "nobody", "spring"])
    assert list(dict.fromkeys(cell.app.name for cell in named)) == ["tool", "spring", "go"]
    assert effort(cells[0].app) < effort(replace(cells[0].app, language="cobol"))
