"""How fast an image is looked into, and in how much memory: at least 400 MB/s where files are as small as in any image
of the matrix, 4 s and 200 MB for an image of 600 MB, even one of nothing but files of 4 kB.

Run by `tox -e selfbench -- -s`; -s shows the rates. Everything is counted: the walk, the look into files, the tree, the
inventory, the layers and both bills of materials. Processor time, as in test_walk_speed.py.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.surface.inspection import inspect

MB = 10**6
WHOLE = 600 * MB
PIECE = 1 << 20  # bytes; an engine's answer comes in pieces of about that size
RATE = 400  # MB/s
LARGE = 100 * MB  # what is smaller is looked into in no time
SECONDS = 4.0
MEMORY = 200 * MB
SHAPES = ("programs", "a system", "the matrix's smallest files", "files of 4 kB")
EXAMPLE = Path(__file__).parents[1] / "docs" / "example"

Item = tuple[str, int, bytes]  # path, mode, content


def items(shape: str, size: int) -> Iterator[Item]:
    """Files of about `size` bytes together; what they begin with is what decides how they are looked at."""
    program = b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20_000  # 5 MB
    script = b"#!/bin/sh\n# a text that holds no secret, but words such as key and token\n" * 55  # 4 kB
    manifest = b'{"name": "package-%d", "version": "1.2.3", "description": "' + b"x" * 800 + b'"}'
    if shape == SHAPES[2]:
        script = (script * 1000)[: round(smallest())]
    done = number = 0
    while done < size:
        number += 1
        if shape == "programs" or (shape == "a system" and number % 60 == 0):
            item = f"usr/bin/program-{number}", 0o755, program
        elif shape == "a system":
            item = f"usr/share/doc/package-{number // 40}/file-{number}", 0o644, script * 3
        elif number % 80 == 0:  # some 1 800 packages: many times what the apps here have
            item = f"app/node_modules/package-{number}/package.json", 0o644, manifest % number
        else:
            item = f"app/node_modules/package-{number // 80 * 80}/lib/file-{number}.js", 0o644, script
        done += len(item[2])
        yield item


def smallest() -> float:
    """B of a file of the example run's large image whose files are smallest on average."""
    averages = []
    for path in EXAMPLE.glob("*/artefacts/*/steps.json"):
        layers = json.loads(path.read_bytes())["layers"]
        content = sum(layer["content"] for layer in layers)
        if content >= LARGE:
            averages.append((content / sum(layer["files"] for layer in layers), path.parent.name))
    size, cell = min(averages)
    print(f"\n{cell}: {size / 1000:.1f} kB a file", file=sys.stderr)
    return size


def saved(shape: str, size: int) -> Iterator[bytes]:
    """The image as an engine would stream it, never whole in memory."""
    layer = sum(512 + len(content) + -len(content) % 512 for _, _, content in items(shape, size)) + 1024
    yield _header("layer.tar", 0o644, layer)
    gathered, length = [], 0
    for path, mode, content in items(shape, size):
        part = _header(path, mode, len(content)) + content + bytes(-len(content) % 512)
        gathered.append(part)
        length += len(part)
        if length >= PIECE:
            whole = b"".join(gathered)
            yield from (whole[at : at + PIECE] for at in range(0, len(whole), PIECE))
            gathered, length = [], 0
    yield b"".join(gathered) + bytes(1024 + -layer % 512)
    end = io.BytesIO()
    with tarfile.open(fileobj=end, mode="w") as archive:
        documents = {
            "config.json": {"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}},
            "manifest.json": [{"Config": "config.json", "Layers": ["layer.tar"]}],
        }
        for name, document in documents.items():
            data = json.dumps(document).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    yield end.getvalue()


def _header(path: str, mode: int, size: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, mode
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("shape", SHAPES)
def test_inspection_speed(benchmark: BenchmarkFixture, shape: str) -> None:
    stream = list(saved(shape, WHOLE // 4))

    def look() -> int:
        found = inspect(stream, name="x", image="sha256:0")
        return found.account.content + len(found.documents())

    content = benchmark.pedantic(look, rounds=3, warmup_rounds=1)
    rate = content / MB / benchmark.stats.stats.median
    benchmark.extra_info["MB/s"] = round(rate)
    print(f"\n{shape}: {rate:.0f} MB/s")
    if shape != SHAPES[3]:
        assert rate >= RATE


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_of_600_mb_takes_4_s_and_200_mb(shape: str) -> None:
    """In a process of its own, whose peak is its own. The stream is made on the way, whose time is taken off."""
    command = [sys.executable, str(Path(__file__)), shape]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    seconds, memory = map(float, done.stdout.split())
    print(f"\n{shape}: {seconds:.2f} s of processor time, {memory / MB:.0f} MB")
    assert seconds <= SECONDS
    assert memory <= MEMORY


def main(shape: str) -> None:
    began = time.process_time()
    for _ in saved(shape, WHOLE):
        pass
    making = time.process_time() - began
    began = time.process_time()
    inspect(saved(shape, WHOLE), name="x", image="sha256:0").documents()
    seconds = time.process_time() - began - making
    # not getrusage's, which is that of the process it was forked from
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert peak is not None
    print(seconds, int(peak[1]) * 1024)


if __name__ == "__main__":
    main(sys.argv[1])
