"""Data roots of engines that have ended: which one the next run takes, and what is left in it."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine import kept_root as keptroot
from harness.engine.contract import ContainerSpec
from harness.engine.fake.engine import FakeEngine
from harness.engine.kept_root import KeptRoots
from harness.engine.programs import Programs
from harness.engine.provision import provision
from harness.errors import EngineError
from harness.host.network import Network
from harness.host.reaper import Reaper
from harness.image.context import BuildContext
from harness.settings import FRESH, IMAGE_PREFIX, Settings
from support.servers import make_network, server_archive, start_server

HOUR = 3600.0
DOCKERD = "20.10 classic"


@pytest.fixture(autouse=True)
def version(monkeypatch, request):
    if "live" not in request.keywords:
        monkeypatch.setattr(Programs, "version", lambda _: "20.10")


@dataclass
class Ended:
    """What KeptRoots uses of a Daemon."""

    data: Path
    stops: bool = True
    asked: list[str] = field(default_factory=list)

    def stop(self) -> bool:
        self.asked.append("stop")
        return self.stops


def root(folder: Path, name: str, *ages: float, version: str = DOCKERD, form: int = 3) -> Path:
    """A kept data root whose images were last had `ages` (s) ago."""
    path = folder / f"kept-{name}"
    (path / "overlay2").mkdir(parents=True)
    images = {f"sha256:{number}": time.time() - age for number, age in enumerate(ages)}
    (path / "tare.json").write_text(json.dumps({"format": form, "dockerd": version, "images": images}))
    return path


def build(engine: FakeEngine, name: str) -> str:
    context = BuildContext.of_files({"what": name.encode()}, dockerfile="FROM scratch\nCOPY what /\n")
    return engine.build(context=context, tag=IMAGE_PREFIX + name).image


def test_the_newest_is_taken_and_the_others_end_with_the_run(tmp_path):
    engines = tmp_path / "engines"
    root(engines, "a", 3 * HOUR)
    newest = root(engines, "b", 9 * HOUR, 1 * HOUR)
    root(engines, "c", 2 * HOUR)
    with Reaper(tmp_path) as reaper:
        assert KeptRoots(engines).newest(reaper) == newest
        assert [path.name for path in engines.glob("kept-*")] == ["kept-b"]  # no other run may take them any more
    assert list(engines.iterdir()) == [newest]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda engines: root(engines, "a", FRESH + 60),
        lambda engines: root(engines, "a", -HOUR),  # a clock that was put back
        lambda engines: root(engines, "a", HOUR, form=0),
        lambda engines: root(engines, "a"),
        lambda engines: (root(engines, "a", HOUR) / "tare.json").write_text('{"format": 3, "doc'),
        lambda engines: (root(engines, "a", HOUR) / "tare.json").write_text('["a list"]'),
        lambda engines: (root(engines, "a", HOUR) / "tare.json").unlink(),
    ],
    ids=["old", "future", "other format", "empty", "torn", "no record", "record gone"],
)
def test_what_is_not_to_be_used_is_removed(tmp_path, spoil):
    engines = tmp_path / "engines"
    spoil(engines)
    with Reaper(tmp_path) as reaper:
        assert KeptRoots(engines).newest(reaper) is None
    assert list(engines.iterdir()) == []


@pytest.mark.parametrize("other", ["26.1 classic", "20.10 containerd"])
def test_data_roots_of_another_engine_are_left_to_its_runs(tmp_path, other):
    engines = tmp_path / "engines"
    theirs = root(engines, "a", HOUR, version=other)
    root(engines, "b", FRESH + 60, version=other)
    ours = root(engines, "c", 2 * HOUR)
    with Reaper(tmp_path) as reaper:
        assert KeptRoots(engines).newest(reaper) == ours
    assert sorted(engines.iterdir()) == [theirs, ours]


@pytest.mark.parametrize("store", ["classic", "containerd"])
def test_the_images_of_the_containerd_store_stay(tmp_path, store):
    daemon = Ended(tmp_path / "1234")
    roots = KeptRoots(tmp_path)
    with Reaper(tmp_path) as reaper:
        assert roots.newest(reaper, Programs(store=store)) is None
    (daemon.data / "containerd").mkdir(parents=True)
    roots.daemon = daemon  # type: ignore[assignment]
    assert roots.keep(FakeEngine(origin="private"), [])
    (kept,) = (path for path in tmp_path.iterdir() if path.name.startswith("kept-"))
    assert (kept / "containerd").exists() == (store == "containerd")


def test_nothing_is_kept_yet(tmp_path):
    with Reaper(tmp_path) as reaper:
        assert KeptRoots(tmp_path / "engines").newest(reaper) is None


def roots_with(folder: Path, daemon: Ended) -> KeptRoots:
    daemon.data.mkdir(parents=True)
    roots = KeptRoots(folder)
    roots.daemon = daemon  # type: ignore[assignment]
    return roots


def test_only_images_are_kept_and_only_those_asked_for(tmp_path):
    engine = FakeEngine(origin="private")
    wanted, other = build(engine, "cell/go-slim:current"), build(engine, "cell/go-slim:changed")
    container = engine.create(ContainerSpec(image=other))
    daemon = Ended(tmp_path / "1234")
    roots = roots_with(tmp_path, daemon)
    for name in ("image", "overlay2", "network", "containers"):
        (daemon.data / name).mkdir()
    assert roots.keep(engine, [IMAGE_PREFIX + "cell/go-slim:current", IMAGE_PREFIX + "never:built"])
    assert container not in engine.containers()
    assert list(engine.images()) == [wanted]
    assert engine.calls[-1].startswith("prune_builds")
    assert daemon.asked == ["stop"]
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("kept-")
    assert {path.name for path in kept.iterdir()} == {"image", "overlay2", "tare.json"}
    assert list(json.loads((kept / "tare.json").read_text())["images"]) == [wanted]
    assert not roots.keep(engine, [])  # once is all


AGES = st.floats(0, FRESH - 60) | st.floats(FRESH + 60, 3 * FRESH)


@given(ages=st.lists(AGES, max_size=6), used=st.sets(st.integers(0, 5)))
def test_images_of_other_runs_stay_while_they_are_fresh(tmp_path_factory, ages, used):
    folder = tmp_path_factory.mktemp("roots")
    engine = FakeEngine(origin="private")
    ids = [build(engine, f"cell/{number}:current") for number in range(len(ages))]
    fresh = {id_: time.time() - age for id_, age in zip(ids, ages, strict=True)}
    first = root(folder / "engines", "a")
    (first / "tare.json").write_text(json.dumps({"format": 3, "dockerd": DOCKERD, "images": fresh}))
    daemon = Ended(folder / "engines" / "1234")
    roots = KeptRoots(folder / "engines")
    with Reaper(folder) as reaper:
        taken = roots.newest(reaper)
        assert (taken == first) == any(age < FRESH for age in ages)
        daemon.data.mkdir()
        roots.daemon = daemon  # type: ignore[assignment]
        assert roots.keep(engine, [f"{IMAGE_PREFIX}cell/{number}:current" for number in used])
    assert set(engine.images()) == {id_ for n, id_ in enumerate(ids) if n in used or ages[n] < FRESH}
    shutil.rmtree(folder)


@pytest.mark.parametrize("trouble", ["does not stop", "engine fails", "disk full", "no daemon"])
def test_what_cannot_be_kept_in_order_is_not_kept(tmp_path, monkeypatch, trouble):
    engine = FakeEngine(origin="private")
    build(engine, "cell/go-slim:current")
    daemon = Ended(tmp_path / "1234", stops=trouble != "does not stop")
    roots = roots_with(tmp_path, daemon)
    if trouble == "engine fails":
        monkeypatch.setattr(engine, "prune_builds", lambda: (_ for _ in ()).throw(EngineError("gone")))
    if trouble == "disk full":
        monkeypatch.setattr(keptroot, "_ROOM", 1 << 60)
    if trouble == "no daemon":
        roots.daemon = None
    assert not roots.keep(engine, [IMAGE_PREFIX + "cell/go-slim:current"])
    assert list(tmp_path.iterdir()) == [daemon.data]  # where its reaper finds it


@pytest.mark.live
def test_the_next_engine_has_the_images_and_nothing_else(tmp_path):
    archive = server_archive(tmp_path)
    settings = Settings(cache=tmp_path, engine="private")
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        roots = KeptRoots(tmp_path / "engines")
        engine = provision(settings, reaper, network, announce=lambda _: None, roots=roots).engine
        start_server(engine, archive)
        engine.tag("server:1", IMAGE_PREFIX + "cell/server:current")
        bridge = make_network(engine.info.endpoint)
        image = engine.inspect(IMAGE_PREFIX + "cell/server:current")
        assert image is not None
        assert roots.keep(engine, [IMAGE_PREFIX + "cell/server:current"])
        engine.close()
    (kept,) = (tmp_path / "engines").iterdir()
    assert not Path("/sys/class/net", bridge).exists()
    assert not list((tmp_path / "leases").iterdir())

    said: list[str] = []
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        roots = KeptRoots(tmp_path / "engines")
        engine = provision(settings, reaper, network, announce=said.append, roots=roots).engine
        assert "with images of earlier runs" in said[0]
        assert not kept.exists()
        again = engine.inspect(IMAGE_PREFIX + "cell/server:current")
        assert again is not None
        assert again.diff_ids == image.diff_ids
        assert not engine.containers()
        with contextlib.closing(docker.APIClient(engine.info.endpoint)) as client:
            assert "asked-for" not in [found["Name"] for found in client.networks()]
        container = start_server(engine, archive)
        assert engine.state(container).running
        engine.close()
    assert list((tmp_path / "engines").iterdir()) == []  # nobody asked to keep it


@pytest.mark.live
def test_a_data_root_that_no_dockerd_can_read_is_none(tmp_path):
    broken = root(tmp_path / "engines", "a", HOUR, version=str(Programs()))
    (broken / "image/overlay2").mkdir(parents=True)
    (broken / "image/overlay2/repositories.json").write_text("{torn")
    said: list[str] = []
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        roots = KeptRoots(tmp_path / "engines")
        settings = Settings(cache=tmp_path, engine="private")
        engine = provision(settings, reaper, network, announce=said.append, roots=roots).engine
        assert not engine.images()
        engine.close()
    assert "cannot be used" in said[0]
    assert "with images" not in said[1]
    assert list((tmp_path / "engines").iterdir()) == []
