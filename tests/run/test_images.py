"""Images as a generated catalogue: rows, probes, what shows that a container works, and what a run keeps of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalogue.catalogue import Catalogue
from harness.errors import UsageError
from harness.model import Connection, Exit, LogLine, Request
from harness.run.images import NOTE, Images, generated, probes, rows

EMPTY = Catalogue(apps=(), strategies=(), bases={}, release="trixie", cells=())


def test_a_row_is_named_after_the_last_part_of_an_image():
    assert rows(["registry.test:5000/team/Shop:1.2", "out/shop.tar", "shop@sha256:ab", "shop:1.2"]) == [
        "shop-1-2",
        "shop",
        "shop-2",
        "shop-1-2-2",
    ]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6))
def test_every_row_has_a_name_of_its_own_that_an_id_may_have(names):
    found = rows(names)
    assert len(set(found)) == len(names)
    assert all(name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in found)


def test_an_image_is_a_file_if_there_is_one_and_a_name_if_not(tmp_path):
    path = tmp_path / "shop.tar"
    path.write_bytes(b"")
    with generated(EMPTY, Images(names=(str(path), "shop:1"), port=80)) as catalogue:
        file, name = catalogue.cells
        assert (file.archive, file.reference) == (path, "")
        assert (name.archive, name.reference) == (None, "shop:1")
        assert not file.is_built
        assert not name.is_built
        assert [cell.id for cell in catalogue.cells] == ["image-shop", "image-shop-1"]
        folder = Path(file.dockerfile)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("asked", "ready"),
    [
        ({"port": 80}, Connection()),
        ({"port": 80, "path": "/health"}, Request("/health")),
        ({"log": "listening"}, LogLine("listening")),
        ({"until_exit": True}, Exit()),
    ],
)
def test_what_shows_that_a_container_works(asked, ready):
    assert Images(names=("a",), **asked).ready == ready


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "--port PORT"),
        ({"port": 80, "path": "/a", "log": "b"}, "more than one"),
        ({"port": 80, "path": "health"}, "no path"),
        ({"port": 80, "names": ()}, "no image"),
    ],
)
def test_what_cannot_be_measured_says_what_to_do(asked, words):
    with pytest.raises(UsageError, match=words):
        Images(**{"names": ("a",), **asked})


def test_a_run_keeps_what_it_takes_to_go_on():
    asked = Images(names=("a:1", "a:2"), port=80, path="/health", env={"A": "b"})
    run = SimpleNamespace(id="r", manifest=SimpleNamespace(plan={NOTE: {**asdict(asked), "names": ["a:1", "a:2"]}}))
    assert Images.of(run) == asked
    with pytest.raises(UsageError, match="did not measure images"):
        Images.of(SimpleNamespace(id="r", manifest=SimpleNamespace(plan={})))


def test_images_are_not_built_and_a_job_is_not_looked_into_while_it_runs():
    served = {probe.name for probe in probes(Images(names=("a",), port=80))}
    job = {probe.name for probe in probes(Images(names=("a",), until_exit=True))}
    assert {"size", "care", "surface", "start", "floor", "pull", "link", "harden", "intruder"} == served
    assert served - job == {"harden", "intruder"}


def test_only_the_metrics_that_are_asked_for():
    images = Images(names=("a",), port=80)
    assert {probe.name for probe in probes(images, ["size", "memory"])} == {"size", "start"}
    assert {probe.name for probe in probes(images, ["deploy"])} == {"pull"}
    with pytest.raises(UsageError, match="build"):
        probes(images, ["build"])
