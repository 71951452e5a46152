"""The TCP proxy of a link: bandwidth and round-trip time on payload. A program of its own, in the standard library.

How a byte is delayed
- All connections of one direction share one virtual clock: the moment the last byte let through has left the wire.
  Chunks queue on it first come, first served, so busy connections get equal shares, as on a fair link.
- A wake-up that came late is made good by the chunks that follow, by exactly as much (and by `_SLACK` for the proxy's
  own work), so that the rate holds on a busy machine while an idle wire saves nothing up.
- Half the round-trip time is added each way, and one whole to a connection's first byte for the handshake. TCP's slow
  start and losses are not imitated.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import math
import signal
import socket
import time
from pathlib import Path

_SLACK = 0.002  # s
_LATEST = 0.1  # s; a proxy that stood still for longer was suspended, and a burst would not imitate a wire
_CHUNK_TIME = 0.002  # s of wire per chunk: about 500 wake-ups a second, and three connections take turns within 6 ms
_CHUNK = (4 << 10, 256 << 10)  # B, least and most


class Wire:
    """One direction of the link: bandwidth shared by all connections, and what has passed through it."""

    def __init__(self, bits_per_second: float) -> None:
        self.rate = bits_per_second / 8  # B/s, may be infinite
        self.carried = 0  # B
        low, high = _CHUNK
        self.chunk = int(min(max(self.rate * _CHUNK_TIME, low), high))
        self._free_at = 0.0  # monotonic time the last byte let through has left
        self._late = 0.0  # how late the last wake-up was, s

    async def carry(self, size: int) -> None:
        """Return when `size` bytes have left the wire."""
        now = time.monotonic()
        due = self._free_at = max(self._free_at, now - self._late - _SLACK) + size / self.rate
        self.carried += size
        # Yields even if there is nothing to wait for: a socket with data never blocks, and others want a turn.
        await asyncio.sleep(max(due - now, 0))
        self._late = min(max(time.monotonic() - due, 0), _LATEST)


class Delay:
    """Holds chunks of one connection for `seconds`, in order, and stops taking more when the wire is full of them."""

    def __init__(self, seconds: float, wire: Wire) -> None:
        self._seconds = seconds
        # Four times what the wire carries during the delay is never the bottleneck; without a bandwidth any bound will
        # do.
        self._room = 64 << 20 if math.isinf(wire.rate) else int(wire.rate * seconds * 4) + 4 * wire.chunk
        self._held: collections.deque[tuple[float, bytes]] = collections.deque()
        self._size = 0
        self._changed = asyncio.Condition()

    async def put(self, chunk: bytes) -> None:
        """Take a chunk in; an empty chunk marks the end."""
        due = time.monotonic() + self._seconds
        async with self._changed:
            await self._changed.wait_for(lambda: self._size < self._room)
            self._held.append((due, chunk))
            self._size += len(chunk)
            self._changed.notify_all()

    async def get(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._held)
            due, chunk = self._held.popleft()
        await asyncio.sleep(max(due - time.monotonic(), 0))
        async with self._changed:
            self._size -= len(chunk)
            self._changed.notify_all()
        return chunk


async def pump(source: socket.socket, sink: socket.socket, wire: Wire, delay: float) -> None:
    """Carry one direction of a connection until the source ends it; the end is passed on as a half-close.

    Raises OSError if either side breaks.
    """
    loop = asyncio.get_running_loop()

    async def deliver(chunk: bytes) -> None:
        if chunk:
            await loop.sock_sendall(sink, chunk)  # blocks while the sink is slow, and so, further up, the source
        else:
            sink.shutdown(socket.SHUT_WR)

    async def take() -> bytes:
        chunk = await loop.sock_recv(source, wire.chunk)
        await wire.carry(len(chunk))
        return chunk

    if delay == 0:
        while chunk := await take():
            await deliver(chunk)
        await deliver(b"")
        return

    held = Delay(delay, wire)

    async def release() -> None:
        while chunk := await held.get():
            await deliver(chunk)
        await deliver(b"")

    async with asyncio.TaskGroup() as group:
        group.create_task(release())
        while chunk := await take():
            await held.put(chunk)
        await held.put(b"")


class Proxy:
    """Serves connections from a listening socket to `target`; `down` shapes what the target sends."""

    def __init__(self, target: tuple[str, int], *, down: Wire, up: Wire, rtt: float) -> None:
        self._target = target
        self._down = down
        self._up = up
        self._rtt = rtt
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def counters(self) -> dict[str, int]:
        return {"down": self._down.carried, "up": self._up.carried, "connections": self._connections}

    async def serve(self, listener: socket.socket) -> None:
        """Accept until cancelled, then break what is still connected."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                client, _ = await loop.sock_accept(listener)
                self._connections += 1
                task = asyncio.create_task(self._connect(client))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with client, contextlib.suppress(OSError), socket.socket() as server:
            server.setblocking(False)
            await asyncio.sleep(self._rtt)
            await loop.sock_connect(server, self._target)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ExceptionGroup):  # one side broke: close both, so that the other side notices
                async with asyncio.TaskGroup() as group:
                    group.create_task(pump(client, server, self._up, self._rtt / 2))
                    group.create_task(pump(server, client, self._down, self._rtt / 2))


async def run(proxy: Proxy, listener: socket.socket, control: Path) -> None:
    """Serve until SIGTERM or SIGINT. A client of the Unix socket `control` gets the address and the counters."""
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(proxy.serve(listener))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    host, port = listener.getsockname()[:2]

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        report = {"address": f"{host}:{port}", **proxy.counters}
        writer.write(json.dumps(report).encode())
        writer.close()

    async with await asyncio.start_unix_server(tell, control):
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", help="host:port to connect to")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--control", type=Path, required=True, help="Unix socket that reports address and counters")
    parser.add_argument("--megabits", type=float, default=math.inf, help="payload from the target, Mbit/s")
    parser.add_argument("--up-megabits", type=float, default=math.inf, help="payload to the target, Mbit/s")
    parser.add_argument("--rtt", type=float, default=0.0, help="added round-trip time, s")
    options = parser.parse_args(arguments)
    host, _, port = options.target.rpartition(":")
    down, up = Wire(options.megabits * 1e6), Wire(options.up_megabits * 1e6)
    with socket.create_server((options.bind, 0), backlog=512) as listener:
        listener.setblocking(False)
        asyncio.run(run(Proxy((host, int(port)), down=down, up=up, rtt=options.rtt), listener, options.control))


if __name__ == "__main__":
    main()
