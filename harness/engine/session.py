"""The client's side of a BuildKit session: what a build asks its client for while it runs.

BuildKit calls, this process serves: the files of the context (FileSync), secrets (`RUN --mount=type=secret`),
credentials of registries, and the health check that newer engines require. No engine keeps secrets or credentials.
Apart from reading the files, this module does no input or output: bytes in, bytes out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import unquote_plus

from google.protobuf.message import DecodeError, Message

from harness.engine import grpc
from harness.engine.buildkit_pb2 import (
    CredentialsRequest,
    CredentialsResponse,
    GetSecretRequest,
    GetSecretResponse,
    HealthCheckResponse,
)
from harness.engine.filesync import Sender
from harness.image.context_tree import ContextTree

Credentials = Callable[[str], tuple[str, str]]  # registry host → user name and secret; "" and "" if unknown

FILES = "/moby.filesync.v1.FileSync/DiffCopy"
SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
HEALTH = "/grpc.health.v1.Health/Check"


class BuildSession:
    """Serves `trees` (by BuildKit's names for them: context, dockerfile), `secrets` (by id) and credentials.

    `key` is the shared key: BuildKit takes a tree of the same name and key for a newer state of the same folder.
    """

    def __init__(
        self,
        *,
        trees: Mapping[str, ContextTree] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        credentials: Credentials | None = None,
        key: str = "",
    ) -> None:
        self.id = uuid.uuid4().hex
        self._trees = dict(trees or {})
        self._secrets = dict(secrets or {})
        self._credentials = credentials or (lambda _: ("", ""))
        self._key = key
        self._wire = grpc.GrpcWire(client=False)
        self._bodies: dict[int, tuple[str, bytearray]] = {}
        self._transfers: dict[int, Sender] = {}
        self._failed: list[Sender] = []

    @property
    def metadata(self) -> Sequence[grpc.Header]:
        """The name and the abilities of the session, for the call that opens it."""
        return [
            ("x-docker-expose-session-uuid", self.id),
            ("x-docker-expose-session-name", "tare"),
            ("x-docker-expose-session-sharedkey", self._key),
            *(("x-docker-expose-session-grpc-method", name) for name in (FILES, SECRET, CREDENTIALS, HEALTH)),
        ]

    @property
    def unreadable(self) -> str:
        """The first file that could not be sent, and why; "" if there was none."""
        return next((sender.error for sender in (*self._failed, *self._transfers.values()) if sender.error), "")

    def receive(self, data: bytes) -> None:
        """Take the bytes that BuildKit sent. Raises h2's ProtocolError."""
        for event in self._wire.receive(data):
            match event:
                case grpc.Called(stream, method, metadata):
                    self._open(stream, method, metadata)
                case grpc.Message(stream, message):
                    self._take(stream, message)
                case grpc.Closed(stream):
                    self._close(stream)

    def output(self) -> bytes:
        """The bytes to send to BuildKit now."""
        return self._wire.output()

    def _open(self, stream: int, method: str, metadata: Sequence[grpc.Header]) -> None:
        if method != FILES:
            self._bodies[stream] = method, bytearray()
            return
        options = _options(metadata)
        name = next(iter(options.get("dir-name", ())), "")
        if name not in self._trees:
            self._wire.answer(stream)
            self._wire.finish(stream, grpc.NOT_FOUND, f"no access to the folder {name!r}")
            return
        sender = Sender(
            self._trees[name],
            exclude=options.get("exclude-patterns", ()),
            include=options.get("include-patterns", ()),
            follow=options.get("followpaths", ()),
        )
        self._transfers[stream] = sender
        self._wire.answer(stream, sender.start())

    def _take(self, stream: int, message: bytes) -> None:
        if stream in self._bodies:
            self._bodies[stream][1].extend(message)
        elif sender := self._transfers.get(stream):
            self._wire.send(stream, sender.answer(message))
            if sender.done:
                self._end_transfer(stream, sender)

    def _close(self, stream: int) -> None:
        if sender := self._transfers.get(stream):
            self._end_transfer(stream, sender)
            return
        method, body = self._bodies.pop(stream, ("", bytearray()))
        if method:
            status, message, answer = self._answer(method, bytes(body))
            self._wire.answer(stream, (answer,) if status == grpc.OK else ())
            self._wire.finish(stream, status, message)

    def _end_transfer(self, stream: int, sender: Sender) -> None:
        del self._transfers[stream]
        if sender.error:
            self._failed.append(sender)
        self._wire.finish(stream)

    def _answer(self, method: str, body: bytes) -> tuple[int, str, bytes]:
        """gRPC status, message of an error, and the answer."""
        try:
            answer = self._message(method, body)
        except DecodeError as error:
            return grpc.INVALID, str(error), b""
        except KeyError as missing:
            return grpc.NOT_FOUND, f"no secret {missing}", b""
        return (grpc.OK, "", answer.SerializeToString()) if answer is not None else (grpc.UNIMPLEMENTED, method, b"")

    def _message(self, method: str, body: bytes) -> Message | None:
        if method == HEALTH:
            return HealthCheckResponse(status=1)
        if method == SECRET:
            return GetSecretResponse(data=self._secrets[GetSecretRequest.FromString(body).id])
        if method == CREDENTIALS:
            user, secret = self._credentials(CredentialsRequest.FromString(body).host)
            return CredentialsResponse(username=user, secret=secret)
        return None


def _options(metadata: Sequence[grpc.Header]) -> dict[str, list[str]]:
    """Headers by name; values that are not ASCII are encoded, and another header says so (filesync.go, decodeOpts)."""
    found: dict[str, list[str]] = {}
    for name, value in metadata:
        found.setdefault(name, []).append(value)

    def decoded() -> Iterator[tuple[str, list[str]]]:
        for name, values in found.items():
            encoded = found.get(f"{name}-encoded", [""])[0] == "1"
            yield name, [unquote_plus(value) for value in values] if encoded else values

    return dict(decoded())
