"""gRPC on one HTTP/2 connection, without input or output: bytes in, events and bytes out.

Both sides of gRPC, because a build needs both: this process calls BuildKit, and during one of these calls BuildKit
calls back (session.py). What is sent is taken from iterators only as fast as the other side's windows allow, so that a
context of any size takes no memory. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from urllib.parse import quote, unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes

OK, UNKNOWN, INVALID, NOT_FOUND, UNIMPLEMENTED, UNAVAILABLE = 0, 2, 3, 5, 12, 14  # status codes
_WINDOW = 1 << 20  # B that the other side may send ahead
_TYPE = ("content-type", "application/grpc")

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Called:
    """The other side calls a method, "/package.Service/Method"."""

    stream: int
    method: str
    metadata: Sequence[Header]


@dataclass(frozen=True, slots=True)
class Message:
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The other side has ended a stream. `status` and `message` belong to an answer."""

    stream: int
    status: int = OK
    message: str = ""


Event = Called | Message | Closed


@dataclass(slots=True)
class _Stream:
    received: bytearray = field(default_factory=bytearray)
    waiting: deque[Iterator[bytes]] = field(default_factory=deque)
    rest: memoryview = field(default_factory=lambda: memoryview(b""))  # the rest of a message that is half sent
    trailers: list[Header] | None = None  # to be sent after the last message; [] ends a call
    status: tuple[int, str] | None = None  # as received


class GrpcWire:
    """One connection, of the side that calls (`client`) or of the side that answers."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._connection = H2Connection(H2Configuration(client_side=client, header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self._connection.increment_flow_control_window(_WINDOW)
        self._streams: dict[int, _Stream] = {}

    def call(self, method: str, *messages: bytes, metadata: Sequence[Header] = (), authority: str = "localhost") -> int:
        """Call a method; without messages it stays open for `send`. Returns the stream."""
        number = self._connection.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", authority)]
        self._connection.send_headers(number, [*head, _TYPE, ("te", "trailers"), *metadata])
        self._streams[number] = stream = _Stream()
        if messages:
            stream.waiting.append(iter(messages))
            stream.trailers = []
        return number

    def answer(self, stream: int, messages: Iterable[bytes] = ()) -> None:
        """Begin to answer a call."""
        self._connection.send_headers(stream, [(":status", "200"), _TYPE])
        self.send(stream, messages)

    def send(self, stream: int, messages: Iterable[bytes]) -> None:
        """Send after the messages that wait; a stream that has ended sends nothing."""
        if stream in self._streams:
            self._streams[stream].waiting.append(iter(messages))

    def finish(self, stream: int, status: int = OK, message: str = "") -> None:
        """End an answer, after the messages that wait."""
        if stream in self._streams:
            self._streams[stream].trailers = [("grpc-status", str(status)), ("grpc-message", quote(message))]

    def receive(self, data: bytes) -> list[Event]:
        """Take what the other side sent. Raises h2's ProtocolError."""
        found: list[Event] = []
        for event in self._connection.receive_data(data):
            match event:
                case RequestReceived():
                    headers = _headers(event.headers)
                    self._streams[event.stream_id] = _Stream()
                    found.append(Called(event.stream_id, dict(headers)[":path"], headers))
                case ResponseReceived() | TrailersReceived():
                    self._status(event.stream_id, dict(_headers(event.headers)))
                case DataReceived():
                    self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if stream := self._streams.get(event.stream_id):
                        stream.received += event.data
                        found += (Message(event.stream_id, message) for message in _messages(stream.received))
                case StreamEnded():
                    found += self._ended(event.stream_id)
                case StreamReset():
                    if self._streams.pop(event.stream_id, None):
                        reason = f"reset by the other side ({event.error_code})"
                        found.append(Closed(event.stream_id, UNAVAILABLE, reason))
                case ConnectionTerminated():
                    found += (Closed(number, UNAVAILABLE, "the other side goes away") for number in self._streams)
                    self._streams.clear()
        return found

    def output(self) -> bytes:
        """The bytes to send now."""
        for number, stream in list(self._streams.items()):
            self._flush(number, stream)
        return self._connection.data_to_send()

    def _status(self, number: int, headers: dict[str, str]) -> None:
        stream = self._streams.get(number)
        if stream and "grpc-status" in headers:
            stream.status = int(headers["grpc-status"]), unquote(headers.get("grpc-message", ""))
        elif stream and headers.get(":status", "200") != "200":
            stream.status = UNAVAILABLE, f"HTTP status {headers[':status']}"

    def _ended(self, number: int) -> Iterator[Event]:
        stream = self._streams.get(number)
        if stream is None:
            return
        if self._client:
            del self._streams[number]
            status, message = stream.status or (UNKNOWN, "the answer has no status")
            yield Closed(number, status, message)
        else:
            yield Closed(number)

    def _flush(self, number: int, stream: _Stream) -> None:
        while True:
            if not stream.rest:
                message = _next(stream.waiting)
                if message is None:
                    break
                stream.rest = memoryview(b"\0" + struct.pack(">I", len(message)) + message)
            window = self._connection.local_flow_control_window(number)
            room = min(len(stream.rest), window, self._connection.max_outbound_frame_size)
            if room <= 0:
                return
            self._connection.send_data(number, stream.rest[:room].tobytes())
            stream.rest = stream.rest[room:]
        if stream.trailers is None:
            return
        if self._client:
            self._connection.end_stream(number)
            stream.trailers = None
        else:
            self._connection.send_headers(number, stream.trailers, end_stream=True)
            del self._streams[number]


def _next(waiting: deque[Iterator[bytes]]) -> bytes | None:
    while waiting:
        for message in waiting[0]:
            return message
        waiting.popleft()
    return None


def _messages(received: bytearray) -> Iterator[bytes]:
    """The whole messages at the front; they are removed."""
    while len(received) >= 5:
        (length,) = struct.unpack_from(">I", received, 1)
        if len(received) < 5 + length:
            return
        message = bytes(received[5 : 5 + length])
        del received[: 5 + length]
        yield message


def _headers(headers: Iterable[tuple[str | bytes, str | bytes]] | None) -> list[Header]:
    return [(_text(name), _text(value)) for name, value in chain(headers or ())]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
