"""The other side of a gRPC connection, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.message import Message as ProtobufMessage

from harness.engine import grpc


class Caller:
    """Calls what `receive` and `output` serve, as BuildKit calls a session: at most `piece` bytes at a time."""

    def __init__(
        self, receive: Callable[[bytes], object], output: Callable[[], bytes], *, piece: int = 1 << 20
    ) -> None:
        self.wire = grpc.GrpcWire(client=True)
        self._receive, self._output, self._piece = receive, output, piece

    def events(self) -> Iterator[grpc.Event]:
        """What comes until both sides are silent."""
        while True:
            there = self.wire.output()
            for start in range(0, len(there), self._piece):
                self._receive(there[start : start + self._piece])
            back = self._output()
            if not there and not back:
                return
            for start in range(0, len(back), self._piece):
                yield from self.wire.receive(back[start : start + self._piece])

    def call(self, method: str, body: bytes) -> tuple[int, str, bytes]:
        """gRPC status, message and answer."""
        self.wire.call(method, body)
        answer = b""
        for event in self.events():
            match event:
                case grpc.Message(_, data):
                    answer += data
                case grpc.Closed(_, status, message):
                    return status, message, answer
        raise AssertionError("no answer")

    def ask(self, method: str, request: ProtobufMessage, answer: type[ProtobufMessage]) -> ProtobufMessage:
        status, message, body = self.call(method, request.SerializeToString())
        assert status == grpc.OK, message
        return answer.FromString(body)
