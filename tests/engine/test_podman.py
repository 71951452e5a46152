"""Podman's answers, recorded from 4.3.1, on a server in this process; tests/live/test_podman.py runs the real one."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.engine.connect import connect
from harness.engine.docker import DockerEngine
from harness.engine.podman import PodmanEngine
from harness.errors import BuildFailed, EngineError, PullFailed
from harness.image.context import BuildContext

IMAGE = "6a3b6de1742aa8a296463deda35f7cd755850f6a62784e22c1aeac733d844965"
DIGEST = "sha256:6e7e59cf3a8132377620c92b6b8643406dd5d07cb8225af3711a250d97fd1c7c"
VERSION = {
    "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "OCI Runtime (runc)", "Version": "1.1.5"}],
    "Version": "4.3.1",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.24",
    "Arch": "amd64",
}
INFO = {
    "Driver": "overlay",
    "DriverStatus": [["Native Overlay Diff", "true"]],
    "KernelVersion": "6.1",
    "NCPU": 2,
    "MemTotal": 1,
    "CgroupVersion": "1",
    "DefaultRuntime": "runc",
    "SystemTime": "2026-11-28T08:33:17.160940030Z",
}
LAYER, CONFIG = "fb62b28798bd", IMAGE[:12]
NO_TLS = "pinging container registry: http: server gave HTTP response to HTTPS client"


class Handler(BaseHTTPRequestHandler):
    server: Podman

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = url.path.removeprefix("/v1.41")
        self.server.asked[path] = ({key: values[0] for key, values in parse_qs(url.query).items()}, self.body())
        lines = self.server.answers.get(path)
        self.send_response(404 if lines is None else 200)
        self.end_headers()
        self.wfile.write("\n".join(map(json.dumps, lines or [{"message": "none"}])).encode() + b"\n")

    do_POST = do_GET  # noqa: N815

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        return found

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Podman(ThreadingHTTPServer):
    answers: dict[str, list[dict[str, object]]]
    asked: dict[str, tuple[dict[str, str], bytes]]


@pytest.fixture
def podman() -> Iterator[Podman]:
    server = Podman(("127.0.0.1", 0), Handler)
    server.answers = {"/version": [VERSION], "/info": [INFO]}
    server.asked = {}
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def engine(podman: Podman) -> Iterator[DockerEngine]:
    found = connect(f"tcp://127.0.0.1:{podman.server_address[1]}", origin="system")
    yield found
    found.close()


def test_podman_is_known_by_its_version(engine: DockerEngine) -> None:
    assert isinstance(engine, PodmanEngine)
    assert (engine.info.kind, engine.info.version, engine.info.image_store) == ("podman", "4.3.1", "classic")


@pytest.mark.parametrize(("host", "tls"), [("127.0.0.1:5000", "false"), ("registry.example", None)])
def test_a_push_needs_no_tls_on_loopback_alone(
    podman: Podman, engine: DockerEngine, host: str, tls: str | None
) -> None:
    podman.answers[f"/images/{host}/z/push"] = [{"status": "refers to"}, {"status": f"1: digest: {DIGEST} size: 420"}]
    assert engine.push(f"{host}/z:1") == DIGEST
    assert podman.asked[f"/images/{host}/z/push"][0].get("tlsVerify") == tls
    podman.answers[f"/images/{host}/z/push"] = [{"status": "refers to"}]
    with pytest.raises(EngineError, match="did not report what it pushed"):
        engine.push(f"{host}/z:1")


def test_a_pull_has_its_layers_without_times_and_the_config_is_none_of_them(
    podman: Podman, engine: DockerEngine
) -> None:
    image = {"Id": f"sha256:{IMAGE}", "RootFS": {"Layers": []}, "Architecture": "amd64", "Size": 1}
    podman.answers["/images/127.0.0.1:5000/z:1/json"] = [image]
    podman.answers["/images/create"] = [
        {"status": "Already exists", "progressDetail": {}, "id": LAYER},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": CONFIG},
        {"status": "Download complete", "progressDetail": {}, "id": CONFIG},
    ]
    (layer,) = engine.pull("127.0.0.1:5000/z:1").layers
    assert (layer.layer, layer.reused, layer.download_end) == (LAYER, True, None)


def test_a_registry_that_podman_asks_for_https_is_explained(podman: Podman, engine: DockerEngine) -> None:
    podman.answers["/images/create"] = [{"error": NO_TLS}]
    with pytest.raises(PullFailed) as caught:
        engine.pull("127.0.0.1:5000/z:1")
    assert 'location = "127.0.0.1"\ninsecure = true' in caught.value.fix
    podman.answers["/images/create"] = [{"error": "manifest unknown"}]
    with pytest.raises(PullFailed, match="manifest unknown"):
        engine.pull("127.0.0.1:5000/z:1")


def test_a_build_sends_the_context_and_returns_image_and_steps(podman: Podman, engine: DockerEngine) -> None:
    podman.answers["/build"] = [
        {"stream": "STEP 1/2: FROM scratch\n"},
        {"stream": "STEP 2/2: COPY app /app\n"},
        {"stream": "--> b544cd14d2d\n"},
        {"aux": {"ID": f"sha256:{IMAGE}"}},
    ]
    context = BuildContext.of_files({"app": b"1"}, dockerfile="FROM scratch\nCOPY app /app\nRUN make\n")
    result = engine.build(
        context=context,
        tag="tare.local/z:1",
        arguments={"A": "b"},
        secrets={"tare-x": b"secret"},
        secrets_for=lambda _: {"/etc/x": "tare-x"},
        contexts={"alpine": "tare.local/base:1"},
        no_cache=True,
    )
    assert result.image == f"sha256:{IMAGE}"
    assert [step.name for step in result.steps] == ["FROM scratch", "COPY app /app"]
    parameters, body = podman.asked["/build"]
    assert parameters["nocache"] == "true"
    assert json.loads(parameters["buildargs"]) == {"A": "b"}
    assert json.loads(parameters["additionalbuildcontexts"])["alpine"]["Value"] == "tare.local/base:1"
    assert json.loads(parameters["secrets"]) == ["id=tare-x,src=.tare-secret-tare-x"]
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert texts["app"] == b"1"
    assert texts[".tare-secret-tare-x"] == b"secret"
    assert b"RUN --mount=type=secret,id=tare-x,target=/etc/x,mode=0444 make" in texts[parameters["dockerfile"]]
    assert parameters["dockerfile"] in texts[".containerignore"].decode().split()


def test_a_build_that_fails_names_the_step_of_the_users_dockerfile(podman: Podman, engine: DockerEngine) -> None:
    mount = "--mount=type=secret,id=tare-x,target=/etc/x,mode=0444"
    error = f'building at STEP "RUN {mount} make": while running runtime: exit status 2'
    podman.answers["/build"] = [{"stream": f"STEP 1/1: RUN {mount} make\nno rule\n"}, {"error": error}]
    context = BuildContext.of_files({}, dockerfile="FROM scratch\nRUN make\n")
    with pytest.raises(BuildFailed, match="exit status 2") as caught:
        engine.build(context=context, tag="tare.local/z:1")
    assert (caught.value.step, caught.value.log) == ("RUN make", "RUN make\nno rule")


def test_the_cache_of_a_users_podman_stays(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="belongs to others too"):
        engine.prune_builds()
    with pytest.raises(PullFailed, match="no call that asks a registry"):
        engine.resolve("debian:trixie")
