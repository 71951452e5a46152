"""Bases in a registry: compressed once, and the same bytes for every engine."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import LabError
from harness.host.reaper import Reaper
from harness.lab.registry import Registry
from harness.lab.upload import Uploader, pack_layer
from harness.settings import Settings


@given(data=st.binary(max_size=5000))
def test_a_layer_is_compressed_to_the_same_bytes_and_back(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    (folder / "a.tar").write_bytes(data)
    one, two = pack_layer(folder / "a.tar", folder / "one.gz"), pack_layer(folder / "a.tar", folder / "two.gz")
    assert (one.digest, one.size) == (two.digest, two.size)
    packed = one.path.read_bytes()
    assert gzip.decompress(packed) == data
    assert (one.digest, one.size) == (f"sha256:{hashlib.sha256(packed).hexdigest()}", len(packed))
    assert packed[4:8] == bytes(4), "no time in the header"


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (3 << 20) + 7])
def test_pieces_that_are_compressed_side_by_side_are_one_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    words = b"".join(b"%d " % (number * number) for number in range(400_000))[:size]
    (tmp_path / "a.tar").write_bytes(words)
    found = []
    for processors in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda count=processors: count)
        found.append(pack_layer(tmp_path / "a.tar", tmp_path / f"{processors}.gz").path.read_bytes())
    assert found[0] == found[1]
    assert gzip.decompress(found[0]) == words
    assert len(found[0]) < 1.001 * len(gzip.compress(words, 6))


def test_what_is_compressed_is_not_compressed_again(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"content" * 1000)
    first = pack_layer(tmp_path / "a.tar", tmp_path / "a.gz")
    (tmp_path / "a.tar").unlink()
    assert pack_layer(tmp_path / "a.tar", tmp_path / "a.gz") == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gz", "a.json"]


@pytest.mark.parametrize("spoil", [lambda gz, _: gz.write_bytes(b"cut"), lambda _, record: record.write_text("{torn")])
def test_what_is_not_whole_is_compressed_anew(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.tar").write_bytes(b"content" * 1000)
    first = pack_layer(tmp_path / "a.tar", tmp_path / "a.gz")
    spoil(tmp_path / "a.gz", tmp_path / "a.json")
    assert pack_layer(tmp_path / "a.tar", tmp_path / "a.gz") == first
    assert gzip.decompress(first.path.read_bytes()) == b"content" * 1000


def test_a_registry_that_is_gone_is_said() -> None:
    with pytest.raises(LabError, match=r"127\.0\.0\.1:9: the registry does not answer"):
        Uploader("127.0.0.1:9").image("tare.local/a", "1", config=b"{}", layers=[])


@pytest.mark.live
def test_the_real_registry_holds_what_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(os.urandom(3_000_000))
    layer = pack_layer(tmp_path / "a.tar", tmp_path / "a.gz")
    with Reaper(tmp_path) as reaper, Registry(Settings(cache=tmp_path), reaper) as registry:
        uploader = Uploader(registry.push)
        made = uploader.image("tare.local/base/x", "1", config=b'{"os":"linux"}', layers=[layer, layer])
        assert registry.manifest("tare.local/base/x", "1") == made
        assert uploader.image("tare.local/base/x", "1", config=b'{"os":"linux"}', layers=[layer, layer]) == made
        before = registry.stored_bytes()
        assert uploader.also(made, "tare.local/base/x", "tare.local/cell", "base") == made
        assert registry.stored_bytes() == before, "nothing is there twice"
        assert b"".join(registry.blob("tare.local/cell", layer.digest)) == layer.path.read_bytes()
        with pytest.raises(LabError, match="the registry answers 202"):
            uploader.also(made, "tare.local/nothing", "tare.local/other", "base")
