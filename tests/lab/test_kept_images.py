"""Kept images, in folders laid out as docker-registry lays them out."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalogue.read import read
from harness.cell.prepare import Workshop
from harness.engine.fake.engine import INFO
from harness.lab.bases.bases import BaseImage
from harness.lab.kept_images import Kept, Shelf, key_of
from harness.lab.state import RunState
from harness.settings import FRESH

ROOT = Path(__file__).parents[2]

REPOSITORY = "tare.local/go-slim"
CONTENT = {hashlib.sha256(text.encode()).hexdigest(): text for text in ("base", "layer", "config", "manifest")}
BASE, LAYER, CONFIG, MANIFEST = CONTENT


def kept(age: float = 0.0) -> Kept:
    return Kept(image="sha256:1", diff_ids=("sha256:2", "sha256:3"), log="#1 done", at=time.time() - age)


class Registry:
    """What docker-registry leaves of a push, with the names of distribution/distribution's paths.go."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.root = storage / "docker/registry/v2"

    def blob(self, name: str) -> Path:
        return self.root / "blobs/sha256" / name[:2] / name / "data"

    def push(self) -> None:
        repository = self.root / "repositories" / REPOSITORY
        for name in (BASE, LAYER, CONFIG, MANIFEST):
            self.blob(name).parent.mkdir(parents=True)
            self.blob(name).write_text(CONTENT[name])
        for name in (BASE, LAYER, CONFIG):
            (repository / "_layers/sha256" / name).mkdir(parents=True)
            (repository / "_layers/sha256" / name / "link").write_text(f"sha256:{name}")
        for folder in (f"revisions/sha256/{MANIFEST}", "tags/current/current"):
            (repository / "_manifests" / folder).mkdir(parents=True)
            (repository / "_manifests" / folder / "link").write_text(f"sha256:{MANIFEST}")

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def shelf(tmp_path):
    before = Registry(tmp_path / "before")
    before.push()
    shelf = Shelf(tmp_path / "shelf", before.storage)
    assert shelf.put("key", REPOSITORY, kept())
    return tmp_path / "shelf"


def test_what_was_pushed_once_is_there_in_another_registry(tmp_path, shelf):
    later = Registry(tmp_path / "later")
    again = Shelf(shelf, later.storage)
    assert again.has("key")
    assert again.take("key", REPOSITORY).diff_ids == kept().diff_ids
    assert later.files() == Registry(tmp_path / "before").files()


def test_blobs_are_linked_and_what_a_push_rewrites_is_copied(tmp_path, shelf):
    later = Registry(tmp_path / "later")
    Shelf(shelf, later.storage).take("key", REPOSITORY)
    assert later.blob(LAYER).samefile(Registry(tmp_path / "before").blob(LAYER))
    tag = Path("docker/registry/v2/repositories") / REPOSITORY / "_manifests/tags/current/current/link"
    (later.storage / tag).write_text("sha256:other")
    assert (tmp_path / "before" / tag).read_text() == f"sha256:{MANIFEST}"
    third = Registry(tmp_path / "third")
    Shelf(shelf, third.storage).take("key", REPOSITORY)
    assert (third.storage / tag).read_text() == f"sha256:{MANIFEST}"


def test_a_blob_that_another_cell_has_brought_is_no_obstacle(tmp_path, shelf):
    later = Registry(tmp_path / "later")
    later.blob(BASE).parent.mkdir(parents=True)
    later.blob(BASE).write_text(CONTENT[BASE])
    assert Shelf(shelf, later.storage).take("key", REPOSITORY)
    assert later.files() == Registry(tmp_path / "before").files()


@pytest.mark.parametrize("name", CONTENT, ids=CONTENT.values())
def test_a_damaged_blob_is_found(tmp_path, shelf, name):
    later = Registry(tmp_path / "later")
    again = Shelf(shelf, later.storage)
    again.take("key", REPOSITORY)
    assert again.sound(REPOSITORY)
    damaged = Registry(tmp_path / "before")
    damaged.blob(name).write_text(CONTENT[name] + "?")
    assert again.sound(REPOSITORY)  # read once in a run
    assert not Shelf(shelf, later.storage).sound(REPOSITORY)
    assert not later.blob(name).exists()  # so that a push brings it anew
    assert not Shelf(shelf, later.storage).sound(REPOSITORY)
    assert not again.sound("tare.local/never-pushed")


def old(shelf: Path) -> None:
    record = json.loads((shelf / "key/record.json").read_text())
    (shelf / "key/record.json").write_text(json.dumps(record | {"at": time.time() - FRESH - 1}))


@pytest.mark.parametrize(
    "spoil",
    [
        old,
        lambda shelf: (shelf / "key/record.json").unlink(),
        lambda shelf: (shelf / "key/record.json").write_text("{"),
        lambda shelf: (shelf / "key/record.json").write_text("[]"),
        lambda shelf: (shelf / "key/record.json").write_text('{"image": "sha256:1", "at": "long ago"}'),
    ],
    ids=["old", "no record", "torn", "a list", "of another version"],
)
def test_what_cannot_be_used_is_removed(tmp_path, shelf, spoil):
    spoil(shelf)
    again = Shelf(shelf, tmp_path / "later")
    assert not again.has("key")
    assert again.take("key", REPOSITORY) is None
    assert not list(shelf.iterdir())


def test_an_entry_that_lacks_a_blob_is_none(tmp_path, shelf):
    (shelf / "key/blobs" / LAYER).unlink()
    again = Shelf(shelf, tmp_path / "later")
    assert again.take("key", REPOSITORY) is None
    assert not again.has("key")


def test_a_repository_that_is_not_there_is_not_kept(tmp_path):
    shelf = Shelf(tmp_path / "shelf", tmp_path / "storage")
    assert not shelf.put("key", REPOSITORY, kept())
    assert not list((tmp_path / "shelf").iterdir())


def key(monkeypatch, folder, *, base="sha256:1", version="20.10", epoch="", edit=b"", shelf=True, archive=None):
    """The key of python × distroless with something changed."""
    cell = next(cell for cell in read(ROOT).cells if cell.id == "python-distroless")
    copy = folder / "app"
    shutil.copytree(cell.app.path, copy, dirs_exist_ok=True)
    (copy / "main.py").write_bytes((cell.app.path / "main.py").read_bytes() + edit)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    lab = SimpleNamespace(
        shelf=object() if shelf else None,
        bases={
            role: BaseImage(role=role, name="n", image_id=base, diff_ids=("d",), lane="packages", provenance={})
            for role in cell.bases
        },
        engine=SimpleNamespace(info=replace(INFO, version=version)),
    )
    return Workshop(lab, RunState())._key(replace(cell, app=replace(cell.app, path=copy), archive=archive))


def test_a_key_tells_every_input_apart(monkeypatch, tmp_path):
    changes = [
        {},
        {"base": "sha256:2"},
        {"version": "27.0"},
        {"epoch": "1700000000"},
        {"edit": b"# a line more"},
    ]
    found = [key(monkeypatch, tmp_path, **change) for change in changes]
    assert all(found)
    assert len(set(found)) == len(changes)
    assert key(monkeypatch, tmp_path) == found[0]
    assert not key(monkeypatch, tmp_path, shelf=False)
    assert not key(monkeypatch, tmp_path, archive=tmp_path)


@given(st.lists(st.binary()), st.lists(st.binary()))
def test_keys_differ_where_any_part_does(some, others):
    assert (key_of(some) == key_of(others)) == (some == others)
