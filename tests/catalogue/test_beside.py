"""Two revisions' catalogues in one: each revision keeps its own bases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalogue.beside import beside
from harness.catalogue.read import read
from harness.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue():
    return read(ROOT)


def changed(catalogue, role, **fields):
    return replace(catalogue, bases={**catalogue.bases, role: replace(catalogue.bases[role], **fields)})


def cell(catalogue, name):
    return next(cell for cell in catalogue.cells if cell.id == name)


def test_the_same_bases_stay_as_they_are(catalogue):
    pair = beside(catalogue, catalogue, ".base")
    assert pair.moved == frozenset()
    assert pair.catalogue == catalogue
    assert pair.old(cell(catalogue, "go-slim")) == cell(catalogue, "go-slim")


def test_a_base_that_changed_is_there_twice_with_all_that_stands_on_it(catalogue):
    new = changed(catalogue, "distroless-static", packages=("base-files",))
    pair = beside(new, catalogue, ".base")
    assert "distroless-static" in pair.moved
    assert "distroless-base" in pair.moved  # it stands on distroless-static
    assert "sdk-go" not in pair.moved
    bases = pair.catalogue.bases
    assert bases["distroless-static"].packages == ("base-files",)
    old = bases["distroless-static.base"]
    assert old.packages == catalogue.bases["distroless-static"].packages
    assert old.argument == "BASE_DISTROLESS_STATIC"  # the Dockerfiles of that revision name it so
    assert old.named == "distroless-static"  # and its kept layers
    assert bases["distroless-base.base"].options["on"] == "distroless-static.base"
    moved = pair.old(cell(catalogue, "go-distroless"))
    assert moved.bases == ("sdk-go", "distroless-static.base")
    assert moved.base == "distroless-static.base"


def test_a_service_of_the_older_revision_keeps_its_base(catalogue):
    shop = next(cell for cell in catalogue.cells if cell.beside)
    role = shop.beside[0].base
    pair = beside(changed(catalogue, role, title="another"), catalogue, ".base")
    assert {service.base for service in pair.old(shop).beside} >= {f"{role}.base"}


def test_a_role_that_the_newer_revision_has_no_more_is_still_there(catalogue):
    new = replace(catalogue, bases={role: base for role, base in catalogue.bases.items() if role != "sdk-rust"})
    assert beside(new, catalogue, ".base").catalogue.bases["sdk-rust.base"].argument == "BASE_SDK_RUST"


def test_another_release_is_refused(catalogue):
    with pytest.raises(UsageError, match="different releases"):
        beside(replace(catalogue, release="forky"), catalogue, ".base")
