"""The record of a cell's layers, and the profile of a pull from what a try has stored of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.contract import LayerPull, PullResult
from harness.errors import StoreError
from harness.image.manifest import Blob, ImageManifest
from harness.model import Phase, Status, Try
from harness.probes.pull import reading
from harness.scenarios.layer_sizes import CellLayers, ImageLayers, LayerSize, profile_of
from harness.scenarios.pull_model import predict, profile


def digest(number: int) -> str:
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


def manifest(sizes, first=0):
    layers = tuple(Blob(digest(first + number), size, "layer") for number, size in enumerate(sizes))
    return ImageManifest("sha256:0", "manifest", Blob("sha256:c", 100, "config"), layers)


def stored(values, phases, **more):
    return Try(cell="go-slim", probe="pull", state="empty", block=0, order=0, at=0.0, seconds=1.0, status=Status.OK,
               values=values, phases=phases, **more)  # fmt: skip


layers = st.builds(
    LayerSize,
    digest=st.integers().map(digest),
    packed=st.integers(0, 10**10),
    base=st.booleans(),
    diff_id=st.one_of(st.just(""), st.integers().map(digest)),
    content=st.none() | st.integers(0, 10**10),
)
images = st.builds(ImageLayers, config=st.integers(0, 10**6), layers=st.lists(layers, max_size=5).map(tuple))


@given(st.builds(CellLayers, current=images, changed=images))
def test_a_record_comes_back_as_it_was(parts):
    assert CellLayers.from_json(parts.to_json()) == parts


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schema": 1, "current": {"config": 1}}', b'{"schema": "1"}'])
def test_what_is_no_record_is_said_with_its_place(data):
    with pytest.raises(StoreError, match=r"layers\.json.*not a record"):
        CellLayers.from_json(data, where="artefacts/go-slim/layers.json")


def test_a_record_of_a_newer_tare_is_not_misread():
    with pytest.raises(StoreError, match="Use a newer Tare"):
        CellLayers.from_json(b'{"schema": 2}')


def test_layers_of_the_base_are_told_from_the_rest():
    image = ImageLayers.of(manifest([5, 7]), manifest([5]), diff_ids=["sha256:a", "sha256:b"], contents=[10, 20])
    assert [layer.base for layer in image.layers] == [True, False]
    assert [layer.content for layer in image.layers] == [10, 20]
    with pytest.raises(ValueError, match="2 layers, but 1 diff_ids"):
        ImageLayers.of(manifest([5, 7]), None, diff_ids=["sha256:a"])


@st.composite
def pulls(draw):
    """A pull as an engine may report it: layers unpacked in order, each after it has arrived; some were there."""
    count = draw(st.integers(1, 6))
    moment = st.floats(0, 10, allow_nan=False)
    complete, found = 0.0, []
    for number in range(count):
        name = digest(number)[7:19]
        if draw(st.booleans()):
            found.append(LayerPull(layer=name, reused=True))
            continue
        start = draw(moment)
        arrived = start + draw(moment)
        begin = max(arrived, complete) + draw(st.floats(0, 0.1))
        complete = begin + draw(moment)
        found.append(LayerPull(layer=name, reused=False, download_start=start, download_end=arrived,
                               extract_start=begin, complete=complete))  # fmt: skip
    return PullResult(seconds=complete + draw(moment), layers=tuple(found))


@given(pulls(), st.booleans())
def test_what_is_stored_of_a_pull_gives_the_profile_of_the_pull_itself(pull, twice):
    described = manifest([1000 + number for number in range(len(pull.layers))])
    if twice:  # an image may have the same layer twice
        described = replace(described, layers=(*described.layers, described.layers[0]))
    kept = reading("pull.previous", pull, described)
    found = profile_of(stored(kept.values, kept.phases), pull.seconds, ImageLayers.of(described, None))
    expected = profile(pull, described.layers, partial=True)
    assert found is not None
    assert [(layer.digest, layer.bytes) for layer in found.layers] == [(x.digest, x.bytes) for x in expected.layers]
    for one, two in zip(found.layers, expected.layers, strict=True):
        assert one.unpack == pytest.approx(two.unpack, abs=1e-9)
    assert (found.lead, found.tail) == pytest.approx((expected.lead, expected.tail), abs=1e-9)
    fast = {"bits_per_second": 1e9}
    assert predict(found, **fast).seconds == pytest.approx(predict(expected, **fast).seconds)


def test_a_pull_to_a_node_that_has_layers_gives_the_profile_of_the_rest():
    phases = (Phase(f"download {digest(1)[7:19]}", 0.1, 0.2), Phase(f"unpack {digest(1)[7:19]}", 0.3, 0.4))
    found = profile_of(stored({}, phases), 0.8, ImageLayers.of(manifest([5, 7]), None))
    assert found is not None
    assert [layer.bytes for layer in found.layers] == [7]
    assert (found.lead, found.layers[0].unpack, found.tail) == pytest.approx((0.1, 0.4, 0.1))


def test_another_images_pull_and_a_silent_engine_give_no_profile():
    image = ImageLayers.of(manifest([5]), None)
    assert profile_of(stored({}, (Phase(f"unpack {digest(9)[7:19]}", 0.3, 0.4),)), 0.8, image) is None
    assert profile_of(stored({}, (Phase(f"download {digest(0)[7:19]}", 0.3, 0.4),)), 0.8, image) is None
