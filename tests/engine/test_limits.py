"""What a cell may take: a hostile one harms nothing but itself, and an honest one is measured as before."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import docker
import pytest

from harness.cell.start import Door, start_and_ask
from harness.engine.contract import ContainerSpec
from harness.engine.docker import DockerEngine, _container, bounded
from harness.engine.limits import Limits
from harness.model import Request
from support.servers import server_archive, until

HOSTILE = """
package main

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	switch os.Args[1] {
	case "forks":
		for {
			if exec.Command("/server", "sleeps").Start() != nil {
				time.Sleep(10 * time.Millisecond)
			}
		}
	case "logs":
		line := []byte(strings.Repeat("x", 1<<20))
		for {
			os.Stdout.Write(line)
		}
	case "grows":
		for held := [][]byte{}; ; {
			piece := make([]byte, 1<<20)
			for i := range piece {
				piece[i] = 1
			}
			held = append(held, piece)
		}
	case "sleeps":
		time.Sleep(time.Hour)
	}
	http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("up"))
	}))
}
"""
LIMITS = Limits(memory=64 << 20, processes=40, log=1 << 20)


def test_limits_of_a_container_are_what_the_engine_is_asked_for():
    limits = Limits.of(8 << 30, budget=600.0)
    assert limits.build == 600.0
    asked = _container(ContainerSpec(image="app", limits=limits))["HostConfig"]
    assert (asked["Memory"], asked["MemorySwap"], asked["PidsLimit"]) == (6 << 30, 6 << 30, 4096)
    assert asked["LogConfig"] == {"Type": "json-file", "Config": {"max-size": str(8 << 20), "max-file": "2"}}
    assert _container(ContainerSpec(image="app", limits=limits, memory=5))["HostConfig"]["Memory"] == 5
    assert "PidsLimit" not in _container(ContainerSpec(image="app"))["HostConfig"]


def test_a_build_has_time_even_in_a_short_run():
    assert [Limits.of(1, budget).build for budget in (None, 30.0, 900.0, 1e6)] == [1800.0, 300.0, 900.0, 1800.0]


def test_the_end_of_a_log_is_kept_however_long_its_lines_are():
    assert bounded("short") == "short"
    assert bounded("x" * 10**6 + "end").endswith("end")
    assert len(bounded("x" * 10**6)) < 20_000


@pytest.fixture(scope="module")
def image(live_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    archive = server_archive(tmp_path_factory.mktemp("hostile"), HOSTILE)
    with contextlib.closing(docker.APIClient(live_engine.info.endpoint)) as client:
        client.import_image(str(archive), repository="tare.local/hostile", tag="1")
    yield "tare.local/hostile:1"
    live_engine.remove_image("tare.local/hostile:1")


def starts(engine: DockerEngine, image: str, limits: Limits | None) -> float:
    """Seconds from the create call of an honest app to its first answer."""
    spec = ContainerSpec(image=image, command=["/server", "serves"], limits=limits, network="host")
    started = start_and_ask(engine, spec, Door("127.0.0.1", 8080, Request("/", equals="up"), 30.0))
    engine.remove(started.container)
    return started.total


def kept(log: Path) -> int:
    """Bytes of a log and of the files before it. The engine renames a file when it is full: for a moment a name may be
    absent, or a file may be found under both of its names.
    """
    sizes = {}
    for path in log.parent.glob(f"{log.name}*"):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            sizes[state.st_ino] = state.st_size
    return sum(sizes.values())


@pytest.mark.live
@pytest.mark.parametrize("does", ["forks", "logs", "grows"])
def test_a_hostile_app_harms_nothing_but_itself(does: str, live_engine: DockerEngine, image: str) -> None:
    with contextlib.closing(docker.APIClient(live_engine.info.endpoint)) as client:
        spec = ContainerSpec(image=image, command=["/server", does], limits=LIMITS)
        container = live_engine.create(spec)
        try:
            live_engine.start(container)
            if does == "grows":
                assert until(lambda: not live_engine.state(container).running)
                assert live_engine.state(container).oom_killed
            else:
                time.sleep(2)
                assert starts(live_engine, image, LIMITS) > 0
            if does == "forks":
                assert client.top(container)["Processes"]
                assert len(client.top(container)["Processes"]) <= LIMITS.processes
            if does == "logs":
                assert len(live_engine.logs(container)) < 20_000
                log = Path(client.inspect_container(container)["LogPath"])
                assert until(lambda: kept(log) > 0)
                assert kept(log) < 2 * LIMITS.log + (64 << 10)  # B: the last record of a file may pass its limit
        finally:
            live_engine.remove(container)


@pytest.mark.live
def test_an_honest_app_starts_as_before(
    live_engine: DockerEngine, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ratio is printed. It is not asserted, because a machine may be busy."""
    limits = Limits.of(live_engine.info.memory, None)
    starts(live_engine, image, None)  # warms the page cache for both
    ratios = []
    for pair in range(20):
        order = (limits, None) if pair % 2 else (None, limits)
        took = {each: starts(live_engine, image, each) for each in order}
        ratios.append(took[limits] / took[None])
    ratio = median(ratios)
    with capsys.disabled():
        print(f"\nstart with limits ÷ without: {ratio:.3f}, {len(ratios)} pairs")
    assert ratio > 0
