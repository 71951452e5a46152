"""Podman as a user has it: a service at a socket, which Tare finds, measures and leaves as it was."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine.connect import connect
from harness.engine.daemon import Daemon
from harness.engine.podman import PodmanEngine
from harness.errors import LabError
from harness.host.network import Network
from harness.host.reaper import Reaper
from harness.lab.engine_packages import EnginePackages
from harness.settings import Settings
from harness.store.run import latest, read_run

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CELL = "go-distroless"


@pytest.fixture(scope="module")
def podman() -> Iterator[Daemon]:
    cache = Settings.from_environ().cache
    try:
        programs = EnginePackages(cache).programs("bookworm", "podman")
    except LabError as error:
        pytest.skip(f"no podman: {error}")
    if reason := Daemon.impossible(programs) or Network.impossible():
        pytest.skip(f"no podman: {reason}")
    with Reaper(cache) as reaper, Network(reaper) as network:
        data = cache / "engines" / f"users-{secrets.token_hex(4)}"
        yield Daemon.start(reaper, data=data, bridge=network, registries=str(network.subnet), programs=programs)


def test_a_cell_is_built_pulled_and_started_on_a_podman_of_the_user(podman: Daemon, tmp_path: Path) -> None:
    before = rules()
    command = [sys.executable, "-m", "harness", "bench", "--engine", podman.endpoint, "--results", str(tmp_path)]
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
    assert rules() == before, "no firewall rule of this machine is touched"


def test_the_podman_keeps_nothing_of_ours(podman: Daemon) -> None:
    engine = connect(podman.endpoint, origin="system")
    try:
        assert isinstance(engine, PodmanEngine)
        assert engine.images() == []
        assert engine.containers() == []
    finally:
        engine.close()


def test_a_podman_of_ours_ends_as_a_whole(podman: Daemon) -> None:
    podman.close()
    assert podman.left() == []


def rules() -> str:
    """The firewall of this machine, without counters; "" if there is no program that shows it."""
    try:
        done = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("#", ":")))
