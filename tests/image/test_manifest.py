"""What manifests say: which layers are the base's."""

from __future__ import annotations

import pytest

from harness.image.manifest import Blob, ImageManifest, base_layers


def manifest(*digests: str) -> ImageManifest:
    return ImageManifest("sha256:m", "", Blob("sha256:c", 1, ""), tuple(Blob(digest, 1, "") for digest in digests))


@pytest.mark.parametrize(
    ("image", "base", "count"),
    [
        ("BEAE", "BE", 2),  # the empty layer comes again on top, and is not the base's there
        ("BA", "BE", 1),
        ("BE", "BE", 2),
        ("A", "B", 0),
        ("", "B", 0),
    ],
)
def test_the_layers_of_the_base_are_the_lowest(image: str, base: str, count: int) -> None:
    assert base_layers(manifest(*image), manifest(*base)) == count


def test_an_image_from_scratch_has_no_layers_of_a_base() -> None:
    assert base_layers(manifest("A"), None) == 0
