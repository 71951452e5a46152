"""Renewed images: other blobs with the same files, that share what the cell's images share."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest

from harness.cell import renewed as module
from harness.cell.renewed import pullable
from harness.errors import LabError
from harness.image.manifest import Blob, ImageManifest


def layer(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(name)
        tar.addfile(member, io.BytesIO(name.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


def named(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    push = "127.0.0.1:5000"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def image(self, *layers: bytes) -> ImageManifest:
        diff_ids = [named(gzip.decompress(data)) if data.startswith(b"\x1f\x8b") else named(data) for data in layers]
        config = json.dumps({"config": {"Cmd": ["x"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        self.blobs |= {named(data): data for data in (config, *layers)}
        blobs = tuple(Blob(named(data), len(data), "") for data in layers)
        return ImageManifest(named(config), "", Blob(named(config), len(config), ""), blobs)

    def blob(self, repository: str, digest: str):
        yield self.blobs[digest]

    def config(self, repository: str, digest: str):
        return json.loads(self.blobs[digest])


class Uploader:
    """Keeps what is uploaded."""

    got: ClassVar[dict[str, tuple[dict, list[bytes]]]] = {}

    def __init__(self, address: str) -> None:
        assert address == Registry.push

    def image(self, repository: str, tag: str, *, config: bytes, layers):
        data = [packed.path.read_bytes() for packed in layers]
        assert [named(one) for one in data] == [packed.digest for packed in layers]
        self.got[tag] = json.loads(config), data
        blobs = tuple(Blob(packed.digest, packed.size, "") for packed in layers)
        return ImageManifest("sha256:new", "", Blob(named(config), len(config), ""), blobs)


@dataclass(frozen=True)
class Cell:
    repository: str
    manifest: ImageManifest
    changed_manifest: ImageManifest
    base_manifest: ImageManifest | None


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(module, "Uploader", Uploader)
    removed: list[str] = []
    engine = SimpleNamespace(info=SimpleNamespace(origin="system"), remove_image=removed.append, removed=removed)
    return SimpleNamespace(engine=engine, registry=Registry())


def test_layers_are_others_with_the_same_files(lab: SimpleNamespace) -> None:
    base, app, changed = layer("base"), layer("app"), layer("changed")
    image = lab.registry.image
    cell = Cell("tare.local/x", image(base, app), image(base, changed), image(base))
    node = SimpleNamespace(engine=lab.engine, registry="127.0.0.1:5000")
    with pullable(lab, node, cell) as new:  # type: ignore[arg-type]
        assert new.repository.startswith("tare.local/x-")
        config, layers = Uploader.got["current"]
        assert config["config"] == {"Cmd": ["x"]}
        for before, after, diff_id in zip((base, app), layers, config["rootfs"]["diff_ids"], strict=True):
            content = gzip.decompress(after)
            assert named(content) == diff_id != named(gzip.decompress(before))
            assert name(after) == name(before)
            assert 0 < len(after) - len(before) < 100
        shared = [manifest.layers[0] for manifest in (new.manifest, new.changed_manifest, new.base_manifest)]
        assert len(set(shared)) == 1
    assert len(lab.engine.removed) == 3
    with pullable(lab, node, cell) as again:  # type: ignore[arg-type]
        assert again.manifest.layers[0].digest != shared[0].digest, "no visit finds the layers of another"


def name(packed: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        (only,) = tar.getnames()
    return only


def test_a_node_of_its_own_and_an_engine_of_ours_pull_the_cell_as_it_is(lab: SimpleNamespace) -> None:
    cell = Cell("tare.local/x", lab.registry.image(), lab.registry.image(), None)
    with pullable(lab, SimpleNamespace(engine=object()), cell) as same:  # type: ignore[arg-type]
        assert same is cell
    lab.engine.info.origin = "private"
    with pullable(lab, SimpleNamespace(engine=lab.engine), cell) as same:  # type: ignore[arg-type]
        assert same is cell


def test_a_layer_that_is_not_gzip_is_an_error(lab: SimpleNamespace) -> None:
    image = lab.registry.image(b"\x28\xb5\x2f\xfd and so on")
    with (
        pytest.raises(LabError, match="not gzip"),
        pullable(lab, SimpleNamespace(engine=lab.engine), Cell("x", image, image, None)),  # type: ignore[arg-type]
    ):
        pass
