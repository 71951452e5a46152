"""Nodes: the best kind that works, empty, reachable, and gone afterwards."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.docker import DockerEngine
from harness.engine.fake.engine import FakeEngine
from harness.errors import EngineUnavailable
from harness.host.network import Network
from harness.host.reaper import Reaper
from harness.lab import node as node_module
from harness.lab.node import Nodes
from harness.settings import Settings
from support.servers import start_server, until


class Engine:
    """An engine as far as `Nodes` asks one before there is a node."""

    def __init__(self, *, local: bool = True, origin: str = "system", images=(), stuck=()) -> None:
        self.info = type("Info", (), {"local": local, "origin": origin, "memory": 8 << 30, "endpoint": "unix:///x"})
        self.present, self.stuck, self.pruned = list(images), set(stuck), False

    def images(self):
        return tuple(self.present)

    def remove_image(self, image):
        if image in self.stuck:
            raise EngineUnavailable(f"{image} is in use")
        self.present.remove(image)

    def prune_builds(self):
        self.pruned = True


@pytest.fixture
def poor(monkeypatch):
    """A machine where nothing of our own can be started."""
    monkeypatch.setattr(node_module.Daemon, "impossible", staticmethod(lambda *_: "it takes root"))


def nodes(tmp_path, reaper=None, kind="auto", engine=None, **options) -> Nodes:
    return Nodes(Settings(cache=tmp_path, node=kind), reaper, None, engine or Engine(), **options)


@pytest.mark.usefixtures("poor")
def test_reasons_are_remembered(tmp_path):
    made = nodes(tmp_path)
    assert made.kind == "layers"
    assert dict(made.refused) == {"namespace": "it takes root", "dind": "there is no image with dockerd"}
    assert made.impossible == ""
    assert nodes(tmp_path, dind_image="x").kind == "dind"
    assert "cannot be reached" in nodes(tmp_path, dind_image="x", engine=Engine(local=False)).refused["dind"]


@pytest.mark.usefixtures("poor")
def test_the_setting_is_a_command(tmp_path):
    made = nodes(tmp_path, kind="namespace")
    assert made.kind == ""
    assert "namespace: it takes root" in made.impossible
    with (
        Reaper(tmp_path) as reaper,
        pytest.raises(EngineUnavailable, match="it takes root"),
        nodes(tmp_path, reaper, "namespace").fresh(),
    ):
        pass
    assert nodes(tmp_path, kind="layers").kind == "layers"


@pytest.mark.usefixtures("poor")
def test_a_kind_that_fails_at_once_gives_way_to_the_next(tmp_path, monkeypatch):
    def fail(*_):
        raise EngineUnavailable("it does not start")

    monkeypatch.setattr(Nodes, "_dind", fail)
    with Reaper(tmp_path) as reaper:
        made = nodes(tmp_path, reaper, dind_image="x")
        assert made.kind == "dind"
        with made.fresh() as node:
            assert node.kind == made.kind == "layers"
        assert made.refused["dind"] == "it does not start"
        monkeypatch.setattr(Nodes, "_layers", fail)
        with pytest.raises(EngineUnavailable, match="does not start"), made.fresh():
            pass
        assert made.kind == "layers", "it worked before, so it is no reason to change what is measured"


@pytest.mark.usefixtures("poor")
def test_an_engine_of_ours_is_emptied_and_tells_what_stayed(tmp_path):
    engine = Engine(origin="private", images=["a", "b", "c"], stuck=["b"])
    with Reaper(tmp_path) as reaper, nodes(tmp_path, reaper, engine=engine, registry_port=5000).fresh() as node:
        assert node.engine is engine
        assert "b is in use" in node.note
        assert node.registry == "127.0.0.1:5000"
    assert engine.present == ["b"]
    assert engine.pruned


@pytest.mark.usefixtures("poor")
def test_a_users_engine_keeps_what_it_has(tmp_path):
    engine = Engine(origin="system", images=["a"])
    with Reaper(tmp_path) as reaper, nodes(tmp_path, reaper, engine=engine, registry_port=5000).fresh() as node:
        assert (node.engine, node.note) == (engine, "")
    assert engine.present == ["a"]
    assert not engine.pruned


@pytest.mark.usefixtures("poor")
def test_an_engine_on_another_machine_has_no_node_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(node_module.Daemon, "impossible", staticmethod(lambda *_: ""))
    made = nodes(tmp_path, engine=Engine(local=False))
    assert made.kind == "layers"
    assert "another machine" in made.refused["namespace"]


def check_empty_and_able(node, archive: Path) -> None:
    assert node.engine.images() == []
    assert node.engine.containers() == []
    start_server(node.engine, archive, "host")
    assert until(lambda: answers(f"http://{node.address}:8080/"))


def answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as response:
            return response.read() == b"up"
    except OSError:
        return False


@pytest.mark.live
@pytest.mark.parametrize("memory", [True, False])
def test_namespace_node(live_endpoint, live_network, tmp_path, archive, monkeypatch, memory):
    if not memory:
        monkeypatch.setattr(node_module, "_memory_available", lambda: 1 << 20)
    engine = DockerEngine(live_endpoint, origin="private")
    ports = Path(f"/sys/class/net/{live_network.bridge}/brif")
    before = {path.name for path in ports.iterdir()}
    with Reaper(tmp_path) as reaper:
        made = Nodes(Settings(cache=tmp_path), reaper, live_network, engine, registry_port=5000)
        assert made.kind == "namespace"
        with made.fresh() as first, made.fresh() as second:
            assert first.address != second.address
            assert first.registry == f"{live_network.address}:5000"
            assert ("disk" in first.note) is not memory
            check_empty_and_able(first, archive)
            assert second.engine.images() == []
        assert not reaper._lease.records
        with made.fresh() as third:
            assert third.address == first.address
            check_empty_and_able(third, archive)
    assert {path.name for path in ports.iterdir()} == before
    assert list((tmp_path / "nodes").iterdir()) == []
    engine.close()


@pytest.mark.live
def test_dind_falls_back_where_its_image_has_no_dockerd(live_endpoint, tmp_path, archive):
    engine = DockerEngine(live_endpoint, origin="private")
    engine.remove(start_server(engine, archive))
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        made = Nodes(Settings(cache=tmp_path, node="dind"), reaper, network, engine, "server:1")
        with pytest.raises(EngineUnavailable, match="privileged"), made.fresh():
            pass
        assert [record.kind for record in reaper._lease.records.values()] == ["link"]
    assert engine.containers() == []
    engine.close()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"version": "20.10.24"}, "fake 20.10.24, memory, classic image store"),
        ({"storage_driver": "overlay2"}, "fake 1, overlay2, classic image store"),
        ({"image_store": "containerd"}, "fake 1, memory, containerd image store"),
        ({"origin": "node", "endpoint": "elsewhere"}, ""),
    ],
)
def test_a_node_that_is_another_engine_says_what_it_is(changes, expected):
    run = replace(FakeEngine().info, version="1", storage_driver="memory", image_store="classic")
    assert node_module._difference(replace(run, **changes), run) == expected
