"""A command in a container with its input and output: a stream through the Engine API, wherever the engine is.

The call is `docker exec -i`'s: POST /exec/{id}/start, upgraded to a raw stream ("hijacking" in Docker's words). Input
is sent as it is; output comes in frames of stream number, three zeros, length (big-endian) and payload.
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import json
import socket

from harness.engine.endpoint import Endpoint
from harness.errors import EngineError

_CONNECT = 10.0  # s
_HEAD_LIMIT = 1 << 16  # B
_PIECE = 1 << 16  # B
_STDOUT = 1


class Attached:
    """A running command. `receive` and `send` may be called from two threads; `close` ends both."""

    def __init__(self, endpoint: Endpoint, path: str) -> None:
        """`path` is that of the start call of an exec that is not started yet. Raises EngineError."""
        self._where = endpoint.url
        self._rest = b""
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            self._socket = endpoint.connect(timeout=_CONNECT)
        except OSError as error:
            raise EngineError(f"the engine does not answer: {error}", where=self._where) from error
        try:
            self._socket.sendall(head.encode() + body)
            self._rest = self._upgraded()
            self._socket.settimeout(None)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise EngineError(f"no stream into the container: {error}", where=self._where) from error
            raise

    def _upgraded(self) -> bytes:
        """What came after the head of the answer. Raises EngineError unless it is a stream now."""
        said = b""
        while b"\r\n\r\n" not in said:
            piece = self._socket.recv(4096)
            if not piece or len(said) > _HEAD_LIMIT:
                raise EngineError("the engine broke off before a command began", where=self._where)
            said += piece
        head, _, rest = said.partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0].decode(errors="replace")
        if " 101 " not in f"{status} " and " 200 " not in f"{status} ":
            raise EngineError(f"the engine gives no stream into a container: {status}", where=self._where)
        return rest

    def send(self, data: bytes) -> None:
        """Raises OSError."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """The next bytes that the command writes to its output; b"" at its end. Its error output is left out. Raises
        OSError.
        """
        while True:
            head = self._exactly(8)
            if len(head) < 8:
                return b""
            payload = self._exactly(int.from_bytes(head[4:], "big"))
            if head[0] == _STDOUT and payload:
                return payload

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            self._socket.close()

    def _exactly(self, size: int) -> bytes:
        """As many bytes, or fewer at the end of the stream."""
        while len(self._rest) < size:
            piece = self._socket.recv(_PIECE)
            if not piece:
                break
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
