"""A million samples must be reported in 5 s and 500 MB, as tables and as documents. Run by `tox -e selfbench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.model import Environment, Metric, Unit
from harness.report.documents import write_documents
from harness.report.table import render
from harness.store.run import CellInfo, Manifest, read_run
from harness.store.writer import RunWriter

SAMPLES = 1_000_000
APPS = ("go", "python", "java", "spring", "node", "rust", "shop")
STRATEGIES = ("full", "slim", "multi-stage", "distroless", "scratch")
SHAPES = {  # metrics of one try
    "one sample a try": ("start.warm.total",),
    "eight samples a try": tuple(f"start.warm.{name}" for name in ("total", *"abcdefg")),
}
DOCUMENTS = """
import re, sys
from pathlib import Path
from harness.report.documents import write_documents
assert len(write_documents(Path(sys.argv[1]))) == 2
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
REPORT = """
import re, sys
from pathlib import Path
from harness.report.table import render
from harness.store.run import read_run
render(read_run(Path(sys.argv[1])), full=True)
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # ru_maxrss would be the parent's
"""


def generate(results: Path, names: tuple[str, ...]) -> Path:
    """A run of 35 cells in the shape the store writes, phases and load included."""
    cells = tuple(
        CellInfo(id=f"{app}-{name}", app=app, app_title=app, strategy=name, strategy_title=name, rank=rank)
        for app in APPS
        for rank, name in enumerate(STRATEGIES)
    )
    metrics = tuple(Metric(name=name, unit=Unit.SECONDS, headline=True, help="Generated.") for name in names)
    manifest = Manifest(environment=Environment(facts={"cpu": "generated"}), seed=1, metrics=metrics, cells=cells)
    with RunWriter.create(results, manifest) as writer:
        folder = writer.folder
    random = np.random.default_rng(1)
    with (folder / "samples.jsonl").open("wb") as file:
        for order in range(SAMPLES // len(names)):
            values = random.lognormal(-2, 0.1, len(names)).tolist()
            record = {
                "cell": cells[order % len(cells)].id,
                "probe": "start",
                "state": "warm",
                "block": order // len(cells),
                "order": order,
                "at": 1.8e9 + order,
                "seconds": 0.5,
                "status": "ok",
                "values": dict(zip(names, values, strict=True)),
                "phases": [["create", 0.0, 0.031], ["start", 0.031, 0.2], ["ready", 0.231, 0.05]],
                "load": 0.05,
            }
            file.write(orjson.dumps(record) + b"\n")
    return folder


@pytest.mark.parametrize("shape", SHAPES)
def test_report_of_a_million_samples(
    shape: str, tmp_path: Path, benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = generate(tmp_path, SHAPES[shape])
    text = benchmark.pedantic(lambda: render(read_run(folder), full=True), rounds=3)
    assert "python" in text
    answer = subprocess.run([sys.executable, "-c", REPORT, folder], check=True, capture_output=True, text=True)
    peak = int(answer.stdout) * 1024
    benchmark.extra_info["peak_memory_MB"] = round(peak / 1e6)
    with capsys.disabled():
        print(f"\n{SAMPLES} samples, {shape}: {benchmark.stats.stats.median:.2f} s, peak {peak / 1e6:.0f} MB")
    assert peak <= 500e6


@pytest.mark.parametrize("shape", SHAPES)
def test_documents_of_a_million_samples(
    shape: str, tmp_path: Path, benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """decision.md and report.html together, reading included; the page stays small enough for a phone."""
    folder = generate(tmp_path, SHAPES[shape])
    paths = benchmark.pedantic(lambda: write_documents(folder), rounds=3)
    size = max(path.stat().st_size for path in paths)
    answer = subprocess.run([sys.executable, "-c", DOCUMENTS, folder], check=True, capture_output=True, text=True)
    peak = int(answer.stdout) * 1024
    seconds = benchmark.stats.stats.median
    benchmark.extra_info.update(peak_memory_MB=round(peak / 1e6), page_MB=round(size / 1e6, 1))
    with capsys.disabled():
        print(f"\n{SAMPLES} samples, {shape}: {seconds:.2f} s, page {size / 1e6:.1f} MB, peak {peak / 1e6:.0f} MB")
    assert len(paths) == 2
    assert size < 8e6
    assert peak <= 500e6
    assert seconds <= 5
