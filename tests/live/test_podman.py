"""Podman of our own: a cell is built, pulled and started on it as a user measures it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine.daemon import Daemon
from harness.errors import LabError
from harness.host.network import Network
from harness.lab.engine_packages import EnginePackages
from harness.settings import Settings
from harness.store.run import latest, read_run
from support.checkouts import left_behind, traces

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CELL = "go-distroless"


@pytest.fixture(scope="module")
def engine() -> str:
    """What TARE_ENGINE calls the podman; skipped if it cannot be unpacked or started here."""
    try:
        programs = EnginePackages(Settings.from_environ().cache).programs("bookworm", "podman")
    except LabError as error:
        pytest.skip(f"no podman: {error}")
    if reason := Daemon.impossible(programs) or Network.impossible():
        pytest.skip(f"no podman: {reason}")
    return "private:podman-4.3"


def test_a_cell_is_built_pulled_and_started_on_podman(engine: str, tmp_path: Path) -> None:
    before, others = rules(), traces()
    command = [sys.executable, "-m", "harness", "bench", "--engine", engine, "--results", str(tmp_path)]
    command += ["--blocks", "1", "-k", CELL, "-m", "size or start or pull"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(tmp_path))
    facts, series = run.manifest.environment.facts, run.series()
    assert facts["engine"].startswith("podman 4.3.")
    assert (facts["node"], facts["start path"], facts["cold build"]) == ("namespace", "namespace", "no cache used")
    assert "node engine" not in facts, "a node is the run's engine"
    for metric in ("start.cold.total", "start.warm.total", "pull.empty.total", "pull.previous.total", "deploy.total"):
        assert series[CELL, metric].value[0] > 0, metric
    size, fetched, update = (
        series[CELL, name].value[0] for name in ("size.transfer", "pull.empty.fetched", "pull.previous.fetched")
    )
    assert fetched == pytest.approx(size, rel=0.01)
    assert 0 < update < fetched
    assert "podman does not report" in run.unmeasured()["pull.empty.unpack"]
    assert left_behind(others) == set()
    assert rules() == before, "no firewall rule of this machine is touched"


def rules() -> str:
    """The firewall of this machine, without counters; "" if there is no program that shows it."""
    try:
        done = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("#", ":")))
