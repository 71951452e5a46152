"""The port that an image exposes, read from its file."""

from __future__ import annotations

import pytest

from harness.run.exposed import exposed
from support.images import layer, saved


@pytest.mark.parametrize(
    ("ports", "found"),
    [({"8080/tcp": {}}, 8080), ({"80/tcp": {}, "443/tcp": {}}, 0), ({"53/udp": {}}, 0), ({}, 0), ({"9000": {}}, 9000)],
)
def test_the_only_port_of_a_docker_archive(tmp_path, ports, found):
    path = tmp_path / "it.tar"
    path.write_bytes(saved([layer({"a": b"a"})], config={"ExposedPorts": ports}))
    assert exposed(str(path)) == found


def test_a_file_that_is_no_image_exposes_nothing_yet(tmp_path):
    path = tmp_path / "it.tar"
    path.write_bytes(b"no tar")
    assert exposed(str(path)) == 0
