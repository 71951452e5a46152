from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.image import archive
from harness.image.archive import FileIdentity
from harness.image.tar import LayerError

NAMES = st.sampled_from(["a", "b", "c", "d"])
LEAF = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(["a", "../b", "/nowhere"]).map(lambda target: ("link", target)),
)
TREES = st.recursive(
    st.dictionaries(NAMES, LEAF, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | LEAF, max_size=4),
    max_leaves=12,
)


def grow(root: Path, tree: dict) -> Path:
    root.mkdir()
    for name, node in tree.items():
        path = root / name
        if isinstance(node, dict):
            grow(path, node)
        elif isinstance(node, bytes):
            path.write_bytes(node)
        else:
            path.symlink_to(node[1])
    return root


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


def write(
    root: Path, out: Path, *, before: dict[str, FileIdentity] | None = None, since: float = 4e9
) -> archive.WrittenLayer:
    return archive.write_layer(root, out, before=before or {}, epoch=1_700_000_000, since=since)


@given(before=TREES, after=TREES)
def test_a_layer_on_its_parent_gives_the_tree_it_was_made_from(tmp_path_factory, before, after):
    tmp = tmp_path_factory.mktemp("layers")
    old, new = grow(tmp / "old", before), grow(tmp / "new", after)
    write(old, tmp / "old.tar")
    write(new, tmp / "new.tar", before=archive.snapshot(old))
    (tmp / "both").mkdir()
    archive.unpack([tmp / "old.tar", tmp / "new.tar"], tmp / "both")
    assert archive.snapshot(tmp / "both") == archive.snapshot(new)


@given(tree=TREES)
def test_the_same_tree_gives_the_same_bytes_and_nothing_on_itself(tmp_path_factory, tree):
    tmp = tmp_path_factory.mktemp("layers")
    root = grow(tmp / "root", tree)
    first = write(root, tmp / "1.tar", since=0)
    for path in root.rglob("*"):
        os.utime(path, (1, 2_000_000_000), follow_symlinks=False)
    assert write(root, tmp / "2.tar", since=0) == first
    assert first.diff_id == f"sha256:{hashlib.sha256((tmp / '2.tar').read_bytes()).hexdigest()}"
    write(root, tmp / "3.tar", before=archive.snapshot(root))
    assert members(tmp / "3.tar") == {}


def test_entries_are_sorted_with_numeric_owners(tmp_path):
    root = grow(tmp_path / "root", {"b": {"y": b"", "x": b""}, "a": b""})
    write(root, tmp_path / "t.tar")
    found = members(tmp_path / "t.tar")
    assert list(found) == ["a", "b", "b/x", "b/y"]
    assert {(member.uname, member.gname) for member in found.values()} == {("", "")}


def test_folders_above_a_change_are_carried_with_their_own_mode(tmp_path):
    root = grow(tmp_path / "root", {"top": {"deep": {"file": b"1"}}})
    (root / "top").chmod(0o711)
    before = archive.snapshot(root)
    (root / "top/deep/file").write_bytes(b"2")
    write(root, tmp_path / "t.tar", before=before)
    found = members(tmp_path / "t.tar")
    assert list(found) == ["top", "top/deep", "top/deep/file"]
    assert found["top"].mode == 0o711


def test_a_removed_folder_is_one_whiteout(tmp_path):
    root = grow(tmp_path / "root", {"kept": {}, "gone": {"in": {"it": b""}}})
    before = archive.snapshot(root)
    archive._remove(root / "gone")
    write(root, tmp_path / "t.tar", before=before)
    assert list(members(tmp_path / "t.tar")) == [".wh.gone"]


def test_mode_and_content_are_changes_and_time_alone_is_none():
    entry = FileIdentity("file", 0o644, 0, 0, 1, "digest")
    assert archive.changes({"f": entry}, {"f": entry}) == ([], [])
    for other in (
        FileIdentity("file", 0o4755, 0, 0, 1, "digest"),
        FileIdentity("file", 0o644, 1, 0, 1, "digest"),
        FileIdentity("file", 0o644, 0, 0, 1, "other"),
    ):
        assert archive.changes({"f": entry}, {"f": other}) == (["f"], [])


def test_only_files_made_by_the_bootstrap_get_its_date(tmp_path):
    root = grow(tmp_path / "root", {"packaged": b"", "made": b""})
    os.utime(root / "packaged", (5, 1_000))
    os.utime(root / "made", (5, 3_000))
    write(root, tmp_path / "t.tar", since=2_000)
    found = members(tmp_path / "t.tar")
    assert (found["packaged"].mtime, found["made"].mtime) == (1_000, 1_700_000_000)


def test_a_second_name_of_a_file_is_a_link_in_its_own_layer_only(tmp_path):
    root = grow(tmp_path / "root", {"a": b"same"})
    before = archive.snapshot(root)
    (root / "b").hardlink_to(root / "a")
    (root / "c").hardlink_to(root / "a")
    whole = write(root, tmp_path / "whole.tar")
    assert members(tmp_path / "whole.tar")["c"].linkname == "a"
    assert (whole.content, whole.files) == (4, 1)
    write(root, tmp_path / "upper.tar", before=before)
    found = members(tmp_path / "upper.tar")  # `a` is in a layer below, which a link from this layer cannot reach
    assert (found["b"].isfile(), found["c"].linkname) == (True, "b")


def test_packed_size_is_near_gzip(tmp_path):
    import gzip

    data = b"".join(hashlib.sha256(str(n // 3).encode()).digest() for n in range(40_000))
    (tmp_path / "f").write_bytes(data)
    assert archive.packed_size(tmp_path / "f") == pytest.approx(len(gzip.compress(data, 6)), rel=0.05)
    (tmp_path / "empty").touch()
    assert archive.packed_size(tmp_path / "empty") == 0


def test_an_archive_names_its_image_and_holds_its_layers_once(tmp_path):
    root = grow(tmp_path / "root", {"f": b"x"})
    layer = write(root, tmp_path / "t.tar")
    stored = tmp_path / f"{layer.diff_id[7:]}.tar"
    (tmp_path / "t.tar").rename(stored)
    config = archive.image_config(
        architecture="amd64", diff_ids=[layer.diff_id], history=["made"], config={"User": "1"}, epoch=0
    )
    archive.write_archive(tmp_path / "image.tar", config=config, layers=[stored], name="tare.local/base/x:1")
    again = io.BytesIO((tmp_path / "image.tar").read_bytes())
    with tarfile.open(fileobj=again) as tar:
        (entry,) = json.loads(tar.extractfile("manifest.json").read())
        assert archive.image_id(tar.extractfile(entry["Config"]).read()) == archive.image_id(config)
        (name,) = entry["Layers"]
        assert hashlib.sha256(tar.extractfile(name).read()).hexdigest() == layer.diff_id[7:]
    assert entry["RepoTags"] == ["tare.local/base/x:1"]
    said = json.loads(config)
    assert said["created"] == "1970-01-01T00:00:00Z"
    assert len(said["history"]) == len(said["rootfs"]["diff_ids"])


@pytest.mark.parametrize(
    "path", ["../outside/file", "out/file", "out/.wh.file", "../.wh.outside", "a/.wh...", "/nowhere/file"]
)
def test_layers_are_unpacked_inside_their_folder(tmp_path, path):
    """A link of the layer below may lead out of the root: it is not followed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    for name, members in (("low.tar", [("out", str(tmp_path / "outside"))]), ("high.tar", [(path, "")])):
        with tarfile.open(tmp_path / name, "w") as tar:
            for member_path, target in members:
                member = tarfile.TarInfo(member_path)
                member.type, member.linkname = (tarfile.SYMTYPE, target) if target else (tarfile.REGTYPE, "")
                tar.addfile(member)
    (tmp_path / "root").mkdir()
    with pytest.raises(LayerError, match="leaves the root"):
        archive.unpack([tmp_path / "low.tar", tmp_path / "high.tar"], tmp_path / "root")
    assert (tmp_path / "outside" / "file").read_text() == "mine"
