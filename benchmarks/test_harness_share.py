"""What the harness itself costs a run, and how true its start-up clock is. Both on a real engine.

Run by `tox -e selfbench -- -s`; -s shows the figures beside pytest-benchmark's table.
"""

from __future__ import annotations

import io
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalogue.read import read
from harness.cell.prepare import Workshop
from harness.cell.start import Door, start_and_ask
from harness.engine.contract import ContainerSpec
from harness.lab.lab import open_lab
from harness.lab.state import RunState
from harness.ledger import HARNESS, Ledger
from harness.plugin import Replay
from harness.probes import all_probes
from harness.run.job import Job, measure
from harness.settings import Settings
from harness.text.display import Display

ROOT = Path(__file__).parents[1]
CELLS = ("go-scratch", "python-slim")
STARTS = 20
LISTENING = re.compile(r"monotonic_ns=(\d+)")
_errors = Replay()


@pytest.fixture(scope="module")
def catalogue():
    return read(ROOT)


def test_share_of_wall_time_that_is_the_engines(benchmark, catalogue, tmp_path, capsys):
    """Goal: 97 % or more of a run is not the harness."""
    cells = [cell for cell in catalogue.cells if cell.id in CELLS]
    job = Job(
        root=ROOT, results=tmp_path, catalogue=catalogue, cells=cells, probes=all_probes(), budget=None, blocks=3
    )  # fmt: skip
    ledger = Ledger()
    with capsys.disabled():
        benchmark.pedantic(
            measure, args=(job, Settings.from_environ(), Display(io.StringIO())), kwargs={"ledger": ledger}, rounds=1
        )
    accounts = ledger.accounts()
    share = 1 - accounts[HARNESS] / sum(accounts.values())
    benchmark.extra_info |= {"engine share": share, "processor share": ledger.processor / ledger.elapsed}
    print(f"\nengine {share:.2%} of the wall time; the harness used a processor for "
          f"{ledger.processor / ledger.elapsed:.2%} of it\n{ledger.line()}")  # fmt: skip


@pytest.mark.benchmark(timer=_errors)
@pytest.mark.parametrize("name", CELLS)
def test_error_of_the_start_up_clock(benchmark, catalogue, name):
    """First valid answer as measured from outside, less the moment the app logs that it listens. Goal: ≤ 2 ms.

    The monotonic clock is shared between containers and host, so the two can be subtracted. What is left holds the
    poll interval and the app's own time to answer.
    """
    (cell,) = (cell for cell in catalogue.cells if cell.id == name)
    settings = replace(Settings.from_environ(), engine="private")
    errors, state = [], RunState()
    with open_lab(settings, catalogue, [cell], state, say=print, ledger=Ledger()) as lab:
        Workshop(lab, state).build(cell, "tare.local/cell/error:latest")
        spec = ContainerSpec(image="tare.local/cell/error:latest", env=cell.app.env, network=lab.test_bed.network)
        door = Door.of(cell.app, lab.test_bed.address, lab.test_bed.port(cell.app.port))
        for _ in range(STARTS):
            lab.monitor.wait(5.0)
            started = start_and_ask(lab.engine, spec, door)
            logged = LISTENING.search(lab.engine.logs(started.container))
            lab.engine.remove(started.container)
            lab.monitor.mark()
            assert logged, "the app did not log when it listened"
            errors.append(started.ready - int(logged[1]) / 1e9)
    _errors.load(errors)
    benchmark.pedantic(lambda: None, rounds=len(errors), iterations=1)
    print(f"\n{name}: first answer after listening: median {statistics.median(errors) * 1e3:.2f} ms, "
          f"{min(errors) * 1e3:.2f} to {max(errors) * 1e3:.2f} ms")  # fmt: skip
