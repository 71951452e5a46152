"""Connections into the containers of an engine that is on another machine, carried by the Engine API itself.

Nothing of such an engine can be counted on to be reachable but its API: an address of a container leads nowhere from
here, and a published port is behind a firewall, or on the loopback address of a virtual machine. So a tunnel listens on
this machine's loopback address, and runs the tool's `relay` in a container for each connection (`docker exec -i`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from harness.engine.contract import Stream
from harness.errors import EngineError, LabError

LOOPBACK = "127.0.0.1"
_PIECE = 1 << 16  # B


class Tunnel:
    """Listens on 127.0.0.1 at `port` (0: any that is free); each connection goes into a stream of its own.

    `spare` keeps a stream open in advance, so that no time is spent on opening one when a connection comes. It is
    opened when the connection before it has ended, and not while that one is timed. A context manager. Raises LabError
    if the port is taken.
    """

    def __init__(self, open_stream: Callable[[], Stream], *, port: int = 0, spare: bool = False) -> None:
        self._open = open_stream
        self._keeps_spare = spare
        self._spare: Stream | None = None
        self._guard = threading.Lock()
        self._closed = False
        self._streams: set[Stream] = set()
        self._listener = socket.socket()
        try:
            self._listener.bind((LOOPBACK, port))
        except OSError as error:
            self._listener.close()
            raise LabError(f"no tunnel: {error.strerror}", where=f"{LOOPBACK}:{port}") from error
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._prepare()
        threading.Thread(target=self._accept, name=f"tunnel {self.port}", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with self._guard:
            self._closed = True
            streams = [*self._streams, *((self._spare,) if self._spare else ())]
            self._spare = None
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for stream in streams:
            stream.close()

    def _prepare(self) -> None:
        if not self._keeps_spare or self._spare or self._closed:
            return
        with contextlib.suppress(EngineError):  # the next connection opens a stream, and reports why that fails
            stream = self._open()
            with self._guard:
                if self._closed or self._spare:
                    stream.close()
                else:
                    self._spare = stream

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._carry, args=(connection,), name="tunnel", daemon=True).start()

    def _carry(self, connection: socket.socket) -> None:
        with connection:
            try:
                with self._guard:
                    stream, self._spare = self._spare, None
                stream = stream or self._open()
            except EngineError:
                return  # the connection ends, as with a server that is gone
            with self._guard:
                self._streams.add(stream)
            back = threading.Thread(target=_back, args=(stream, connection), name="tunnel back", daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := connection.recv(_PIECE):
                    stream.send(data)
            stream.close()
            back.join()
            with self._guard:
                self._streams.discard(stream)
        self._prepare()


def _back(stream: Stream, connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := stream.receive():
            connection.sendall(data)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
