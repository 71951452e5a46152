"""What tracing costs: the processor time of a whole inspection, as a ratio to the revision before files were traced.

Run by `tox -e selfbench -- -s -k tracing`. Both revisions read the same images of test_inspection_speed.py, each in a
process of its own. The time to make the images is taken off. Five pairs are measured in turn, and the median of the
ratios counts.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BEFORE = "6fb0510"  # the last revision that traced nothing
PAIRS = 5
MOST = 1.5


def seconds(checkout: Path, shape: str) -> float:
    """Processor time of one inspection of an image of 600 MB by the code of a checkout."""
    command = [sys.executable, "benchmarks/test_inspection_speed.py", shape]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


@pytest.mark.parametrize("shape", ["programs", "a system", "the matrix's smallest files"])
def test_tracing_share(tmp_path: Path, shape: str) -> None:
    archive = ["git", "-C", str(ROOT), "archive", BEFORE, "harness", "benchmarks", "docs/example", "pyproject.toml"]
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this checkout has no revision {BEFORE}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(tmp_path, filter="data")
    ratios = [seconds(ROOT, shape) / seconds(tmp_path, shape) for _ in range(PAIRS)]
    print(
        f"\n{shape}: {statistics.median(ratios):.2f} × the time of {BEFORE} ({', '.join(f'{r:.2f}' for r in ratios)})"
    )
    assert statistics.median(ratios) <= MOST
