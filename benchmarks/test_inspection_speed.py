"""How fast an image is looked into, and in how much memory: the goals are 400 MB/s where content is large, 4 s and
200 MB for an image of 600 MB, whatever it holds.

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
SECONDS = 4.0
MEMORY = 200 * MB
SHAPES = ("programs", "a system", "node_modules")

Item = tuple[str, int, bytes]  # path, mode, content


def items(shape: str, size: int) -> Iterator[Item]:
    """Files of about `size` bytes together; what they begin with is what decides how they are looked at."""
    program = b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20_000  # 5 MB
    script = b"#!/bin/sh\n# a text that holds no secret, but words such as key and token\n" * 55  # 4 kB
    manifest = b'{"name": "package-%d", "version": "1.2.3", "description": "' + b"x" * 800 + b'"}'
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
