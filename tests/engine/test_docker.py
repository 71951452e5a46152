"""The real engine keeps the contract; what only it can do; and how answers of other engines are read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import docker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.connect import answering
from harness.engine.contract import ContainerSpec, LayerPull
from harness.engine.docker import DockerEngine
from harness.engine.endpoint import Endpoint, find_endpoint
from harness.engine.image_names import ours, split
from harness.engine.pull_progress import PullLog
from harness.errors import BuildFailed, ContainerFailed, EngineError, EngineUnavailable, PullFailed
from harness.settings import LABEL
from support.engine_contract import EngineContract, context, leaving_nothing, new_name

SECRET = 'FROM scratch\nCOPY app /app\nRUN --mount=type=secret,id={} ["/app", "size", "/run/secrets/big"]\n'


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on a free loopback port."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    program = shutil.which("docker-registry")
    assert program, "the live tests need Debian's docker-registry"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(address.partition(":")[2]))).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.mark.live
class TestContract(EngineContract):
    @pytest.fixture
    def engine(self, live_engine: DockerEngine) -> DockerEngine:
        return live_engine


@pytest.fixture
def name(live_engine: DockerEngine) -> Iterator[str]:
    with leaving_nothing(live_engine):
        yield new_name()


@pytest.mark.live
def test_a_base_that_is_at_hand_is_asked_of_no_registry(live_engine: DockerEngine, name: str) -> None:
    """Lookups are counted at their destination: the base has a name in a registry of this test, which never answers."""
    live_engine.build(context=context(), tag=name)
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.2)
        asked = []

        def count() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    visitor, _ = door.accept()
                    asked.append(visitor)
                    visitor.close()

        ended = threading.Event()
        counter = threading.Thread(target=count)
        counter.start()
        try:
            registry = f"127.0.0.1:{door.getsockname()[1]}"
            base = f"{registry}/tare.local/base:1"
            live_engine.tag(name, base)
            built = live_engine.build(context=context(f"FROM {base}\nCOPY app /other\n"), tag=name)
            assert built.image
            if asked and (live_engine.info.version[:4], live_engine.info.image_store) == ("26.1", "containerd"):
                pytest.xfail("BuildKit of Docker 26.1 asks all the same, and uses the local image if nobody answers")
            assert not asked, "a base that the engine has is not looked up"
            with pytest.raises(BuildFailed):
                live_engine.build(context=context(f"FROM {registry}/tare.local/none:1\n"), tag=name)
            assert asked, "a base that the engine lacks is looked up, so the count can fail"
            live_engine.remove_image(base)
        finally:
            ended.set()
            counter.join()


@pytest.fixture
def users(live_engine: DockerEngine) -> Iterator[docker.APIClient]:
    """Another client of the same engine, whose things are not ours."""
    client = docker.APIClient(live_engine.info.endpoint, version="auto")
    yield client
    client.close()


@pytest.mark.live
def test_secrets_of_any_size_arrive_and_stay_out_of_the_image(live_engine: DockerEngine, name: str) -> None:
    secret = os.urandom(219_000)
    result = live_engine.build(context=context(SECRET.format("big")), tag=name, secrets={"big": secret}, no_cache=True)
    assert "219000 <nil>" in result.log
    assert secret[:64] not in b"".join(live_engine.save(name))


@pytest.mark.live
def test_a_build_that_does_not_end_in_time_names_the_step(live_engine: DockerEngine, name: str) -> None:
    dockerfile = 'FROM scratch\nCOPY app /app\nRUN ["/app", "sleep"]\n'
    with pytest.raises(BuildFailed, match="no end within 1 s") as caught:
        live_engine.build(context=context(dockerfile), tag=name, timeout=1)
    assert caught.value.step == 'RUN ["/app", "sleep"]'


@pytest.mark.live
def test_a_dockerfile_that_is_none_is_told_in_the_engines_words(live_engine: DockerEngine, name: str) -> None:
    with pytest.raises(BuildFailed, match="unknown instruction"):
        live_engine.build(context=context("FROM scratch\nNONSENSE\n"), tag=name)


@pytest.mark.live
def test_arguments_target_and_dockerfile_reach_the_build(live_engine: DockerEngine, name: str) -> None:
    dockerfile = "FROM scratch AS one\nARG WORD\nENV SAID=${WORD}\nCOPY app /app\nFROM one AS two\nENV TWO=2\n"
    live_engine.build(context=context(dockerfile), tag=name, target="one", arguments={"WORD": "a b"})
    found = live_engine.inspect(name)
    assert found is not None
    assert "SAID=a b" in found.config["Env"]  # type: ignore[operator]
    assert "TWO=2" not in found.config["Env"]  # type: ignore[operator]


@pytest.mark.live
def test_what_is_not_ours_stays(live_engine: DockerEngine, users: docker.APIClient, name: str) -> None:
    live_engine.build(context=context(), tag=name)
    container = users.create_container(name)["Id"]
    foreign = users.commit(container, repository=f"users/{uuid.uuid4().hex[:8]}", changes=f'LABEL {LABEL}=""')["Id"]
    unlabelled = users.import_image_from_data(b"\0" * 10240, repository=f"users/{uuid.uuid4().hex[:8]}")
    users_image = json.loads(unlabelled.splitlines()[-1])["status"]
    try:
        assert foreign in live_engine.images()
        assert users_image not in live_engine.images()
        with pytest.raises(EngineError, match="not Tare's"):
            live_engine.remove_image(users_image)
        users_container = users.create_container(users_image, "/x", labels={})["Id"]
        assert users_container not in live_engine.containers()
        with pytest.raises(EngineError, match="not Tare's"):
            live_engine.remove(users_container)
        users.remove_container(users_container)

        users.tag(users_image, "users/kept")
        users.tag(users_image, name)  # a name of ours on an image of theirs: only the name may go
        assert users_image in live_engine.images()
        live_engine.remove_image(users_image)
        assert users.inspect_image("users/kept")["Id"] == users_image
        assert live_engine.inspect(name) is None
    finally:
        users.remove_container(container)
        for image in (foreign, users_image):
            users.remove_image(image, force=True)


@pytest.mark.live
def test_a_loaded_archive_takes_no_name_away(
    live_engine: DockerEngine, users: docker.APIClient, name: str, tmp_path: Path
) -> None:
    ours_built = live_engine.build(context=context(), tag=name).image
    users.tag(ours_built, "users/app", "1")
    (tmp_path / "image.tar").write_bytes(b"".join(live_engine.save("users/app:1")))
    users.remove_image("users/app:1")
    theirs = live_engine.build(context=context("FROM scratch\nCOPY app /b\n"), tag=new_name()).image
    users.tag(theirs, "users/app", "1")
    try:
        assert live_engine.load(tmp_path / "image.tar", tag=name) == ours_built
        assert users.inspect_image("users/app:1")["Id"] == theirs
    finally:
        users.remove_image("users/app:1")


@pytest.mark.live
def test_the_build_cache_of_a_system_engine_stays(live_engine: DockerEngine) -> None:
    system = DockerEngine(live_engine.info.endpoint, origin="system")
    with pytest.raises(EngineError, match="no_cache=True"):
        system.prune_builds()
    system.close()


@pytest.mark.live
def test_the_engine_that_docker_host_names_answers(live_engine: DockerEngine) -> None:
    found = answering({"DOCKER_HOST": live_engine.info.endpoint})
    assert found is not None
    assert found.info.origin == "system"
    found.close()


@pytest.mark.live
def test_limits_of_a_container_reach_the_engine(
    live_engine: DockerEngine, users: docker.APIClient, name: str, tmp_path: Path
) -> None:
    live_engine.build(context=context(), tag=name)
    container = live_engine.create(
        ContainerSpec(
            image=name,
            env={"A": "b=c"},
            network="none",
            memory=64 << 20,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            user="65534",
            binds=[f"{tmp_path}:/data:ro"],
            tmpfs={"/tmp": "size=1m"},
            labels={"extra": "1"},
        )
    )
    live_engine.start(container)
    said: Any = users.inspect_container(container)
    assert said["HostConfig"]["Memory"] == 64 << 20
    assert said["HostConfig"]["ReadonlyRootfs"]
    assert "A=b=c" in said["Config"]["Env"]
    assert said["Config"]["Labels"].items() >= {"extra": "1", LABEL: "1"}.items()
    assert live_engine.state(container).address == ""


# Without an engine


def test_where_nothing_answers(tmp_path: Path) -> None:
    for endpoint in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(EngineUnavailable, match="no engine answers"):
            DockerEngine(endpoint, origin="system")
        assert answering({"DOCKER_HOST": endpoint}) is None


VERSION = {
    "ApiVersion": "1.52",
    "Version": "29.0.0",
    "Arch": "arm64",
    "Components": [{"Name": "Engine", "Version": "29.0.0"}, {"Name": "runc", "Version": "1.3.0"}],
}
INFO = {
    "Driver": "overlayfs",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "DefaultRuntime": "runc",
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
    "KernelVersion": "6.1",
    "NCPU": 4,
    "MemTotal": 1 << 30,
    "CgroupVersion": "2",
    "OperatingSystem": "Debian",
    "SystemTime": "2026-01-02T03:04:05.123456789Z",
}
STATE = {
    "State": {"Running": True, "Status": "running", "ExitCode": 0, "OOMKilled": False, "Error": ""},
    "NetworkSettings": {
        "Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}], "9/tcp": None},
        "Networks": {"none": {"IPAddress": ""}, "bridge": {"IPAddress": "10.1.2.3"}},
    },
}


class Recorded(ThreadingMixIn, UnixStreamServer):
    """Answers as an engine did: by path without version, a status code and lines sent one by one."""

    daemon_threads = True
    answers: dict[str, tuple[int, list[bytes]]]


class Handler(BaseHTTPRequestHandler):
    def read_body(self) -> None:
        """Read what was sent, because a connection that is closed before that is reset."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        self.read_body()
        path = self.path.partition("?")[0].removeprefix("/v1.52")
        status, lines = self.server.answers.get(path, (404, [b'{"message": "no such thing"}']))  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        for line in lines:
            if line == b"hang":
                self.connection.recv(1)  # until the client gives up
                return
            self.wfile.write(line + b"\n")

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def address_string(self) -> str:
        return ""


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    server = Recorded(str(tmp_path / "engine.sock"), Handler)
    server.answers = {
        "/version": (200, [json.dumps(VERSION).encode()]),
        "/info": (200, [json.dumps(INFO).encode()]),
        "/containers/c/json": (200, [json.dumps(STATE).encode()]),
    }
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def newer(recorded: Recorded) -> Iterator[DockerEngine]:
    engine = DockerEngine(f"unix://{recorded.server_address}", origin="system", timeout=5)
    yield engine
    engine.close()


def test_a_newer_engine_is_understood(newer: DockerEngine) -> None:
    assert newer.info.image_store == "containerd"
    assert newer.info.runtime == "runc 1.3.0"
    assert (newer.info.architecture, newer.info.cgroup, newer.info.rootless) == ("arm64", "2", True)
    assert not newer.info.local
    assert newer.info.api_version == "1.52"
    state = newer.state("c")
    assert (state.address, state.ports) == ("10.1.2.3", {8080: 4000})


@pytest.mark.parametrize("both", [True, False])  # "error" is deprecated since API 1.48
def test_an_error_in_the_middle_of_an_answer(newer: DockerEngine, recorded: Recorded, both: bool) -> None:
    error = {"errorDetail": {"message": "no space"}, **({"error": "no space"} if both else {})}
    said = [b'{"status":"Downloading","id":"a"}', json.dumps(error).encode()]
    recorded.answers["/images/create"] = (200, said)
    with pytest.raises(PullFailed, match=r"tare.local/a:1: no space$"):
        newer.pull("tare.local/a:1")


def test_a_digest_that_the_engine_does_not_say_is_the_registrys(newer: DockerEngine, recorded: Recorded) -> None:
    """The containerd store of 24 to 29 sends a line of status, and nothing for programs."""
    status = {"status": "1: digest: sha256:1234 size: 901"}
    recorded.answers["/images/r:5000/tare.local/a/push"] = (200, [json.dumps(status).encode()])
    answer = {"Descriptor": {"digest": "sha256:5678"}}
    recorded.answers["/distribution/r:5000/tare.local/a:1/json"] = (200, [json.dumps(answer).encode()])
    assert newer.push("r:5000/tare.local/a:1") == "sha256:5678"


def test_an_image_that_cannot_be_unpacked_is_not_loaded(
    newer: DockerEngine, recorded: Recorded, tmp_path: Path
) -> None:
    said = [
        {"stream": "Loaded image: tare.local/a:1\n"},
        {"stream": "Error unpacking image tare.local/a:1: no space left\n"},
    ]
    recorded.answers["/images/json"] = (200, [b"[]"])
    recorded.answers["/images/load"] = (200, [json.dumps(line).encode() for line in said])
    (tmp_path / "a.tar").write_bytes(b"any")
    with pytest.raises(EngineError, match=r"a\.tar: the image cannot be unpacked.*no space left"):
        newer.load(tmp_path / "a.tar", tag="tare.local/a:1")


def test_an_answer_that_does_not_end(newer: DockerEngine, recorded: Recorded) -> None:
    recorded.answers["/images/create"] = (200, [b'{"status":"Downloading","id":"a"}', b"hang"])
    with pytest.raises(PullFailed, match=r"no end within 0\.2 s"):
        newer.pull("tare.local/a:1", timeout=0.2)
    recorded.answers["/containers/c/wait"] = (200, [b"hang"])
    with pytest.raises(EngineError, match=r"still running after 0\.2 s"):
        newer.wait("c", timeout=0.2)


def test_an_http_error_keeps_the_engines_words(newer: DockerEngine, recorded: Recorded) -> None:
    recorded.answers["/containers/c/start"] = (500, [b'{"message":"exec format error"}'])
    with pytest.raises(ContainerFailed, match=r"c: exec format error$"):
        newer.start("c")
    recorded.answers["/containers/c/start"] = (502, [b"a proxy in between"])
    with pytest.raises(ContainerFailed, match="a proxy in between"):
        newer.start("c")


def test_an_engine_without_sessions_cannot_build(newer: DockerEngine) -> None:
    with pytest.raises(EngineError, match="no build sessions"):
        newer.build(context=context("FROM scratch\n", b""), tag="tare.local/a:1")


# Pulls

LAYERS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, min_size=1)
SAID = ["Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Download complete", "Extracting"]


def test_times_that_an_engine_looks_for_now_and_then_are_not_kept() -> None:
    """The messages of 28.5 about a pull with containerd's store: "b" took less than the 0.1 s between two looks."""
    log = PullLog(polled=True)
    said = [
        (0.05, "a", "Pulling fs layer"),
        (0.12, "a", "Downloading"),
        (0.82, "a", "Download complete"),
        (0.82, "b", "Download complete"),
        (1.03, "a", "Extracting"),
        (1.31, "a", "Pull complete"),
        (1.31, "c", "Already exists"),
    ]
    for at, layer, status in said:
        log.feed({"id": layer, "status": status}, at)
    assert log.layers() == (
        LayerPull(layer="a", reused=False),
        LayerPull(layer="b", reused=False),
        LayerPull(layer="c", reused=True),
    )


def test_the_way_of_layers() -> None:
    log = PullLog()
    said: list[tuple[str, str]] = [
        ("1", "Pulling from tare.local/a"),
        ("a", "Already exists"),
        ("b", "Pulling fs layer"),
        ("c", "Pulling fs layer"),
        ("b", "Downloading"),
        ("b", "Downloading"),
        ("c", "Download complete"),
        ("b", "Verifying Checksum"),
        ("b", "Download complete"),
        ("b", "Extracting"),
        ("b", "Extracting"),
        ("b", "Pull complete"),
        ("c", "Pull complete"),
        ("", "Digest: sha256:0"),
        ("", "Status: Downloaded newer image for tare.local/a:1"),
    ]
    for at, (layer, status) in enumerate(said):
        log.feed({"id": layer, "status": status}, float(at))
    assert log.digest == "sha256:0"
    assert log.layers() == (
        LayerPull(layer="a", reused=True),
        LayerPull(layer="b", reused=False, download_start=4, download_end=8, extract_start=9, complete=11),
        LayerPull(layer="c", reused=False, download_end=6, complete=12),
    )


@settings(max_examples=30, deadline=None)
@given(LAYERS, st.data())
def test_layers_keep_their_order_and_their_first_times(layers: list[str], data: st.DataObject) -> None:
    log = PullLog()
    said = [(layer, status) for layer in layers for status in (*SAID, "Pull complete") for _ in range(2)]
    rest: dict[str, list[str]] = {layer: [status for other, status in said if other == layer] for layer in layers}
    at = 0.0
    for layer in layers:  # the engine announces them in order
        log.feed({"id": layer, "status": rest[layer].pop(0)}, at)
    for layer in data.draw(st.permutations([layer for layer, left in rest.items() for _ in left])):
        at += 1
        log.feed({"id": layer, "status": rest[layer].pop(0)}, at)
    pulled = log.layers()
    assert [layer.layer for layer in pulled] == layers
    for way in pulled:
        times = [way.download_start, way.download_end, way.extract_start, way.complete]
        assert None not in times
        assert times == sorted(times)


# Names and endpoints


def test_names() -> None:
    assert ours("tare.local/a:1")
    assert ours("127.0.0.1:5000/tare.local/a:1")
    assert not ours("debian:trixie-slim")
    assert not ours("example.org/nottare.local/a")
    assert split("127.0.0.1:5000/a") == ("127.0.0.1:5000/a", "latest")
    assert split("a:1") == ("a", "1")
    assert split("a@sha256:0") == ("a", "sha256:0")


def context_file(home: Path, name: str, meta: bytes) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()
    folder = home / ".docker" / "contexts" / "meta" / digest
    folder.mkdir(parents=True)
    (folder / "meta.json").write_bytes(meta)
    return home / ".docker" / "contexts" / "tls" / digest / "docker"


def test_docker_host_is_the_only_candidate(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "DOCKER_HOST": "tcp://host:2376", "DOCKER_CONTEXT": "other"}
    assert find_endpoint(environ) == [Endpoint("tcp://host:2376", "DOCKER_HOST")]
    secure = {**environ, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certificates"}
    assert find_endpoint(secure) == [Endpoint("tcp://host:2376", "DOCKER_HOST", Path("/certificates"))]
    assert find_endpoint({**environ, "DOCKER_TLS_VERIFY": "1"})[0].certificates == tmp_path / ".docker"


def test_the_current_context_is_the_only_candidate(tmp_path: Path) -> None:
    meta = json.dumps({"Name": "other", "Endpoints": {"docker": {"Host": "tcp://other:2376"}}}).encode()
    tls = context_file(tmp_path, "other", meta)
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "other"}')
    environ = {"HOME": str(tmp_path)}
    assert find_endpoint(environ) == [Endpoint("tcp://other:2376", "docker context other")]
    tls.mkdir(parents=True)
    assert find_endpoint(environ)[0].certificates == tls
    assert find_endpoint({**environ, "DOCKER_CONTEXT": "missing"}) == []
    assert find_endpoint({**environ, "DOCKER_CONTEXT": "default"})[0].source == "default socket"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"currentContext": null}', '{"currentContext": "default"}'])
def test_default_sockets(tmp_path: Path, text: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(text)
    urls = [found.url for found in find_endpoint({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/1"})]
    assert urls[0] in ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
    assert "unix:///run/user/1/docker.sock" in urls
    assert urls[-3:] == [
        f"unix://{tmp_path}/.docker/run/docker.sock",
        "unix:///run/podman/podman.sock",
        "unix:///run/user/1/podman/podman.sock",
    ]


def test_the_network_of_a_process_of_ours_is_shared(recorded: Recorded, tmp_path: Path) -> None:
    assert Endpoint(f"unix://{recorded.server_address}").shares_network()
    assert not Endpoint(f"unix://{tmp_path}/none.sock").shares_network()
    assert not Endpoint("tcp://127.0.0.1:1").shares_network()
