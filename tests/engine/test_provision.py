"""Engines of our own: found, started, and ended with all they hold, however the harness ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.engine import daemon as daemon_module
from harness.engine import provision as provision_module
from harness.engine.contract import ContainerSpec
from harness.engine.daemon import Daemon
from harness.engine.docker import DockerEngine
from harness.engine.fake.engine import FakeEngine
from harness.engine.programs import Programs
from harness.engine.provision import provision
from harness.errors import EngineUnavailable, LabError
from harness.host import packages
from harness.host.network import Network
from harness.host.reaper import Reaper, sweep
from harness.host.undo import cgroup_folders, mounts_below, run, started, undo
from harness.settings import EngineChoice, Settings
from support.servers import make_network, start_server, until

ROOT = Path(__file__).parents[2]


# Which engine


class Found:
    class info:  # noqa: N801
        kind, version, endpoint = "docker", "27.0", "unix:///somewhere"
        image_store, local = "classic", True


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setattr(provision_module, "answering", lambda **_: None)


def test_off_is_off(tmp_path):
    with pytest.raises(EngineUnavailable, match="TARE_ENGINE"):
        provision(Settings(cache=tmp_path, engine="off"), None, None, announce=print)


@pytest.mark.parametrize("engine", ["auto", "system"])
def test_the_answering_engine_comes_first(tmp_path, monkeypatch, engine):
    monkeypatch.setattr(provision_module, "answering", lambda **_: Found())
    said = []
    found = provision(Settings(cache=tmp_path, engine=engine), None, None, announce=said.append).engine
    assert isinstance(found, Found)
    assert said == ["engine: docker 27.0 at unix:///somewhere"]


@pytest.mark.usefixtures("no_engine")
def test_system_starts_none(tmp_path):
    with pytest.raises(EngineUnavailable, match=r"no engine answers.*DOCKER_HOST"):
        provision(Settings(cache=tmp_path, engine="system"), None, None, announce=print)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(("debian", "words"), [(True, "apt-get install"), (False, "docker.io")])
def test_without_root_the_commands_are_told(tmp_path, monkeypatch, debian, words):
    monkeypatch.setattr(Programs, "find", lambda *_: None)
    monkeypatch.setattr(packages, "is_debian", lambda: debian)
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(EngineUnavailable, match=words) as caught:
        provision(Settings(cache=tmp_path), None, None, announce=print)
    assert ("sudo" in caught.value.fix) is debian


@pytest.mark.usefixtures("no_engine")
def test_missing_docker_is_installed_where_that_is_ours_to_do(tmp_path, monkeypatch):
    asked = []

    def ensure(wanted, **_):
        asked.append(wanted)
        raise LabError("apt could not install", fix="Type this.")

    monkeypatch.setattr(Programs, "find", lambda *_: None)
    monkeypatch.setattr(packages, "installable", lambda: "")
    monkeypatch.setattr(packages, "ensure", ensure)
    with pytest.raises(EngineUnavailable, match=r"could not install.*Type this"):
        provision(Settings(cache=tmp_path), None, None, announce=print)
    assert asked == [{"dockerd": "docker.io"}]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("ours", ["", "it takes root"])
@pytest.mark.parametrize("there", [None, "/usr/bin/unpigz"])
def test_an_engine_of_ours_unpacks_as_most_do_where_that_can_be_had(monkeypatch, there, ours, fails):
    asked, said = [], []

    def ensure(wanted, **_):
        asked.append(wanted)
        if fails:
            raise LabError("apt could not install")

    monkeypatch.setattr(provision_module, "find_program", lambda _: there)
    monkeypatch.setattr(packages, "installable", lambda: ours)
    monkeypatch.setattr(packages, "ensure", ensure)
    provision_module._recommended(None, said.append)
    assert asked == ([] if there or ours else [{"unpigz": "pigz"}])
    assert said == (["the engine runs without pigz: apt could not install"] if asked and fails else [])


@dataclass
class Unpacked:
    """Engines by release, as versions; other releases are not available."""

    versions: dict[str, str]
    folder: Path
    asked: list[str] = field(default_factory=list)

    def programs(self, release: str, kind: str = "docker") -> Programs:
        assert kind == "docker"
        self.asked.append(release)
        if release not in self.versions:
            raise LabError("no network", fix="Plug it in.")
        dockerd = self.folder / release / "dockerd"
        dockerd.parent.mkdir(exist_ok=True)
        dockerd.write_text(f"#!/bin/sh\necho Docker version {self.versions[release]}, build 1\n")
        dockerd.chmod(0o755)
        return Programs(folder=dockerd.parent)


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """A machine whose own dockerd is 20.10.24, and what it can unpack."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "dockerd").write_text("#!/bin/sh\necho Docker version 20.10.24, build 1\n")
    (own / "dockerd").chmod(0o755)
    monkeypatch.setenv("PATH", str(own), prepend=os.pathsep)
    monkeypatch.setattr(provision_module, "_recommended", lambda *_: None)
    return Unpacked({"trixie": "26.1.5+dfsg1", "forky": "28.5.2"}, tmp_path)


def chosen(text, unpacked, release="trixie"):
    said: list[str] = []
    found = provision_module._programs(EngineChoice.parse(text), None, said.append, unpacked, release)
    return found, said


@pytest.mark.parametrize(
    ("text", "version", "store", "asked"),
    [
        ("auto", "26.1.5+dfsg1", "classic", ["trixie"]),
        ("private", "26.1.5+dfsg1", "classic", ["trixie"]),
        ("private:26.1+containerd", "26.1.5+dfsg1", "containerd", ["trixie"]),
        ("private:28.5", "28.5.2", "classic", ["forky"]),
        ("private:20.10", "20.10.24", "classic", []),  # which this machine has itself
    ],
)
def test_our_own_engine_is_of_the_release_that_bases_come_from_or_the_version_that_is_named(
    unpacked, text, version, store, asked
):
    found, said = chosen(text, unpacked)
    assert (found.version(), found.store, unpacked.asked) == (version, store, asked)
    assert not said


def test_a_version_that_is_named_is_that_or_an_error(unpacked):
    unpacked.versions = {"trixie": "26.2.0"}
    with pytest.raises(EngineUnavailable, match=r"trixie has 26\.2\.0, not Docker 26\.1"):
        chosen("private:26.1", unpacked)
    with pytest.raises(EngineUnavailable, match=r"Docker 28\.5 is not available: no network.*Plug it in"):
        chosen("private:28.5", unpacked)
    with pytest.raises(EngineUnavailable, match=r"Docker 28\.5 is not on this machine"):
        chosen("private:28.5", None)


def test_without_a_network_our_own_engine_is_this_machines_and_that_is_said(unpacked):
    unpacked.versions = {}
    found, said = chosen("auto", unpacked)
    assert found.version() == "20.10.24"
    assert said == ["engine: this machine's own Docker, because Docker of trixie is not available (no network)"]


@pytest.mark.parametrize(
    ("version", "local", "expected"),
    [
        ("28.5.2", True, "28.5.2"),
        ("20.10.24", True, "20.10.24"),
        ("29.1.0", True, "20.10.24"),
        ("28.5.2", False, "20.10.24"),
    ],
)
def test_nodes_are_of_the_version_that_answers_if_it_can_be_had(unpacked, version, local, expected):
    info = replace(FakeEngine().info, version=version, local=local, image_store="containerd")
    found = provision_module._like(info, unpacked, lambda _: None)
    assert (found.version(), found.store) == (expected, "containerd")


# Packages


@pytest.fixture
def apt(monkeypatch, tmp_path):
    """A host without `tool`, whose apt installs it when it has lists; its arguments are logged."""
    log, policy, bin_folder = [], tmp_path / "policy-rc.d", tmp_path / "bin"
    bin_folder.mkdir()
    answers = {"install": ["E: Unable to locate package tool", ""], "update": [""]}

    def run_apt(verb, *names):
        log.append((verb, *names, policy.exists() and policy.stat().st_mode & 0o111 != 0))
        answer = answers[verb].pop(0)
        if verb == "install" and not answer:
            (bin_folder / "tool").write_text("#!/bin/sh\n")
            (bin_folder / "tool").chmod(0o755)
        return answer

    monkeypatch.setattr(packages, "_apt", run_apt)
    monkeypatch.setattr(packages, "_version", lambda _: "1.2-3")
    monkeypatch.setattr(packages, "POLICY", policy)
    monkeypatch.setattr(packages, "installable", lambda: "")
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)
    return log, policy, answers


def test_missing_package_is_installed_after_an_update_and_starts_no_service(apt, tmp_path):
    log, policy, _ = apt
    said = []
    with Reaper(tmp_path) as reaper:
        found = packages.ensure({"tool": "tool", "sh": "dash"}, announce=said.append, reaper=reaper)
        assert not policy.exists()
        assert packages.ensure({"tool": "tool"}, announce=said.append) == {"tool": found["tool"]}
    assert found["tool"] == str(tmp_path / "bin/tool")
    assert log == [("install", "tool", True), ("update", True), ("install", "tool", True)]
    assert said == ["installed tool 1.2-3 (apt)"]
    assert reaper.removed == []


def test_a_policy_that_is_there_stays(apt):
    _, policy, _ = apt
    policy.write_text("theirs")
    packages.ensure({"tool": "tool"}, announce=print)
    assert policy.read_text() == "theirs"


def test_failed_installation_leaves_no_policy_and_says_what_to_type(apt):
    _, policy, answers = apt
    answers["install"][1] = "E: no space"
    with pytest.raises(LabError, match=r"no space.*apt-get install"):
        packages.ensure({"tool": "tool"}, announce=print)
    assert not policy.exists()


# A dockerd of our own


def test_environment_of_a_dockerd():
    environment = daemon_module._environment(
        {"PATH": "/bin", "DOCKER_HOST": "x", "NOTIFY_SOCKET": "y", "HTTPS_PROXY": "p", "no_proxy": "a"}, "10.0.0.0/24"
    )
    assert environment["HTTPS_PROXY"] == "p"
    assert environment["no_proxy"] == environment["NO_PROXY"] == "a,localhost,127.0.0.0/8,10.0.0.0/24"
    assert environment["PATH"] == "/bin:/usr/local/sbin:/usr/sbin:/sbin"
    assert not {"DOCKER_HOST", "NOTIFY_SOCKET"} & set(environment)


def test_no_right_no_dockerd(tmp_path, monkeypatch):
    monkeypatch.setattr(daemon_module, "capable", lambda _: False)
    with Reaper(tmp_path) as reaper, pytest.raises(EngineUnavailable, match="no private engine"):
        Daemon.start(reaper, data=tmp_path / "data", network=(), registries="10.0.0.0/24")


@pytest.mark.live
def test_a_broken_start_tells_the_log_and_leaves_nothing(tmp_path):
    with Reaper(tmp_path) as reaper:
        with pytest.raises(EngineUnavailable, match=r"(?s)exited at once.*unknown flag"):
            Daemon.start(reaper, data=tmp_path / "data", network=("--no-such-flag",), registries="10.0.0.0/24")
        assert not (tmp_path / "data").exists()
        assert not reaper._lease.records


@pytest.mark.live
def test_daemon_leaves_nothing_and_touches_no_other(live_endpoint, tmp_path, archive):
    theirs = DockerEngine(live_endpoint, origin="private")
    container = start_server(theirs, archive)
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        daemon = Daemon.start(
            reaper,
            data=tmp_path / "data",
            network=("--bridge", network.bridge, "--fixed-cidr", network.containers),
            registries=str(network.subnet),
        )
        engine = DockerEngine(daemon.endpoint, origin="private")
        ours = start_server(engine, archive)
        assert network.subnet.supernet_of(type(network.subnet)(engine.state(ours).address))
        engine.close()
        bridge = make_network(daemon.endpoint)
        assert Path(f"/sys/class/net/{bridge}").exists()
        assert f"bridge {bridge}" in daemon.left()
        assert cgroup_folders(daemon.cgroup)
        daemon.close()
        assert daemon.left() == []
        assert not Path(f"/sys/class/net/{bridge}").exists()
        assert not reaper._lease.records.keys() - {0}, "only the network's bridge"
    assert theirs.state(container).running
    theirs.remove(container)
    theirs.close()


# A harness that dies with an engine, a container, a node and a network

CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from support.servers import make_network, start_server
from harness.engine.provision import provision
from harness.host.reaper import Reaper
from harness.host.network import Network
from harness.lab.node import Nodes
from harness.settings import Settings
settings = Settings(cache=Path(sys.argv[1]), engine="private", node="namespace")
with Reaper(settings.cache) as reaper, Network(reaper) as network:
    engine = provision(settings, reaper, network, announce=lambda text: None).engine
    start_server(engine, Path(sys.argv[2]))
    asked_for = make_network(engine.info.endpoint)
    with Nodes(settings, reaper, network, engine).fresh() as node:
        start_server(node.engine, Path(sys.argv[2]), "host")
        reaper.folder(settings.cache / "folder")
        records = [[record.kind, record.name, record.pid, record.start] for record in reaper._lease.records.values()]
        ports = [path.name for path in Path(f"/sys/class/net/{network.bridge}/brif").iterdir()]
        links = [network.bridge, asked_for, *ports]
        print(json.dumps({"guardian": reaper._guardian.pid, "records": records, "links": links}), flush=True)
        sys.stdin.read()
"""


def traces(told) -> list[str]:
    """What there still is of a harness's things."""
    left = [f"link {name}" for name in told["links"] if Path(f"/sys/class/net/{name}").exists()]
    for kind, name, pid, start in told["records"]:
        if kind == "process" and started(pid) == start:
            left.append(f"process {pid}")
        if kind == "folder":
            left += [f"folder {name}"] if Path(name).exists() else []
            left += [f"mount {point}" for point in mounts_below(Path(name))]
            for command in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if name.encode() in command.read_bytes():
                        left.append(f"process {command.parent.name}")
        if kind == "cgroup":
            left += [f"cgroup {path}" for path in cgroup_folders(name)]
    return left


@pytest.mark.live
@pytest.mark.parametrize("death", ["KILL", "TERM", "INT", "HUP", "guardian too"])
def test_nothing_is_left_of_a_killed_harness_and_nothing_else_is_touched(live_endpoint, tmp_path, archive, death):
    theirs = DockerEngine(live_endpoint, origin="private")
    container = start_server(theirs, archive)
    (tmp_path / "theirs").mkdir()
    run("ip", "link", "add", "theirs0", "type", "bridge")
    cache = tmp_path / "cache"
    try:
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(cache), str(archive), str(ROOT / "tests")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        ) as harness:
            told = json.loads(harness.stdout.readline())
            kinds = {kind for kind, *_ in told["records"]}
            assert kinds >= {"process", "folder", "link", "cgroup", "bridges"}
            assert len(told["links"]) >= 4, "the bridge, the one asked for, a container's veth and the node's"
            assert {line.split()[0] for line in traces(told)} == {"link", "process", "folder", "cgroup"}
            if death == "guardian too":
                os.kill(told["guardian"], signal.SIGKILL)
            harness.send_signal(signal.Signals[f"SIG{death}"] if death.isupper() else signal.SIGKILL)
            harness.wait(60)
        if death == "guardian too":
            assert traces(told)
            assert any("tare" in text for text in sweep(cache))
        assert until(lambda: not traces(told)), traces(told)
        assert until(lambda: not any((cache / "leases").iterdir()))
        assert theirs.state(container).running
        assert Path("/sys/class/net/theirs0").exists()
        assert (tmp_path / "theirs").is_dir()
    finally:
        run("ip", "link", "delete", "theirs0")
        theirs.remove(container)
        theirs.close()


@pytest.mark.live
def test_objects_on_an_engine_that_stays_are_removed_by_their_label(live_endpoint, tmp_path, archive):
    engine = DockerEngine(live_endpoint, origin="private")
    other = start_server(engine, archive)
    with Reaper(tmp_path) as reaper:
        label = f"dev.tare.test={reaper.token}"
        number = reaper.objects(live_endpoint, label)
        record = reaper._lease.records[number]
        key, _, value = label.partition("=")
        mine = engine.create(ContainerSpec(image="server:1", command=["/server"], labels={key: value}))
        assert mine in engine.containers()
    assert reaper.removed == [f"objects {live_endpoint}"]
    assert mine not in engine.containers()
    assert engine.state(other).running
    assert not undo(record)
    engine.remove(other)
    engine.close()
