"""A build session serves what the engine asks for, in pieces as small as the engine likes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.protobuf.message import Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes, Settings
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.endpoint import Endpoint
from harness.engine.session import CREDENTIALS, HEALTH, SECRET, EngineSession
from harness.engine.trace_pb2 import (
    CredentialsRequest,
    CredentialsResponse,
    GetSecretRequest,
    GetSecretResponse,
    HealthCheckResponse,
)
from harness.errors import EngineError


class Peer:
    """The engine's side: takes one upgrade, then calls as BuildKit does, with HTTP/2 windows of its choice."""

    def __init__(self, listener: socket.socket, answer: bytes, window: int) -> None:
        self.listener = listener
        self.answer = answer
        self.window = window
        self.head = b""
        self.connected = threading.Event()
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self) -> None:
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(10)
        while b"\r\n\r\n" not in self.head:
            self.head += self.socket.recv(4096)
        self.socket.sendall(self.answer)
        if b" 101 " in self.answer:
            self.connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
            initial = {SettingCodes.INITIAL_WINDOW_SIZE: self.window}
            self.connection.local_settings = Settings(client=True, initial_values=initial)
            self.connection.initiate_connection()
            self.socket.sendall(self.connection.data_to_send())
        else:
            self.socket.close()
        self.connected.set()

    def call(self, method: str, body: bytes) -> tuple[str, str, bytes]:
        """gRPC status, message and answer."""
        assert self.connected.wait(10)
        stream = self.connection.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", method)]
        self.connection.send_headers(stream, headers)
        self.connection.send_data(stream, b"\0" + struct.pack(">I", len(body)) + body, end_stream=True)
        self.socket.sendall(self.connection.data_to_send())
        trailers: dict[str, str] = {}
        answer = b""
        while True:
            for event in self.connection.receive_data(self.socket.recv(65_536)):
                match event:
                    case DataReceived():
                        answer += event.data
                        self.connection.acknowledge_received_data(event.flow_controlled_length, stream)
                    case TrailersReceived():
                        trailers = {str(name): str(value) for name, value in event.headers or ()}
                    case StreamEnded():
                        self.socket.sendall(self.connection.data_to_send())
                        return trailers["grpc-status"], trailers["grpc-message"], answer[5:]
                    case ResponseReceived() | RemoteSettingsChanged():
                        pass
            self.socket.sendall(self.connection.data_to_send())

    def ask(self, method: str, request: Message, answer: type[Message]) -> Message:
        status, message, body = self.call(method, request.SerializeToString())
        assert status == "0", message
        return answer.FromString(body)


UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@contextmanager
def peer(folder: Path, *, answer: bytes = UPGRADED, window: int = 65_535) -> Iterator[tuple[str, Peer]]:
    path = folder / "engine.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        engine = Peer(listener, answer, window)
        try:
            yield f"unix://{path}", engine
        finally:
            engine.connected.wait(10)
            engine.thread.join()
            engine.socket.close()


def threads() -> int:
    return sum(thread.name == "build session" for thread in threading.enumerate())


def test_secrets_credentials_and_health(tmp_path: Path) -> None:
    def credentials(host: str) -> tuple[str, str]:
        return ("user", "secret") if host == "registry.test" else ("", "")

    with peer(tmp_path) as (endpoint, engine):
        with EngineSession(endpoint, secrets={"token": b"abc", "empty": b""}, credentials=credentials) as name:
            assert engine.ask(HEALTH, GetSecretRequest(), HealthCheckResponse) == HealthCheckResponse(status=1)
            for secret, value in (("token", b"abc"), ("empty", b"")):
                said = engine.ask(SECRET, GetSecretRequest(id=secret), GetSecretResponse)
                assert said == GetSecretResponse(data=value)
            known = engine.ask(CREDENTIALS, CredentialsRequest(host="registry.test"), CredentialsResponse)
            assert known == CredentialsResponse(username="user", secret="secret")
            unknown = engine.ask(CREDENTIALS, CredentialsRequest(host="other.test"), CredentialsResponse)
            assert unknown == CredentialsResponse()
            assert threads() == 1
        head = engine.head.decode()
    assert f"X-Docker-Expose-Session-Uuid: {name}\r\n" in head
    for method in (SECRET, CREDENTIALS, HEALTH):
        assert f"X-Docker-Expose-Session-Grpc-Method: {method}\r\n" in head
    assert threads() == 0


def test_what_is_not_known_is_a_grpc_error(tmp_path: Path) -> None:
    with peer(tmp_path) as (endpoint, engine), EngineSession(endpoint):
        status, message, _ = engine.call(SECRET, GetSecretRequest(id="tökén\n").SerializeToString())
        assert status == "5"
        assert message.isascii()
        assert engine.call("/moby.filesync.v1.FileSync/DiffCopy", b"")[0] == "12"
        assert engine.call(SECRET, b"\xff\xff")[0] == "3"
        assert engine.call(HEALTH, b"")[0] == "0"  # and the session goes on


@settings(max_examples=15, deadline=None)
@given(size=st.integers(0, 300_000), window=st.integers(1_000, 100_000))
def test_any_secret_passes_any_window(tmp_path_factory: pytest.TempPathFactory, size: int, window: int) -> None:
    secret = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with (
        peer(tmp_path_factory.mktemp("s"), window=window) as (endpoint, engine),
        EngineSession(endpoint, secrets={"a": secret}),
    ):
        for _ in range(2):
            said = engine.ask(SECRET, GetSecretRequest(id="a"), GetSecretResponse)
            assert said == GetSecretResponse(data=secret)


@pytest.mark.parametrize(
    "leave", [lambda engine: engine.socket.close(), lambda engine: engine.socket.sendall(b"nonsense" * 9)]
)
def test_an_engine_that_breaks_off_ends_the_thread(tmp_path: Path, leave: Callable[[Peer], None]) -> None:
    with peer(tmp_path) as (endpoint, engine):
        with EngineSession(endpoint):
            assert engine.call(HEALTH, b"")[0] == "0"
            leave(engine)
        assert threads() == 0


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\n\r\n", b""])
def test_an_engine_without_sessions(tmp_path: Path, answer: bytes) -> None:
    with (
        peer(tmp_path, answer=answer) as (endpoint, _),
        pytest.raises(EngineError, match="session"),
        EngineSession(endpoint),
    ):
        pass
    assert threads() == 0


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    for endpoint in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1", Endpoint("ssh://host")):
        with pytest.raises(EngineError), EngineSession(endpoint):
            pass


def test_a_session_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        engine = Peer(listener, UPGRADED, 65_535)
        with EngineSession(f"tcp://127.0.0.1:{listener.getsockname()[1]}", secrets={"a": b"b"}):
            assert engine.ask(SECRET, GetSecretRequest(id="a"), GetSecretResponse) == GetSecretResponse(data=b"b")
        engine.socket.close()
