"""Layers that several images have are read once, and the checksums of files are right however they are computed."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator, Sequence

import pytest

from harness.image.read import read_layers
from harness.image.tar import LayerError
from harness.surface import layers
from harness.surface.examine import Examiner
from harness.surface.layers import SeenLayers, StoredLayer
from support.images import Layer, layer, pieces

DATABASE: Layer = {"var/lib/dpkg/status": b"Package: a\nVersion: 1\nStatus: install ok installed\n", "usr/a": b"aaa"}
OWN: Layer = {
    "app/main.py": b"print(1)\n",
    "app/large": b"x" * (2 << 20),
    "var/cache/index": b"index",
    "app/empty": b"",
}


class Registry:
    """Layers in memory, gzipped, which counts how often each is opened."""

    def __init__(self, *files: Layer) -> None:
        self.tars = [layer(one) for one in files]
        self.opened = [0] * len(files)

    def stored(self, *numbers: int) -> list[StoredLayer]:
        return [StoredLayer(digest=f"sha256:{number}", open=lambda n=number: self._open(n)) for number in numbers]

    def _open(self, number: int) -> Iterator[bytes]:
        self.opened[number] += 1
        return iter(pieces(gzip.compress(self.tars[number])))


def config(layers: Sequence[StoredLayer]) -> dict[str, object]:
    return {"rootfs": {"diff_ids": [one.digest for one in layers]}}


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def test_a_base_is_read_once_for_all_images() -> None:
    registry = Registry(DATABASE, OWN, {"app/other": b"2"})
    seen = SeenLayers()
    for stored in (registry.stored(0, 1), registry.stored(0, 2)):
        image = seen.read(config(stored), stored, base=1)
        alone = read_layers(config(stored), (one.open() for one in stored), examine=Examiner())
        assert image.contents == alone
    assert registry.opened == [4 - 1, 2, 2]  # the comparison reads each again


def test_several_threads_read_a_layer_once() -> None:
    registry = Registry(DATABASE)
    seen, stored = SeenLayers(), registry.stored(0)
    threads = [threading.Thread(target=seen.read, args=(config(stored), stored)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.opened == [1]


def test_layers_without_a_database_are_hashed_as_they_are_read() -> None:
    registry = Registry(OWN)
    stored = registry.stored(0)
    image = SeenLayers().read(config(stored), stored)
    wanted = frozenset(("app/main.py", "app/large", "app/empty", "app/absent"))
    assert image.md5({0: wanted}) == {
        (0, "app/main.py"): md5(b"print(1)\n"),
        (0, "app/large"): md5(b"x" * (2 << 20)),
    }
    assert registry.opened == [1]


@pytest.mark.parametrize("base", [0, 1, 2])
def test_with_a_database_only_the_layers_in_question_are_read_again(base: int) -> None:
    registry = Registry(DATABASE, OWN, {"app/other": b"2"})
    stored = registry.stored(0, 1, 2)
    image = SeenLayers().read(config(stored), stored, base=base)
    found = image.md5({1: frozenset(("app/main.py", "app/large"))})
    assert found == {(1, "app/main.py"): md5(b"print(1)\n"), (1, "app/large"): md5(b"x" * (2 << 20))}
    assert registry.opened == [1, 2, 1]


def test_small_files_above_a_base_are_never_read_again() -> None:
    registry = Registry(DATABASE, OWN)
    stored = registry.stored(0, 1)
    image = SeenLayers().read(config(stored), stored, base=1)
    assert image.md5({1: frozenset(("app/main.py", "app/empty"))}) == {(1, "app/main.py"): md5(b"print(1)\n")}
    assert registry.opened == [1, 1]


def test_a_second_reading_ends_with_the_last_file_in_question() -> None:
    first, second = layer({"app/a": b"first"}), layer({"app/a": b"second", "app/b": b"b"})
    tar = first.rstrip(b"\0") + bytes(-len(first.rstrip(b"\0")) % 512) + second  # one path twice: the last counts
    stored = [StoredLayer(digest="sha256:0", open=lambda: iter(pieces(tar)))]
    image = SeenLayers().read(config(stored), stored, base=1)
    assert image.md5({0: frozenset(("app/a",))}) == {(0, "app/a"): md5(b"second")}


def test_what_is_kept_is_bounded_and_can_be_freed() -> None:
    registry = Registry(DATABASE, OWN)
    seen = SeenLayers(most=5)
    for _ in range(2):  # either fits alone, both do not
        for stored in (registry.stored(0), registry.stored(1)):
            seen.read(config(stored), stored)
    assert registry.opened == [2, 2]
    stored = registry.stored(1)
    seen.read(config(stored), stored)
    assert registry.opened == [2, 2]
    seen.forget()
    seen.read(config(stored), stored)
    assert registry.opened == [2, 3]


def test_limits_hold_for_the_whole_image_and_what_they_cut_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    status = b"Package: a\nVersion: 1\nStatus: install ok installed\n"
    registry = Registry({"var/lib/dpkg/status": status}, {"var/lib/dpkg/status.d/b": status})
    monkeypatch.setattr(layers, "MOST_BYTES", len(status) + 10)
    seen = SeenLayers()
    stored = registry.stored(0, 1)
    contents = seen.read(config(stored), stored).contents
    assert contents.layers[1].findings["var/lib/dpkg/status.d/b"].unread  # type: ignore[attr-defined]
    stored = registry.stored(1)
    contents = seen.read(config(stored), stored).contents
    assert contents.layers[0].findings["var/lib/dpkg/status.d/b"].text == status  # type: ignore[attr-defined]
    monkeypatch.setattr(layers, "MAX_ENTRIES", 1)
    stored = registry.stored(0, 1)
    with pytest.raises(LayerError, match="more entries"):
        seen.read(config(stored), stored)


def test_a_broken_layer_is_named() -> None:
    stored = [*Registry(DATABASE).stored(0), StoredLayer(digest="sha256:1", open=lambda: iter([b"x" * 600]))]
    with pytest.raises(LayerError) as failed:
        SeenLayers().read(config(stored), stored)
    assert failed.value.where == "layer 1"
