"""OCI image layouts: told apart from docker archives, read for one machine, and what is wrong with one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.image.layout import is_layout, read_layout, unpack
from support.images import layer, saved

INDEX = "application/vnd.oci.image.index.v1+json"


def layout(folder, *, platforms=("amd64",), nested=False):
    """A layout with an image for each of the platforms."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data), **more}

    entries = []
    for platform in platforms:
        config = blob(json.dumps({"architecture": platform, "config": {"ExposedPorts": {"80/tcp": {}}}}).encode())
        manifest = {"schemaVersion": 2, "config": config, "layers": [blob(layer({"a": b"a"}))]}
        about = {"platform": {"os": "linux", "architecture": platform}}
        entries.append(blob(json.dumps(manifest).encode(), **about))
    attestation = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    entries.append(blob(b"{}", **attestation))
    index = {"schemaVersion": 2, "manifests": entries}
    if nested:
        index = {"schemaVersion": 2, "manifests": [blob(json.dumps(index).encode(), mediaType=INDEX)]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


@pytest.mark.parametrize("nested", [False, True])
def test_the_image_for_this_machine_is_taken(tmp_path, nested):
    folder = layout(tmp_path / "it", platforms=("amd64", "arm64"), nested=nested)
    found = read_layout(folder, "arm64")
    assert json.loads(found.config.read_bytes())["architecture"] == "arm64"
    assert len(found.blobs) == 2
    for digest, path in found.blobs:
        assert digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_no_image_for_this_machine_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no images for linux/s390x"):
        read_layout(layout(tmp_path / "it"), "s390x")


def test_two_images_for_this_machine_are_an_error(tmp_path):
    with pytest.raises(UsageError, match="2 images"):
        read_layout(layout(tmp_path / "it", platforms=("amd64", "amd64")), "amd64")


def test_a_missing_blob_is_named(tmp_path):
    folder = layout(tmp_path / "it")
    for path in (folder / "blobs" / "sha256").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="is missing"):
        read_layout(folder, "amd64")


def test_a_digest_that_leads_out_of_the_layout_is_refused(tmp_path):
    folder = layout(tmp_path / "it")
    (tmp_path / "secret").write_text("{}")
    index = {"manifests": [{"digest": "sha256:../../../secret"}]}
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="missing"):
        read_layout(folder, "amd64")


def test_a_tar_of_a_layout_is_no_docker_archive(tmp_path):
    folder = layout(tmp_path / "it")
    with tarfile.open(tmp_path / "oci.tar", "w") as archive:
        archive.add(folder, ".")
    (tmp_path / "docker.tar").write_bytes(saved([layer({"a": b"a"})]))
    assert is_layout(folder)
    assert is_layout(tmp_path / "oci.tar")
    assert not is_layout(tmp_path / "docker.tar")
    unpack(tmp_path / "oci.tar", tmp_path / "out")
    assert read_layout(tmp_path / "out", "amd64") is not None


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "other.tar").write_bytes(layer({"a": b"a"}))
    (tmp_path / "folder").mkdir()
    for name in ("notes.txt", "other.tar", "folder"):
        with pytest.raises(UsageError, match=name):
            is_layout(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("blobs", tarfile.SYMTYPE, "../outside"),
        ("blobs", tarfile.SYMTYPE, "/etc"),
        ("../outside/own", tarfile.REGTYPE, ""),
        ("/etc/tare-was-here", tarfile.REGTYPE, ""),
        ("own", tarfile.LNKTYPE, "../outside/file"),
        ("device", tarfile.CHRTYPE, ""),
    ],
)
def test_an_archive_writes_nothing_outside_of_its_folder(tmp_path, name, kind, target):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    with tarfile.open(tmp_path / "it.tar", "w") as archive:
        for path, type_ in ((name, kind), ("blobs/file", tarfile.REGTYPE)):
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.size = type_, target, 1 if type_ == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"x"))
    with contextlib.suppress(UsageError):
        unpack(tmp_path / "it.tar", tmp_path / "folder")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside" / "file").read_text() == "mine"
    assert not Path("/etc/tare-was-here").exists() and not Path("/etc/file").exists()
    assert all(path.is_file() or path.is_dir() for path in (tmp_path / "folder").rglob("*"))
