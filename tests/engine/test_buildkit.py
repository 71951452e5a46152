"""A build's calls, against a stand-in for BuildKit that answers on a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness.engine import grpc
from harness.engine.buildkit import BuildBroke, BuildCall, BuildOutOfTime
from harness.engine.buildkit_pb2 import (
    BuildRequest,
    BuildResponse,
    BytesMessage,
    GetSecretRequest,
    GetSecretResponse,
    Op,
    ReturnRequest,
    ReturnResponse,
    SolveRequest,
    SolveResponse,
    StatusResponse,
    Vertex,
)
from harness.engine.endpoint import Endpoint
from harness.engine.session import SECRET, BuildSession
from harness.errors import EngineError

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
CONTROL, BRIDGE = "/moby.buildkit.v1.Control/", "/moby.buildkit.v1.frontend.LLBBridge/"
RUN = Op()
RUN.exec.meta.args.append("pip")


class Engine:
    """Asks the session for a secret, answers a build with an image, and keeps what it was asked."""

    def __init__(self, listener: socket.socket, *, head: bytes | None, failing: str = "", silent: bool = False) -> None:
        self.head, self.failing, self.silent = head, failing, silent
        self.asked: list[tuple[str, bytes, dict[str, str]]] = []
        self.secret = b""
        self.solve = 0
        self.waits = False  # to end the build until the secret has come, as an engine that uses it does
        self.wire, self.inner = grpc.GrpcWire(client=False), grpc.GrpcWire(client=True)
        self.calls: dict[int, tuple[str, dict[str, str]]] = {}
        self.tunnel = 0
        self.listener = listener
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, suppress(OSError):
            if self.head is not None:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(4096)
                connection.sendall(self.head)
                if b" 101 " not in self.head:
                    return
            while received := connection.recv(65_536):
                for event in self.wire.receive(received):
                    self.take(event)
                if self.tunnel and (data := self.inner.output()):
                    self.wire.send(self.tunnel, [BytesMessage(data=data).SerializeToString()])
                connection.sendall(self.wire.output())

    def take(self, event: grpc.Event) -> None:
        match event:
            case grpc.Called(stream, method, metadata):
                self.calls[stream] = method, dict(metadata)
                if method == f"{CONTROL}Session":
                    self.tunnel = stream
                    self.wire.answer(stream)
                    self.inner.call(SECRET, GetSecretRequest(id="a").SerializeToString())
            case grpc.Message(self.tunnel, data):
                for inside in self.inner.receive(BytesMessage.FromString(data).data):
                    if isinstance(inside, grpc.Message):
                        self.secret = GetSecretResponse.FromString(inside.data).data
                        if self.waits:
                            self.end()
            case grpc.Message(stream, data):
                method, metadata = self.calls[stream]
                self.asked.append((method, data, metadata))
                if not self.silent:
                    self.answer(stream, method, data)

    def answer(self, stream: int, method: str, data: bytes) -> None:
        if method == f"{CONTROL}Solve":
            self.solve = stream
            if BuildRequest.FromString(data).frontend:
                self.end()
            return
        answer: list[bytes] = []
        if method == f"{CONTROL}Status":
            answer = [StatusResponse(vertexes=[Vertex(digest="d", name="n")]).SerializeToString()]
        elif method == f"{BRIDGE}Solve" and not self.failing:
            request, solved = SolveRequest.FromString(data), SolveResponse()
            solved.result.ref.id = "second" if request.definition.ops else "first"
            solved.result.ref.definition.ops.append(RUN.SerializeToString())
            solved.result.metadata["containerimage.config"] = b"" if request.definition.ops else b"{}"
            answer = [solved.SerializeToString()]
        self.wire.answer(stream, answer)
        failed = method == f"{BRIDGE}Solve" and self.failing
        self.wire.finish(stream, grpc.UNKNOWN if failed else grpc.OK, self.failing if failed else "")
        if method == f"{BRIDGE}Return":
            ReturnResponse.FromString(b"")
            self.end()

    def end(self) -> None:
        if self.tunnel and not self.secret:
            self.waits = True
            return
        answer = BuildResponse(exporter_response={"containerimage.digest": "sha256:1"}).SerializeToString()
        self.wire.answer(self.solve, [] if self.failing else [answer])
        self.wire.finish(self.solve, grpc.UNKNOWN if self.failing else grpc.OK, self.failing)


@contextmanager
def engine(folder: Path, head: bytes | None = UPGRADED, **options: object) -> Iterator[tuple[Endpoint, Engine]]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        listener.listen()
        peer = Engine(listener, head=head, **options)  # type: ignore[arg-type]
        yield Endpoint(f"unix://{folder}/sock"), peer
        peer.thread.join(10)
        assert not peer.thread.is_alive()


def build(
    endpoint: Endpoint,
    *,
    api_version: str = "1.41",
    timeout: float = 10,
    trace: Callable[[bytes], None] = lambda _: None,
    **more: object,
) -> object:
    session = BuildSession(secrets={"a": b"secret"})
    call = BuildCall(endpoint, session, api_version=api_version, trace=trace)
    attributes = {"filename": "Dockerfile"}
    return call.run(attributes, exporter={"name": "x"}, timeout=timeout, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("api_version", "head"), [("1.41", UPGRADED), ("1.53", None)])
def test_a_build_is_one_call_whose_session_serves_secrets(tmp_path: Path, api_version: str, head: bytes | None) -> None:
    """From API 1.53 on without the upgrade that is deprecated there."""
    seen: list[bytes] = []
    with engine(tmp_path, head) as (endpoint, peer):
        made = build(endpoint, api_version=api_version, trace=seen.append)
    assert made == {"containerimage.digest": "sha256:1"}
    assert peer.secret == b"secret"
    assert StatusResponse.FromString(seen[0]).vertexes[0].name == "n"
    ((_, data, _),) = [asked for asked in peer.asked if asked[0] == f"{CONTROL}Solve"]
    request = BuildRequest.FromString(data)
    assert (request.frontend, request.exporter) == ("dockerfile.v0", "moby")
    assert dict(request.frontend_attributes) == {"filename": "Dockerfile"}
    assert dict(request.exporter_attributes) == {"name": "x"}
    assert request.session == dict(peer.calls[peer.tunnel][1])["x-docker-expose-session-uuid"]


@pytest.mark.parametrize(("mounts", "returned"), [({}, "first"), ({"/etc/pip.conf": "p"}, "second")])
def test_the_frontends_plan_is_carried_out_with_secrets(tmp_path: Path, mounts: dict[str, str], returned: str) -> None:
    with engine(tmp_path) as (endpoint, peer):
        build(endpoint, secrets_for=lambda step: mounts if step.args == ("pip",) else {})
    ref = BuildRequest.FromString(peer.asked[0][1]).ref
    bridged = [asked for asked in peer.asked if asked[0].startswith(BRIDGE)]
    assert {metadata["buildkit-controlapi-buildid"] for _, _, metadata in bridged} == {ref}
    first = SolveRequest.FromString(bridged[0][1])
    assert (first.frontend, dict(first.frontend_options)) == ("dockerfile.v0", {"filename": "Dockerfile"})
    result = ReturnRequest.FromString(bridged[-1][1]).result
    assert (result.ref.id, dict(result.metadata)) == (returned, {"containerimage.config": b"{}"})
    if mounts:
        (op,) = SolveRequest.FromString(bridged[1][1]).definition.ops
        assert Op.FromString(op).exec.mounts[0].secret.id == "p"


@pytest.mark.parametrize("secrets_for", [None, lambda step: {}])
def test_a_build_that_fails_says_why(tmp_path: Path, secrets_for: object) -> None:
    with engine(tmp_path, failing="exit code: 3") as (endpoint, peer), pytest.raises(BuildBroke, match="exit code: 3"):
        build(endpoint, secrets_for=secrets_for)
    if secrets_for:
        returned = ReturnRequest.FromString(peer.asked[-1][1])
        assert returned.error.message == "exit code: 3", "or Control/Solve would wait for ever"


def test_a_build_that_does_not_end(tmp_path: Path) -> None:
    with engine(tmp_path, silent=True) as (endpoint, _), pytest.raises(BuildOutOfTime):
        build(endpoint, timeout=0.2)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "no build sessions: HTTP/1.1 404 Not Found"),
        (b"", "broke off"),
        (UPGRADED + bytes(9) * 9, "broke off"),
    ],
)
def test_an_engine_without_buildkit(tmp_path: Path, head: bytes, words: str) -> None:
    with engine(tmp_path, head) as (endpoint, _), pytest.raises(EngineError, match=words):
        build(endpoint)


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1", "ssh://host"):
        with pytest.raises(EngineError):
            build(Endpoint(url))
