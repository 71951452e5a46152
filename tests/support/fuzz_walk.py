"""A fuzzer of the walk: whatever bytes an engine might stream, the outcome is an inspection or a LayerError.

    pip install atheris && python tests/support/fuzz_walk.py -max_total_time=60 -rss_limit_mb=400 -timeout=10

Not a test that pytest collects: atheris (coverage-guided, libFuzzer below it) has wheels for some Pythons only. Input
is either a whole archive or, so that the fuzzer need not guess checksums, a list of entries that are made into one.
"""

from __future__ import annotations

import contextlib
import sys
import tarfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

with atheris.instrument_imports(include=["harness"]):
    from harness.image.tar import LayerError
    from harness.surface.inspection import inspect

from support.images import saved  # noqa: E402 - not of the code under test

PATHS = (
    "var/lib/dpkg/status", "var/lib/dpkg/info/a.list", "var/lib/dpkg/status.d/x", "lib/apk/db/installed", "app.jar",
    "x/a-1.dist-info/METADATA", "x/a-1.dist-info/RECORD", "node_modules/a/package.json", "bin/sh", "etc/passwd",
    "etc/shadow", "root/.netrc", "app/.env", "usr/lib/os-release", "../../x", ".wh.bin", "bin/.wh..wh..opq", "a", "bin",
)  # fmt: skip
KINDS = (b"0", b"1", b"2", b"3", b"5", b"6", b"x", b"S", b"L")


def made(data: bytes) -> bytes:
    """Entries of a path, a kind, a mode and content each, in two layers."""
    provider = atheris.FuzzedDataProvider(data)
    layers = []
    for _ in range(2):
        out = b""
        for _ in range(provider.ConsumeIntInRange(0, 6)):
            member = tarfile.TarInfo(PATHS[provider.ConsumeIntInRange(0, len(PATHS) - 1)])
            member.type = KINDS[provider.ConsumeIntInRange(0, len(KINDS) - 1)]
            member.mode = provider.ConsumeIntInRange(0, 0o7777)
            member.linkname = PATHS[provider.ConsumeIntInRange(0, len(PATHS) - 1)]
            content = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 600))
            member.size = len(content)
            out += member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)
        layers.append(out + bytes(1024))
    return saved(layers, config={"User": "a", "Env": ["PATH=/bin"]})


def one_input(data: bytes) -> None:
    archive = made(data[1:]) if data[:1] > b"\x40" else data
    with contextlib.suppress(LayerError):
        inspect([archive], name="fuzz", image="sha256:0").documents()


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
