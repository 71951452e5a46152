"""An engine as far away as one in a virtual machine: in a network namespace of its own, behind tcp:// and behind
a socket that is forwarded.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.host.network import Network
from harness.host.reaper import Reaper
from harness.lab.node import far_engine
from harness.settings import Settings
from harness.store.run import Run, latest, read_run
from support.checkouts import keeping

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CELL = "go-distroless"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """tcp:// of a dockerd with containers and a firewall of its own."""
    cache = Settings.from_environ().cache
    with Reaper(cache) as reaper, Network(reaper) as network:
        yield far_engine(reaper, network, data=cache / "nodes" / f"far-{secrets.token_hex(4)}")


@contextmanager
def forwarded(address: str, path: Path) -> Iterator[str]:
    """A socket of this machine that leads to the engine, as those of virtual machines and of ssh do."""
    host, port = address.removeprefix("tcp://").split(":")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def connect(near: socket.socket) -> None:
        with near, socket.create_connection((host, int(port))) as far:
            there = threading.Thread(target=carry, args=(near, far), daemon=True)
            there.start()
            carry(far, near)
            there.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=connect, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"unix://{path}"
    finally:
        listener.close()


def measured(engine: str, results: Path, metrics: str) -> Run:
    command = [sys.executable, "-m", "harness", "bench", "--engine", engine, "--results", str(results)]
    command += ["--blocks", "1", "-k", CELL, "-m", metrics]
    done = subprocess.run(command, cwd=ROOT, env=keeping(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_run(latest(results))


def check(run: Run, *metrics: str) -> None:
    series = run.series()
    for metric in metrics:
        assert series[CELL, metric].value[0] > 0, metric
    facts = run.manifest.environment.facts
    assert (facts["node"], facts["start path"], facts["page cache"]) == ("layers", "relay", "cannot be dropped")
    absent = run.unmeasured()
    assert {"start.cold.total", "link.total", "intruder.program", "harden.all"} & run.measured() == set()
    assert "another machine" in absent["start.cold.total"]


def test_an_engine_behind_tcp_gives_sizes_builds_pulls_and_starts(address: str, tmp_path: Path) -> None:
    run = measured(
        address, tmp_path, "size or build or start or memory or pull or deploy or link or intruder or harden"
    )
    check(run, "size.transfer", "build.cold", "build.source", "start.warm.total", "memory.ready", "deploy.total")
    check(run, "pull.empty.total", "pull.previous.total", "link.model100")
    series = run.series()
    size, fetched = (series[CELL, name].value[0] for name in ("size.transfer", "pull.empty.fetched"))
    assert fetched == pytest.approx(size, rel=0.01), "every layer was fetched, though the engine had built them"
    assert series[CELL, "pull.previous.fetched"].value[0] < fetched
    assert "another machine" in run.unmeasured()["harden.all"]
    assert run.manifest.environment.facts["depot"] == "on", "only guests of this machine share the bridge"


def test_an_engine_behind_a_forwarded_socket_is_found_out(address: str, tmp_path: Path) -> None:
    with forwarded(address, tmp_path / "sock") as url:
        run = measured(url, tmp_path / "results", "size or start or memory")
    check(run, "size.transfer", "start.warm.total", "memory.ready")
    assert run.manifest.environment.notes["locality"].startswith("elsewhere: ")
    assert run.manifest.environment.facts["depot"] == "off"


def test_the_engine_keeps_nothing_of_ours(address: str) -> None:
    found = subprocess.run(
        ["curl", "-s", "--noproxy", "*", f"http://{address.removeprefix('tcp://')}/images/json?all=1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [image["RepoTags"] for image in json.loads(found.stdout) if "tare" in str(image["RepoTags"])] == []
