"""Why two images differ, from what a run stored; pending security updates; reading stored documents."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.inside import layers_text
from harness.store.documents import STEPS, SURFACE
from harness.surface.difference import difference
from harness.surface.finding import Ecosystem, Package
from harness.surface.inspection import inspect
from harness.surface.ownership import Installed
from harness.surface.pending import Index, compare, parse, pending
from harness.surface.stored import StoredImage
from support.images import DPKG_STATUS, File, Layer, elf, layer, pieces, saved

SHELL = File(elf({".text": b"x"}), 0o755)


def stored(name: str, *layers: Layer) -> tuple[StoredImage, int]:
    """The documents of an image, and the bytes of its files."""
    import orjson

    found = inspect(pieces(saved([layer(files) for files in layers])), name=name, image="sha256:0")
    documents = found.documents()
    image = StoredImage(cell=name, surface=orjson.loads(documents[SURFACE]), steps=orjson.loads(documents[STEPS]))
    return image, found.account.unpacked


BASE: Layer = {"usr/lib/libssl.so": b"s" * 400, "bin/sh": SHELL}
LISTED: Layer = {"var/lib/dpkg/status": DPKG_STATUS, "var/lib/dpkg/info/libssl3t64.list": b"/usr/lib/libssl.so\n"}


def test_every_byte_of_the_difference_is_told_by_package_file_or_rest() -> None:
    before, smaller = stored("a", {"app": b"a" * 100})
    after, larger = stored("b", {"app": b"a" * 150}, BASE, LISTED)
    found = difference(before, after)
    assert found.grows == larger - smaller
    assert [(change.name, change.before, change.after) for change in found.packages] == [
        ("libssl3t64", None, 400),
        ("bash", None, 0),
    ]
    assert ("app", 100, 150) in [(change.name, change.before, change.after) for change in found.files]
    assert (len(found.shared), len(found.only_before), len(found.only_after)) == (0, 1, 3)
    assert found.tools == (("shells", (), ("sh",)),)
    assert ("packages", 0, 2) in found.counts


def test_shared_layers_are_those_of_the_same_digest() -> None:
    before, _ = stored("a", BASE, {"app": b"1"})
    after, _ = stored("b", BASE, {"app": b"2"})
    found = difference(before, after)
    assert [item["diff_id"] for item in found.shared] == [before.steps["layers"][0]["diff_id"]]


def test_an_image_does_not_differ_from_itself() -> None:
    image, _ = stored("a", BASE, LISTED)
    found = difference(image, image)
    assert (found.packages, found.files, found.counts, found.tools, found.grows) == ((), (), (), (), 0)


def test_layers_are_told_with_their_waste_and_folders() -> None:
    image, _ = stored("a", BASE, {"usr/lib/libssl.so": b"t" * 400})
    text = layers_text(image)
    assert "wasted: 400 B" in text
    assert "/usr/lib" in text


# ---- pending security updates


def installed(name: str, version: str) -> Installed:
    package = Package(ecosystem=Ecosystem.DEB, name=name, version=version, architecture="amd64")
    return Installed(package=package, path="var/lib/dpkg/status", layer=0)


PACKAGES = """Package: libssl3t64
Source: openssl
Version: 3.5.1-1+deb13u1
Architecture: amd64

Package: libssl3t64
Version: 3.5.1-1+deb13u10
Architecture: amd64

Package: bash
Version: 5.2.37-2
Architecture: amd64
"""


def test_a_package_is_pending_where_the_security_suite_has_a_newer_version() -> None:
    index = Index(distribution="debian", suite="trixie-security", dated="today", versions=parse(PACKAGES))
    found = pending(
        [installed("libssl3t64", "3.5.1-1+deb13u9"), installed("bash", "5.2.37-2"), installed("x", "1")], index
    )
    assert [(one.name, one.fixed) for one in found] == [("libssl3t64", "3.5.1-1+deb13u10")]


# deb-version(7) and the cases of Debian Policy 5.6.12
ORDERED = [
    "1.0~~",
    "1.0~~a",
    "1.0~",
    "1.0",
    "1.0-0",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1.1",
    "1.0a",
    "1.0+a",
    "1.0.1",
    "1.2",
    "1.10",
    "1:0.1",
]


def test_versions_are_in_debians_order() -> None:
    for number, one in enumerate(ORDERED):
        for other in ORDERED[number + 1 :]:
            if (one, other) != ("1.0", "1.0-0"):
                assert compare(one, other) < 0 < compare(other, one), (one, other)
    assert compare("1.0", "1.0-0") == 0
    assert compare("0:1", "1") == 0
    assert compare("1.01", "1.1") == 0


@pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg on this machine")
@given(*[st.from_regex(r"([0-2]:)?[0-9][0-9a-b.+~]{0,5}(-[0-9a-b+~.]{1,4})?", fullmatch=True)] * 2)
def test_versions_are_in_dpkgs_own_order(one: str, other: str) -> None:
    def holds(relation: str) -> bool:
        return subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=False).returncode == 0

    order = compare(one, other)
    assert holds("lt") is (order < 0)
    assert holds("eq") is (order == 0)
