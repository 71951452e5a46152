"""Builds by BuildKit's own API on the engine's socket, as `docker buildx build` makes them.

One connection, one thread: this process calls Control/Solve and reads Control/Status, the trace; inside of
Control/Session BuildKit calls back for the context and for secrets (session.py). The connection is HTTP/2 by the
upgrade of POST /grpc, which Docker has from 18.09 on and deprecates with API 1.53, or plain HTTP/2, which replaces the
upgrade.

The Dockerfile and the context reach BuildKit as they are. If secrets are to be mounted into RUN steps that do not ask
for them, BuildKit's frontend makes its plan of the Dockerfile first (LLBBridge/Solve), the mounts are added to the plan
(plan.py), and then BuildKit executes it.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing

from google.protobuf.message import DecodeError, Message
from h2.exceptions import ProtocolError

from harness.engine import grpc
from harness.engine.buildkit_pb2 import (
    BuildRequest,
    BuildResponse,
    BytesMessage,
    ReturnRequest,
    SolveRequest,
    SolveResponse,
    StatusRequest,
)
from harness.engine.endpoint import Endpoint
from harness.engine.plan import SecretsFor, with_secrets
from harness.engine.session import BuildSession
from harness.errors import EngineError

_CONTROL = "/moby.buildkit.v1.Control/"
_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
_DOCKERFILE = "dockerfile.v0"  # the frontend that is part of BuildKit; `# syntax=` makes it call another one
_CONNECT = 10.0  # s
_HEAD_LIMIT = 65_536  # B
_PLAIN = (1, 53)  # API version from which on POST /grpc is deprecated


class BuildBroke(Exception):
    """A build failed, in BuildKit's words."""


class BuildOutOfTime(Exception):
    """A build did not end in time."""


class BuildCall:
    """One build on a connection of its own. Raises EngineError if the engine has no BuildKit."""

    def __init__(
        self, endpoint: Endpoint, session: BuildSession, *, api_version: str, trace: Callable[[bytes], None]
    ) -> None:
        self._endpoint = endpoint
        self._session = session
        self._trace = trace
        self._ref = uuid.uuid4().hex
        self._metadata: dict[str, bytes] | None = None  # the config of the image, as the frontend returns it
        self._calls: dict[int, str] = {}
        self._socket, received = _connect(endpoint, api_version)
        self._wire = grpc.GrpcWire(client=True)
        self._tunnel = self._wire.call(f"{_CONTROL}Session", metadata=session.metadata)
        try:
            self._take(received)
            self._flush()
        except (OSError, ProtocolError) as error:
            self._socket.close()
            raise self._broken(error) from error

    def run(
        self,
        attributes: Mapping[str, str],
        *,
        exporter: Mapping[str, str],
        entitlements: tuple[str, ...] = (),
        secrets_for: SecretsFor | None = None,
        timeout: float,
    ) -> Mapping[str, str]:
        """Build with these attributes of the Dockerfile frontend; returns what the exporter reports about the image.

        Raises BuildBroke, BuildOutOfTime after `timeout` s, EngineError if the engine breaks off.
        """
        self._attributes = attributes
        self._secrets_for = secrets_for
        self._answer: BuildResponse | None = None
        self._failure = ""
        request = BuildRequest(
            ref=self._ref,
            exporter="moby",
            exporter_attributes=exporter,
            session=self._session.id,
            frontend="" if secrets_for else _DOCKERFILE,
            frontend_attributes={} if secrets_for else attributes,
            entitlements=entitlements,
        )
        self._call(f"{_CONTROL}Solve", request)
        self._call(f"{_CONTROL}Status", StatusRequest(ref=self._ref))
        if secrets_for:
            self._bridge("Solve", SolveRequest(frontend=_DOCKERFILE, frontend_options=attributes))
        with closing(self._socket):
            self._loop(time.monotonic() + timeout)
        if self._answer is None:
            raise BuildBroke(self._failure)
        return self._answer.exporter_response

    def _loop(self, deadline: float) -> None:
        try:
            while self._calls:
                self._flush()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BuildOutOfTime
                self._socket.settimeout(left)
                received = self._socket.recv(1 << 20)
                if not received:
                    raise EngineError("the engine broke off a build", where=self._endpoint.url)
                self._take(received)
        except TimeoutError:
            raise BuildOutOfTime from None
        except (OSError, ProtocolError, DecodeError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> EngineError:
        return EngineError(f"the engine broke off a build: {error}", where=self._endpoint.url)

    def _flush(self) -> None:
        if inner := self._session.output():
            self._wire.send(self._tunnel, [BytesMessage(data=inner).SerializeToString()])
        if outer := self._wire.output():
            self._socket.sendall(outer)

    def _take(self, received: bytes) -> None:
        for event in self._wire.receive(received):
            match event:
                case grpc.Message(self._tunnel, data):
                    self._session.receive(BytesMessage.FromString(data).data)
                case grpc.Closed(self._tunnel, status, message) if self._calls:
                    raise EngineError(f"the build session ended: {message or status}", where=self._endpoint.url)
                case grpc.Message(stream, data) if stream in self._calls:
                    self._message(self._calls[stream], data)
                case grpc.Closed(stream, status, message) if stream in self._calls:
                    self._closed(self._calls.pop(stream), status, message)

    def _message(self, method: str, data: bytes) -> None:
        if method == f"{_CONTROL}Status":
            self._trace(data)
        elif method == f"{_CONTROL}Solve":
            self._answer = BuildResponse.FromString(data)
        elif method == f"{_BRIDGE}Solve":
            self._planned(SolveResponse.FromString(data))

    def _closed(self, method: str, status: int, message: str) -> None:
        if status == grpc.OK or method == f"{_CONTROL}Status":  # a build that failed early has no trace
            return
        self._failure = self._failure or message or f"gRPC status {status}"
        if method == f"{_BRIDGE}Solve":  # which Control/Solve waits for
            failure = ReturnRequest()
            failure.error.code, failure.error.message = status, message
            self._bridge("Return", failure)

    def _planned(self, answer: SolveResponse) -> None:
        """The frontend's plan, or the plan with the secrets in it, is accepted and not yet executed."""
        assert self._secrets_for is not None
        result = answer.result
        if self._metadata is None:
            self._metadata = dict(result.metadata)
            plan = result.ref.definition
            changed = with_secrets(plan, self._secrets_for)
            if changed is not plan:
                self._bridge("Solve", SolveRequest(definition=changed))
                return
        accepted = ReturnRequest()
        accepted.result.ref.id = result.ref.id
        for name, value in self._metadata.items():
            accepted.result.metadata[name] = value
        self._bridge("Return", accepted)

    def _bridge(self, method: str, request: SolveRequest | ReturnRequest) -> None:
        if isinstance(request, SolveRequest):
            request.allow_result_return = request.allow_result_array_ref = True
        self._call(f"{_BRIDGE}{method}", request, ("buildkit-controlapi-buildid", self._ref))

    def _call(self, method: str, request: Message, *metadata: grpc.Header) -> None:
        self._calls[self._wire.call(method, request.SerializeToString(), metadata=metadata)] = method


def _connect(endpoint: Endpoint, api_version: str) -> tuple[socket.socket, bytes]:
    """A connection that speaks HTTP/2, and the bytes that the engine has already sent on it."""
    plain = tuple(map(int, api_version.split("."))) >= _PLAIN
    try:
        connection = endpoint.connect(timeout=_CONNECT)
        try:
            received = b"" if plain else _upgrade(connection, endpoint)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise EngineError(f"no build session with the engine: {error}", where=endpoint.url) from error
    return connection, received


def _upgrade(connection: socket.socket, endpoint: Endpoint) -> bytes:
    connection.sendall(b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece or len(answer) > _HEAD_LIMIT:
            raise EngineError("the engine broke off while a build session was opened", where=endpoint.url)
        answer += piece
    status, _, rest = answer.partition(b"\r\n")
    if b" 101 " not in status + b" ":
        raise EngineError(
            f"the engine has no build sessions: {status.decode(errors='replace')}",
            where=endpoint.url,
            fix="Use Docker 20.10 or newer with BuildKit.",
        )
    return rest.partition(b"\r\n\r\n")[2]
