"""The client's side of a BuildKit session: what a build asks its client for while it runs.

POST /session is upgraded to HTTP/2 without TLS on the engine's own socket, and then the roles turn: the engine
calls, this process serves. Three gRPC methods are enough: secrets (`RUN --mount=type=secret`), credentials of
registries, and the health check that newer engines insist on. No engine keeps what it is told here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from urllib.parse import quote

from google.protobuf.message import DecodeError, Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from harness.engine.endpoint import Endpoint
from harness.engine.trace_pb2 import (
    CredentialsRequest,
    CredentialsResponse,
    GetSecretRequest,
    GetSecretResponse,
    HealthCheckResponse,
)
from harness.errors import EngineError

Credentials = Callable[[str], tuple[str, str]]  # registry host → user name and secret, "" and "" where unknown

SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
HEALTH = "/grpc.health.v1.Health/Check"

_OK, _INVALID, _NOT_FOUND, _UNIMPLEMENTED = 0, 3, 5, 12  # gRPC status codes
_HEAD_LIMIT = 65_536


class EngineSession:
    """Serves `secrets` (by id) and credentials to a build for as long as the context lasts.

        with EngineSession("unix:///run/docker.sock", secrets={"token": b"…"}) as session_id:
            …  # POST /build?version=2&session=<session_id>

    Raises EngineError where the engine has no sessions or cannot be reached.
    """

    def __init__(
        self,
        endpoint: Endpoint | str,
        *,
        secrets: Mapping[str, bytes] | None = None,
        credentials: Credentials | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._endpoint = endpoint if isinstance(endpoint, Endpoint) else Endpoint(endpoint)
        self._secrets = dict(secrets or {})
        self._credentials = credentials or (lambda _: ("", ""))
        self._timeout = timeout

    def __enter__(self) -> str:
        try:
            self._socket = self._endpoint.connect(timeout=self._timeout)
        except OSError as error:
            raise EngineError(f"no session with the engine: {error}", where=self._endpoint.url) from error
        try:
            first = self._upgrade()
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise EngineError(f"no session with the engine: {error}", where=self._endpoint.url) from error
            raise
        self._thread = threading.Thread(target=self._serve, args=(first,), name="build session", daemon=True)
        self._thread.start()
        return self.id

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hang_up()
        self._thread.join()
        self._socket.close()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # the other side may have been first
            self._socket.shutdown(socket.SHUT_RDWR)

    def _upgrade(self) -> bytes:
        """Ask for the upgrade; returns what the engine sent behind its answer's head."""
        head = [
            "POST /session HTTP/1.1",
            "Host: docker",
            "Connection: Upgrade",
            "Upgrade: h2c",
            f"X-Docker-Expose-Session-Uuid: {self.id}",
            "X-Docker-Expose-Session-Name: tare",
            "X-Docker-Expose-Session-Sharedkey: ",
            *(f"X-Docker-Expose-Session-Grpc-Method: {method}" for method in (SECRET, CREDENTIALS, HEALTH)),
        ]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self._socket.recv(4096)
            if not piece or len(answer) > _HEAD_LIMIT:
                raise EngineError(
                    "the engine closed the connection while a build session was opened", where=self._endpoint.url
                )
            answer += piece
        status, _, rest = answer.partition(b"\r\n")
        if b" 101 " not in status + b" ":
            raise EngineError(
                f"the engine has no build sessions: {status.decode(errors='replace')}",
                where=self._endpoint.url,
                fix="Use Docker 20.10 or newer with BuildKit.",
            )
        self._socket.settimeout(None)  # a build may be silent for as long as it likes
        return rest.partition(b"\r\n\r\n")[2]

    def _serve(self, received: bytes) -> None:
        """The thread: ends when the socket is shut, or when the engine breaks the protocol."""
        server = _Server(self._answer)
        with contextlib.suppress(OSError, ProtocolError):
            self._socket.sendall(server.receive(received))
            while received := self._socket.recv(65_536):
                self._socket.sendall(server.receive(received))
        self._hang_up()  # or the engine would wait for answers that nobody gives

    def _answer(self, method: str, body: bytes) -> tuple[int, str, bytes]:
        """gRPC status, message of an error, and the answer."""
        try:
            answer = self._message(method, body)
        except DecodeError as error:
            return _INVALID, str(error), b""
        except KeyError as missing:
            return _NOT_FOUND, f"no secret {missing}", b""
        return (_OK, "", answer.SerializeToString()) if answer is not None else (_UNIMPLEMENTED, method, b"")

    def _message(self, method: str, body: bytes) -> Message | None:
        if method == HEALTH:
            return HealthCheckResponse(status=1)
        if method == SECRET:
            return GetSecretResponse(data=self._secrets[GetSecretRequest.FromString(body).id])
        if method == CREDENTIALS:
            user, secret = self._credentials(CredentialsRequest.FromString(body).host)
            return CredentialsResponse(username=user, secret=secret)
        return None


class _Server:
    """Unary gRPC over HTTP/2, without input or output: bytes in, bytes out."""

    def __init__(self, answer: Callable[[str, bytes], tuple[int, str, bytes]]) -> None:
        self._answer = answer
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._requests: dict[int, tuple[str, bytearray]] = {}
        self._pending: dict[int, tuple[memoryview, list[tuple[str, str]]]] = {}  # unsent body, trailers

    def receive(self, data: bytes) -> bytes:
        """Take what the peer sent; returns what is to be sent to it now. Raises h2's ProtocolError."""
        for event in self._connection.receive_data(data):
            match event:
                case RequestReceived():
                    self._requests[event.stream_id] = (_path(event), bytearray())
                case DataReceived():
                    self._requests[event.stream_id][1].extend(event.data)
                    self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self._respond(event.stream_id)
                case StreamReset():
                    self._requests.pop(event.stream_id, None)
                    self._pending.pop(event.stream_id, None)
        self._flush()
        return self._connection.data_to_send()

    def _respond(self, stream: int) -> None:
        path, body = self._requests.pop(stream)
        status, message, answer = self._answer(path, bytes(body[5:]))  # 5: gRPC's frame head
        frame = b"\0" + struct.pack(">I", len(answer)) + answer if status == _OK else b""
        self._connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        self._pending[stream] = (memoryview(frame), [("grpc-status", str(status)), ("grpc-message", quote(message))])

    def _flush(self) -> None:
        """Send as much as the peer's windows allow; the rest waits for its window updates."""
        for stream, (body, trailers) in list(self._pending.items()):
            while body:
                room = min(
                    len(body),
                    self._connection.local_flow_control_window(stream),
                    self._connection.max_outbound_frame_size,
                )
                if room <= 0:
                    break
                self._connection.send_data(stream, bytes(body[:room]))
                body = body[room:]
            if body:
                self._pending[stream] = (body, trailers)
            else:
                self._connection.send_headers(stream, trailers, end_stream=True)
                del self._pending[stream]


def _path(request: RequestReceived) -> str:
    """The gRPC method, "/package.Service/Method"."""
    headers = {str(name): str(value) for name, value in request.headers or ()}
    return headers[":path"]
