"""How fast the layers of an image are read: at least 400 MB/s without compression, however small their files.

Run by `tox -e selfbench -- -s`; -s shows the rates, which the table of pytest-benchmark
does not know. Reading is all computing, so processor time is measured: it is right on a busy machine too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.image.tree import Account, account, read_image

MB = 10**6
GOAL = 400  # MB/s
PIECE = 1 << 20  # bytes; an engine's answer comes in pieces of about that size
SHAPES = {  # files, bytes of each
    "few-big-files": (4, 40 * MB),
    "many-small-files": (42_000, 4_000),  # a node_modules
}


def layer(files: int, size: int) -> bytes:
    buffer = io.BytesIO()
    content = bytes(range(256)) * (size // 256 + 1)
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(files):
            member = tarfile.TarInfo(f"usr/lib/node_modules/package-{number // 50}/lib/some/file-{number}.js")
            member.size = size
            tar.addfile(member, io.BytesIO(content[:size]))
    return buffer.getvalue()


def archive(tar: bytes, *, compress: bool) -> bytes:
    """A docker-archive of one layer."""
    diff_id = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    members = {
        "layer.tar": gzip.compress(tar, 1) if compress else tar,
        "config.json": json.dumps({"rootfs": {"diff_ids": [diff_id]}}).encode(),
        "manifest.json": json.dumps([{"Config": "config.json", "Layers": ["layer.tar"]}]).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as outer:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            outer.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("way", ["as it is", "with digests", "gzip"])
@pytest.mark.parametrize("shape", SHAPES)
def test_walk_speed(benchmark: BenchmarkFixture, shape: str, way: str) -> None:
    """Reading the stream and taking account of the tree, against the bytes of the layer's tar."""
    files, size = SHAPES[shape]
    tar = layer(files, size)
    whole = archive(tar, compress=way == "gzip")
    stream = [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]

    def walk() -> Account:
        return account(read_image(stream, digests=way == "with digests"))

    result = benchmark.pedantic(walk, rounds=5, warmup_rounds=1)
    assert (result.files, result.unpacked) == (files, files * size)
    rate = len(tar) / MB / benchmark.stats.stats.median
    benchmark.extra_info["MB/s"] = round(rate)
    print(f"\n{shape}, {way}: {rate:.0f} MB/s")
    if way == "as it is":
        assert rate >= GOAL
