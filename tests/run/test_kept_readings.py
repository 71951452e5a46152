"""Readings that are kept with a kept image, and those that must not be."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.lab.kept_images import Kept, Shelf
from harness.model import Metric, Unit
from harness.probes import all_probes
from harness.probes.base import CellProbe, ImageProbe, Reading
from harness.run import kept_readings as keptreading
from harness.run.kept_readings import NOTE, keep, recall

STATE = "image"
METRICS = tuple(Metric(name=name, unit=Unit.BYTES, help="", deterministic=True) for name in ("size.a", "size.b"))


class OfImage(ImageProbe):
    name = "size"
    metrics = METRICS

    def visit_cell(self, lab, state, cell):
        yield from ()


class OfContainer(CellProbe):
    name = "size"
    metrics = METRICS

    def visit_cell(self, lab, state, cell):
        yield from ()


PROBE = OfImage()
CELL = SimpleNamespace(key="key")
READING = Reading({"size.a": 3.0, "size.b": 4.5}, notes={"user": "root"}, artefacts={"parts.json": b"\x00\xff{}"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shelf(folder):
    return on_shelf(folder)


def on_shelf(folder, age: float = 0.0) -> Shelf:
    """A shelf with an image, built `age` seconds ago, and no notes."""
    storage = folder / "storage"
    repository = storage / "docker/registry/v2/repositories/cell"
    for name in ("_manifests/revisions/sha256", "_layers/sha256"):
        (repository / name).mkdir(parents=True, exist_ok=True)
    shelf = Shelf(folder / "shelf", storage)
    assert shelf.put("key", "cell", Kept(image="sha256:1", diff_ids=(), log="", at=time.time() - age))
    return shelf


def same(one: Reading, two: Reading) -> bool:
    notes = {name: text for name, text in two.notes.items() if name != NOTE}
    return (one.values, one.artefacts, one.notes) == (two.values, two.artefacts, notes)


def test_a_reading_comes_back_as_it_was_and_says_so(shelf):
    assert recall(shelf, CELL, PROBE, STATE) is None
    keep(shelf, CELL, PROBE, STATE, READING)
    found = recall(shelf, CELL, PROBE, STATE)
    assert same(READING, found)
    assert found.notes[NOTE].startswith("read ")


@given(
    st.fixed_dictionaries({"size.a": st.floats(allow_nan=False, allow_infinity=False), "size.b": st.floats(0, 1e18)}),
    st.dictionaries(st.text().filter(lambda name: name != NOTE), st.text()),
    st.dictionaries(st.text(), st.binary()),
)
def test_any_reading_comes_back(folder, values, notes, artefacts):
    shelf, reading = on_shelf(folder), Reading(values, notes=notes, artefacts=artefacts)
    keep(shelf, CELL, PROBE, STATE, reading)
    assert same(reading, recall(shelf, CELL, PROBE, STATE))


@pytest.mark.parametrize(
    ("cell", "probe", "reading"),
    [
        (SimpleNamespace(key=""), PROBE, READING),  # an image that is not kept
        (CELL, OfContainer(), READING),
        (CELL, PROBE, Reading({"size.a": 3.0})),  # something could not be read: the next run may
    ],
)
def test_what_is_not_kept(shelf, cell, probe, reading):
    keep(shelf, cell, probe, STATE, reading)
    assert recall(shelf, cell, probe, STATE) is None


def test_it_goes_with_the_image(folder):
    keep(on_shelf(folder), CELL, PROBE, STATE, READING)
    shelf = on_shelf(folder)  # another image of the same inputs
    assert recall(shelf, CELL, PROBE, STATE) is None
    keep(shelf, CELL, PROBE, STATE, READING)
    shelf.drop("key")
    assert recall(shelf, CELL, PROBE, STATE) is None
    keep(shelf, CELL, PROBE, STATE, READING)  # no image, no note
    assert not (folder / "shelf" / "key").exists()


def test_other_code_reads_anew(shelf, monkeypatch):
    keep(shelf, CELL, PROBE, STATE, READING)
    monkeypatch.setattr(keptreading, "_code", lambda: "other")
    assert recall(shelf, CELL, PROBE, STATE) is None


def test_a_spoilt_note_is_read_anew(folder, shelf):
    keep(shelf, CELL, PROBE, STATE, READING)
    (note,) = (folder / "shelf" / "key" / "notes").iterdir()
    for spoilt in (b"", b"[]", b"{}", b'{"at": 1, "values": {}, "notes": {}, "artefacts": {"a": "?"}}', b"\xff"):
        note.write_bytes(spoilt)
        assert recall(shelf, CELL, PROBE, STATE) is None


def test_nothing_with_a_clock_or_a_container_is_kept():
    assert {probe.name for probe in all_probes() if isinstance(probe, ImageProbe)} == {"care", "size", "surface"}
