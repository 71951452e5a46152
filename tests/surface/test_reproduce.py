"""Which files make two builds differ."""

from __future__ import annotations

import json
import tarfile

from harness.surface.reproduce import unlike
from support.images import File, Layer, layer, pieces, saved

LOG: Layer = {"var/log/dpkg.log": b"2026-01-01", "bin/app": File(b"app", 0o755), "etc/x": b"x"}


def compared(*builds: list[bytes]):
    return unlike(*(pieces(saved(layers)) for layers in builds))


def later(files: Layer) -> bytes:
    """The same layer an hour later: every entry's time differs, and nothing else."""
    import io

    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(layer(files))) as one, tarfile.open(fileobj=out, mode="w") as other:
        for member in one:
            member.mtime = 3600
            other.addfile(member, one.extractfile(member))
    return out.getvalue()


def test_the_same_builds_do_not_differ() -> None:
    assert compared([layer(LOG)], [layer(LOG)]).layers == ()


def test_files_that_differ_are_named_with_how() -> None:
    other = {**LOG, "var/log/dpkg.log": b"2026-01-02", "bin/app": File(b"app", 0o700), "new": b""}
    del other["etc/x"]
    found = compared([layer({"base": b""}), layer(LOG)], [layer({"base": b""}), layer(other)])
    (only,) = found.layers
    assert (only.number, only.count) == (1, 4)
    assert {file.path: file.how for file in only.files} == {
        "var/log/dpkg.log": "content",
        "bin/app": "mode",
        "etc/x": "only first",
        "new": "only second",
    }
    assert json.loads(found.document())["layers"][0]["number"] == 1


def test_times_alone_are_told_last_and_named_so() -> None:
    changed = {**LOG, "etc/x": b"y"}
    found = compared([layer(LOG)], [later(changed)])
    assert [(file.path, file.how) for file in found.layers[0].files] == [
        ("etc/x", "content"),
        ("bin/app", "time"),
        ("var/log/dpkg.log", "time"),
    ]
    assert found.summary().startswith("3 files differ: etc/x (content)")


def test_the_order_of_entries_alone_names_no_file() -> None:
    found = compared([layer(LOG)], [layer(dict(reversed(LOG.items())))])
    assert (found.layers[0].count, found.summary()) == (0, "order of entries")


def test_a_layer_more_differs_by_all_its_files() -> None:
    found = compared([layer(LOG)], [layer(LOG), layer({"more": b"x"})])
    assert [(file.path, file.how) for file in found.layers[0].files] == [("more", "only second")]
