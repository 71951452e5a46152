"""Each layer's step, bytes, waste and folders; and dive's efficiency against worked examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.image.read import read_image, read_layer
from harness.image.tree import account
from harness.surface.layerreport import efficiency, largest_folders, report
from support.images import File, Layer, layer, pieces, saved

DIR = File(folder=True, mode=0o755)


def contents(*layers: Layer, history: object = None):
    return read_image(pieces(saved([layer(files) for files in layers], history=history)))


def sized(size: int) -> bytes:
    return b"x" * size


@pytest.mark.parametrize(
    ("layers", "score"),
    [
        # dive's own test (efficiency_test.go): the folder has no entry of its own, so its whiteout counts 0
        (
            [
                {"etc/nginx/nginx.conf": sized(2000), "etc/nginx/public": sized(3000)},
                {"etc/nginx/nginx.conf": sized(5000), "etc/athing": sized(10000)},
                {"etc/.wh.nginx": b""},
            ],
            15000 / 20000,
        ),
        # the same if it has one: 8 000 bytes are deleted, which count in both sums
        (
            [
                {"etc/nginx": DIR, "etc/nginx/nginx.conf": sized(2000), "etc/nginx/public": sized(3000)},
                {"etc/nginx/nginx.conf": sized(5000), "etc/athing": sized(10000)},
                {"etc/.wh.nginx": b""},
            ],
            23000 / 28000,
        ),
        ([{"nothing": b""}, {}, {}], 1.0),  # dive's test of an image of scratch
        ([{"a": sized(100), "b": sized(300)}], 1.0),
        ([{"a": sized(100)}, {"a": sized(100)}], 0.5),  # as chmod in a later layer does
        ([{"a": sized(100), "b": sized(100)}, {".wh.a": b""}], 100 / 200),  # a deleted file
        ([{"a": sized(100)}, {".wh.a": b""}, {"a": sized(40)}], 0.0),  # smallest 0, when it was deleted
        ([{"a": sized(100)}, {".wh.missing": b""}], 1.0),
        ([{"d": DIR, "d/a": sized(100)}, {"d/.wh..wh..opq": b"", "d/b": sized(100)}], 1.0),  # dive passes over these
    ],
)
def test_efficiency_is_dives(layers: list[Layer], score: float) -> None:
    assert efficiency(contents(*layers)) == pytest.approx(score)


def test_layers_have_their_steps_packed_sizes_and_waste() -> None:
    history = [
        {"created_by": '/bin/sh -c #(nop)  CMD ["bash"]', "empty_layer": True},
        {"created_by": "RUN |1 VERSION=3 /bin/sh -c apt-get   update # buildkit"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "COPY . . # buildkit"},
    ]
    image = contents({"a": sized(100), "b": sized(10)}, {"a": sized(30), ".wh.b": b""}, history=history)
    one, other = report(image, account(image), packed=[50, 20])
    assert (one.step, one.packed, one.content, one.waste, one.files) == ("RUN apt-get update", 50, 110, 110, 2)
    assert (other.step, other.packed, other.content, other.waste, other.deleted) == ("COPY . .", 20, 30, 0, 1)


def test_steps_that_do_not_match_the_layers_are_not_guessed() -> None:
    image = contents({"a": b"x"}, history=[{"created_by": "one"}, {"created_by": "two"}])
    assert [layer.step for layer in report(image, account(image))] == [""]


def test_a_folder_that_is_nearly_all_one_below_it_is_not_told() -> None:
    files: Layer = {"usr/lib/big/a": sized(950), "usr/lib/small/b": sized(30), "usr/share/c": sized(20)}
    assert largest_folders(read_layer([layer(files)])) == (
        ("usr/lib/big", 950),
        ("usr/lib/small", 30),
        ("usr/share", 20),
    )


folders = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), max_size=12, unique=True)


@given(st.lists(folders, max_size=4))
def test_shares_stay_within_bounds(paths: list[list[str]]) -> None:
    """Files with the names of folders included."""
    image = contents(*({path: sized(len(path)) for path in layer} for layer in paths))
    assert 0.0 <= efficiency(image) <= 1.0
    for one in image.layers:
        for path, size in largest_folders(one, 100):
            assert size == sum(
                entry.size for entry in one.entries if f"/{entry.path}".startswith(f"/{path}/" if path else "/")
            )
