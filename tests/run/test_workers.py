"""Workers: what takes longest is begun first, side by side."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from harness.cell.prepare import Workshop
from harness.errors import TryFailed
from harness.lab.bases.bases import BaseImage
from harness.lab.state import RunState
from harness.model import Status
from harness.run.workers import Crew
from support.fake_lab import fake_lab, make_cell


def base(role, packed):
    return BaseImage(role=role, name=role, image_id="", diff_ids=(), lane="packages", provenance={}, packed=packed)


def test_cells_are_prepared_side_by_side_what_takes_longest_first(monkeypatch, tmp_path):
    guard, building, most, order = threading.Lock(), [], [], []

    def prepare(_, cell):
        with guard:
            building.append(cell)
            order.append(cell.app.name)
            most.append(len(building))
        time.sleep(0.002)
        with guard:
            building.remove(cell)
        raise TryFailed(Status.ERROR, "enough")

    monkeypatch.setattr(Workshop, "prepare", prepare)
    cells = []
    for number in range(12):
        roles = ("os",) if number < 4 else ("os", "sdk-rust") if number < 6 else ("os", "sdk-go")
        cell = replace(make_cell(tmp_path, str(number)), bases=roles)
        cell.dockerfile.write_text("x" * number)
        cells.append(cell)
    lab = fake_lab(tmp_path, cells)
    lab.bases = {role: base(role, size) for role, size in (("os", 30), ("sdk-rust", 236), ("sdk-go", 80))}
    done = [item for item in Crew(lab, RunState(), cells, [], lambda *_: [], workers=2).work() if item]
    assert sorted(int(item.cell.app.name) for item in done) == list(range(len(cells)))
    assert max(most) == 2
    places = {cell: place for place, cell in enumerate(order)}  # two at once: either may be entered first
    for earlier, later in (("3", "5"), ("2", "4"), ("5", "11"), ("4", "10"), ("11", "8"), ("9", "6")):
        assert places[earlier] < places[later], order


def test_a_changed_image_has_to_answer_in_one_strategy_of_each_app(monkeypatch, tmp_path):
    cells = [make_cell(tmp_path, app, way) for app in ("good", "bad") for way in ("full", "slim")]
    workshop = Workshop(fake_lab(tmp_path, cells), RunState())
    started = []

    def verify(_, cell, image):
        started.append(image)
        if "bad" in image:
            raise TryFailed(Status.WRONG_ANSWER, "no")
        return 2.0

    monkeypatch.setattr(Workshop, "verify", verify)
    assert [workshop._verify_changed(cell, cell.id) for cell in cells[:2]] == [2.0, 0.0]
    for cell in cells[2:]:  # then every strategy reports what is wrong
        with pytest.raises(TryFailed):
            workshop._verify_changed(cell, cell.id)
    assert started == ["good-full", "bad-full", "bad-slim"]


def test_a_cell_that_cannot_be_prepared_is_tried_once_more_with_what_it_lacks(monkeypatch, tmp_path):
    first, other = make_cell(tmp_path, "a"), make_cell(tmp_path / "other", "a")
    tried, asked = [], []

    def prepare(_, cell):
        tried.append(cell)
        raise TryFailed(Status.EXITED, f"failure {len(tried)}")

    def mend(cell, error):
        asked.append((cell, error.reason))
        return other, "it lacked time zones"

    monkeypatch.setattr(Workshop, "prepare", prepare)
    crew = Crew(fake_lab(tmp_path, [first]), RunState(), [first], [], lambda *_: [], mend=mend)
    (done,) = [item for item in crew.work() if item]
    assert tried == [first, other]
    assert asked == [(first, "failure 1"), (other, "failure 2")]  # the same remedy is not tried again
    assert done.made.try_.reason == "failure 2"


def test_several_remedies_are_tried_each_once(monkeypatch, tmp_path):
    cells = [make_cell(tmp_path / str(number), "a") for number in range(5)]
    tried = []

    def prepare(_, cell):
        tried.append(cell)
        raise TryFailed(Status.EXITED, f"failure {len(tried)}")

    def mend(cell, error):
        return cells[cells.index(cell) + 1], f"it lacked {error.reason}"

    monkeypatch.setattr(Workshop, "prepare", prepare)
    crew = Crew(fake_lab(tmp_path, cells[:1]), RunState(), cells[:1], [], lambda *_: [], mend=mend)
    (done,) = [item for item in crew.work() if item]
    assert tried == cells[:4]
    assert done.made.try_.reason == "failure 4"
