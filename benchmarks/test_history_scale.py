"""Three years of nights: 1 095 × 35 cells × 30 metrics × 10 samples. Run by `tox -e selfbench`.

A night must be taken in within 1 s, all trends told within 60 s and 1 GB, one series within 1 s.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.model import Environment, Metric, Status, Try, Unit
from harness.nights.history import History, stamp_of
from harness.nights.records import Key
from harness.stats.changepoints import changes
from harness.store.run import CellInfo, Manifest, Run, Series
from harness.store.writer import RunWriter

NIGHTS, CELLS, METRICS, SAMPLES = 1095, 35, 30, 10
FIRST, DAY = 1.7e9, 86400.0
ENVIRONMENT = Environment(facts={"processor": "generated"})
NAMES = tuple(f"start.warm.m{number:02d}" for number in range(METRICS))
CELL_IDS = tuple(f"app{number // 5}-s{number % 5}" for number in range(CELLS))
TELL = """
import re, sys, time
from pathlib import Path
from harness.nights.history import History
from harness.nights.watch import watch
began = time.monotonic()
with History.open(Path(sys.argv[1])) as history:
    found = watch(history.lines(), history.nights(), budgets=())
print(time.monotonic() - began, sum(bool(item.changes) for item in found.series), len(found.series))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def manifest(night: int) -> Manifest:
    cells = tuple(
        CellInfo(id=cell, app=cell[:4], app_title=cell[:4], strategy=cell[5:], strategy_title=cell[5:], rank=rank)
        for rank, cell in enumerate(CELL_IDS)
    )
    metrics = tuple(Metric(name=name, unit=Unit.SECONDS, headline=True, help="Generated.") for name in NAMES)
    return Manifest(
        environment=ENVIRONMENT,
        seed=night,
        metrics=metrics,
        cells=cells,
        started=FIRST + night * DAY,
        run=f"n{night:04d}",
    )


def values(night: int) -> np.ndarray:
    """Cells × metrics × samples of one night; every tenth series is 8 % slower from its own night on."""
    random = np.random.default_rng(night)
    shape = (CELLS, METRICS, SAMPLES)
    level = np.exp(random.normal(0, 0.015, (CELLS, METRICS, 1)) + random.normal(0, 0.02, shape))
    number = np.arange(CELLS * METRICS).reshape(CELLS, METRICS)
    changed = (number % 10 == 0) & (night >= number)
    level[changed] *= 1.08
    return level


def in_memory(night: int, folder: Path) -> Run:
    """A run as it would be read from its folder: writing 3 million lines first would show nothing more."""
    numbers = np.arange(SAMPLES, dtype=np.int32)
    times = FIRST + night * DAY + numbers.astype(float)
    data = values(night)
    series = {
        (cell, name): Series(data[c, m], numbers, numbers, times)
        for c, cell in enumerate(CELL_IDS)
        for m, name in enumerate(NAMES)
    }
    return Run(
        folder=folder,
        manifest=manifest(night),
        sessions=(),
        failures=(),
        warnings=(),
        _series=series,
        _size=0,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three years but for the last night: all in the index, their folders there and known to it, but without lines."""
    results = tmp_path_factory.mktemp("years")
    with History.open(results) as history:
        for night in range(NIGHTS - 1):
            folder = results / f"n{night:04d}"
            folder.mkdir()
            (folder / "manifest.json").touch()
            (folder / "samples.jsonl").touch()
            history.add(in_memory(night, folder), stamp_of(folder))
    return results


def test_three_years(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(results)
    began = time.monotonic()
    with History.open(results) as history:
        appended = time.monotonic() - began
        assert folder.name in {night.run for night in history.nights()}
        began = time.monotonic()
        line = history.line(Key(CELL_IDS[0], NAMES[10], ENVIRONMENT.fingerprint, "pinned"))
        found = changes(line.median)
        one = time.monotonic() - began
        assert sum(map(len, line.samples)) == NIGHTS * SAMPLES
        assert found
    told = subprocess.run([sys.executable, "-c", TELL, results], check=True, capture_output=True, text=True)
    first, peak = told.stdout.splitlines()
    seconds, changed, series = (float(word) for word in first.split())
    memory = int(peak) * 1024
    size = (results / ".index" / "history.sqlite").stat().st_size
    with capsys.disabled():
        print(f"\n{NIGHTS * CELLS * METRICS * SAMPLES / 1e6:.1f} M samples, index {size / 1e6:.0f} MB: ", end="")
        print(f"append {appended:.2f} s, one series {one:.2f} s, ", end="")
        print(f"all {series:.0f} trends {seconds:.1f} s and {memory / 1e6:.0f} MB ({changed:.0f} changed)")
    assert appended <= 1
    assert one <= 1
    assert seconds <= 60
    assert memory <= 1e9
    assert changed == pytest.approx(CELLS * METRICS / 10, rel=0.1)


def written(results: Path) -> Path:
    """The last night as a real run folder: one try per cell and sample, with all its metrics."""
    data = values(NIGHTS - 1)
    with RunWriter.create(results, manifest(NIGHTS - 1)) as writer:
        order = 0
        for c, cell in enumerate(CELL_IDS):
            for block in range(SAMPLES):
                writer.append(
                    Try(
                        cell=cell,
                        probe="start",
                        state="warm",
                        block=block,
                        order=order,
                        at=FIRST + NIGHTS * DAY + order,
                        seconds=1.0,
                        status=Status.OK,
                        values=dict(zip(NAMES, data[c, :, block].tolist(), strict=True)),
                    )
                )
                order += 1
        return writer.folder
