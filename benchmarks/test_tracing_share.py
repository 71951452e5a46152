"""What tracing costs: the processor time of whole inspections, as a ratio to the revision before files were traced.

Run by `TARE_CACHE=CACHE tox -e selfbench -- -s -k tracing`. Both revisions read the same images of that cache in turn,
each in a process of its own: the kept images of cells, as one run reads them; and an image of about 1 GB, made of the
largest layers of bases, gzipped as a registry holds them. It is read once as a base and once as an image without one,
whose files are hashed. The least time of each revision counts, because other work on the machine only adds time.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from isal import igzip

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("TARE_CACHE", "/nonexistent"))
BEFORE = "429dfd0"  # the last revision that traced nothing
PAIRS = 3
CELLS = 35
KEPT, BASE, OWN = "kept images", "a base of 1 GB", "an image of 1 GB without a base"
MOST = {KEPT: 1.0, BASE: 1.5, OWN: 1.5}
LARGE = 10**9  # B


def kept_images() -> Iterator[str]:
    """The newest kept images of cells, as many as a whole run has, in the form that inspect_images.py takes."""
    newest = sorted(CACHE.glob("shelf/*/record.json"), key=lambda path: -path.stat().st_mtime)
    for record in newest[:CELLS]:
        blobs = record.parent / "blobs"
        link = record.parent / "repository/_manifests/tags/current/current/link"
        manifest = json.loads((blobs / link.read_text().partition(":")[2]).read_bytes())
        layers = [str(blobs / layer["digest"].partition(":")[2]) for layer in manifest["layers"]]
        own = [digest.partition(":")[2] for digest in json.loads(record.read_bytes())["diff_ids"]]
        of_base = [(CACHE / "bases/layers" / f"{digest}.tar").exists() for digest in own]
        yield f"{(*of_base, False).index(False)}:{','.join(layers)}"


def large_image(folder: Path) -> list[str]:
    """The largest layers of bases that make 1 GB together, gzipped into a folder; none if the cache has less."""
    chosen: list[str] = []
    size = 0
    for layer in sorted(CACHE.glob("bases/layers/*.tar"), key=lambda path: -path.stat().st_size):
        packed = folder / f"{layer.stem}.tar.gz"
        with layer.open("rb") as content, igzip.open(packed, "wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        chosen.append(str(packed))
        size += layer.stat().st_size
        if size >= LARGE:
            return chosen
    return []


def seconds(checkout: Path, images: Sequence[str]) -> float:
    """Processor time of the inspection of these images by the code of a checkout."""
    command = [sys.executable, str(ROOT / "benchmarks/inspect_images.py"), str(CACHE), *images]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what", [KEPT, BASE, OWN])
def test_tracing_share(tmp_path: Path, what: str) -> None:
    if what == KEPT:
        images = list(kept_images())
    else:
        layers = large_image(tmp_path)
        images = [f"{len(layers) if what == BASE else 0}:{','.join(layers)}"] if layers else []
    if not images:
        pytest.skip(f"no such images in the cache {CACHE}: set TARE_CACHE to the cache of a run")
    done = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE, "harness"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this checkout has no revision {BEFORE}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(tmp_path, filter="data")
    new = old = math.inf
    for _ in range(PAIRS):
        new, old = min(new, seconds(ROOT, images)), min(old, seconds(tmp_path, images))
        print(
            f"\n{what} ({len(images)}): {new:.2f} s, {new / old:.2f} × the time of {BEFORE} ({old:.2f} s)", flush=True
        )
    assert new / old <= MOST[what]
