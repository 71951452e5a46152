"""Asks an app: one request, whether its answer is the expected one, and the wait for the first valid answer.

The wait is the measuring core of start-up, so it uses a bare socket: a refused connection takes tens of microseconds,
and the poll interval (0.5 ms) bounds the error (facts-engine.md: 0.5–0.9 ms against the app's log).
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.errors import TareError, TryFailed
from harness.model import Connection, Request, Status

POLL_INTERVAL = 0.0005  # s
_ALIVE_AFTER = 0.5  # s without an answer before the container is first asked whether it still runs
_ALIVE_EVERY = 0.25  # s
_CLOSED_WITHIN = 0.05  # s
_ANSWER_LIMIT = 4 << 20  # B; no answer that proves an app works is larger


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`status` is 0 if the connection worked but no HTTP answer came."""

    status: int
    body: bytes


def ask(address: str, port: int, request: Request, *, timeout: float = 5.0) -> HttpAnswer:
    """Send one request and read the whole answer. Raises OSError if nobody listens or the time runs out."""
    deadline = time.monotonic() + timeout
    with socket.create_connection((address, port), timeout=timeout) as connection:
        connection.sendall(_message(request, f"{address}:{port}"))
        received = bytearray()
        while len(received) < _ANSWER_LIMIT:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
            if _read(received, request.method)[1]:
                break
    return _read(received, request.method)[0]


def connect(address: str, port: int) -> float:
    """Open a connection; returns the monotonic time (s) at which it was accepted. Raises OSError if nobody listens.

    A connection that is closed at once without a byte does not count: a port proxy closes it if no app listens
    behind it.
    """
    with socket.create_connection((address, port), timeout=2.0) as connection:
        at = time.monotonic()
        connection.settimeout(_CLOSED_WITHIN)
        try:
            if not connection.recv(1):
                raise ConnectionResetError("the connection was closed at once")
        except TimeoutError:
            pass  # it waits for the client to speak
    return at


def _message(request: Request, host: str) -> bytes:
    # no "Connection: close": the side that closes first keeps the port in TIME_WAIT, and if that were the app, the next
    # container could not listen there
    payload = request.body.encode()
    headers = {"host": host}
    if payload:
        headers |= {"content-type": "application/json", "content-length": str(len(payload))}
    headers |= {name.lower(): value for name, value in request.headers.items()}
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + payload


def _read(received: bytes | bytearray, method: str) -> tuple[HttpAnswer, bool]:
    """The answer so far, and whether it is complete by its own headers (RFC 9112, 6.3); otherwise the end of the
    connection ends it. Interim answers (1xx) are skipped.
    """
    body, status = bytes(received), 100
    while 100 <= status < 200 and status != 101:  # an app may send any number of interim answers
        rest = body
        head, end, body = rest.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        words = lines[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not re.fullmatch(rb"[0-9]{3}", words[1]):
            return HttpAnswer(0, rest), False
        status = int(words[1])
        if not end:
            return HttpAnswer(status, b""), False
    if method == "HEAD" or status in (101, 204, 304):
        return HttpAnswer(status, b""), True
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    length, coding = headers.get(b"content-length", b""), headers.get(b"transfer-encoding", b"").lower()
    whole = False
    if coding.endswith(b"chunked"):
        body, whole = _dechunk(body)
    elif re.fullmatch(rb"[0-9]{1,18}", length):
        whole = len(body) >= int(length)
        body = body[: int(length)]
    return HttpAnswer(status, _decoded(body, headers.get(b"content-encoding", b""))), whole


def _dechunk(body: bytes) -> tuple[bytes, bool]:
    """The content of the chunks so far, and whether the last chunk and its trailers are among them."""
    content = bytearray()
    position = 0
    while True:
        end = body.find(b"\r\n", position)
        if end < 0:
            return bytes(content), False
        size = body[position:end].split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):  # int() also takes signs, and a chunk never goes back
            return bytes(content), False
        length = int(size, 16)
        position = end + 2
        if length == 0:
            trailers = body[position:]
            return bytes(content), trailers.startswith(b"\r\n") or b"\r\n\r\n" in trailers
        content += body[position : position + length]
        position += length + 2


def _decoded(body: bytes, coding: bytes) -> bytes:
    """The content of a compressed body, although no compression was requested; the body itself if it is not
    complete.
    """
    if coding.lower() not in (b"gzip", b"x-gzip"):
        return body
    unpacked = zlib.decompressobj(wbits=31)  # a gzip stream
    try:
        content = unpacked.decompress(body, _ANSWER_LIMIT)
    except zlib.error:
        return body
    return content if unpacked.eof or len(content) == _ANSWER_LIMIT else body


def mismatch(request: Request, answer: HttpAnswer) -> str:
    """Why the answer is not the expected answer; "" if it is."""
    if answer.status == 0:
        return f"not an HTTP answer: {_shown(answer.body)}"
    if answer.status != request.status:
        return f"status {answer.status}, expected {request.status}: {_shown(answer.body)}"
    text = answer.body.decode(errors="replace")
    if request.equals is not None and text != request.equals:
        return f"body {_shown(answer.body)}, expected {request.equals!r}"
    if request.contains is not None and request.contains not in text:
        return f"body {_shown(answer.body)}, expected to contain {request.contains!r}"
    if request.json is not None:
        try:
            found = json.loads(text)
        except ValueError:
            return f"body {_shown(answer.body)} is not JSON"
        if not isinstance(found, dict):
            return f"body {_shown(answer.body)} is not a JSON object"
        for key, value in request.json.items():
            if key not in found or found[key] != value:
                return f"{key!r} is {found.get(key)!r}, expected {value!r}"
    return ""


def _shown(body: bytes, limit: int = 120) -> str:
    text = repr(body.decode(errors="replace"))
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Poller:
    """Polls for the first valid answer in a thread of its own, so that it can begin before the container starts.

    `alive` returns "" while the container runs and otherwise why it does not; it is called only after half a second of
    silence, so that it never disturbs a fast start.
    """

    def __init__(
        self, address: str, port: int, request: Request | Connection, *, timeout: float, alive: Callable[[], str]
    ) -> None:
        self._where = (address, port)
        self._request = request
        self._timeout = timeout
        self._alive = alive
        self._stop = threading.Event()
        self._started = threading.Event()
        self._ready: float | None = None
        self._failure: TryFailed | None = None
        self._thread = threading.Thread(target=self._poll, name="poller", daemon=True)

    def __enter__(self) -> Poller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def started(self) -> None:
        """Note that the start call has returned: from here on the time-out runs and `alive` is called."""
        self._started.set()

    def result(self) -> float:
        """Monotonic time (s) of the first valid answer. Raises TryFailed: timeout, exited or wrong-answer."""
        self._thread.join()
        if self._failure:
            raise self._failure
        assert self._ready is not None
        return self._ready

    def _ask(self) -> tuple[str, float]:
        """Why the answer is not the expected one ("" if it is), and when it came. Raises OSError if nobody listens."""
        if isinstance(self._request, Connection):
            return "", connect(*self._where)
        wrong = mismatch(self._request, ask(*self._where, self._request, timeout=2.0))
        return wrong, time.monotonic()

    def _poll(self) -> None:
        began: float | None = None
        next_look = 0.0
        wrong = ""
        while not self._stop.is_set():
            try:
                wrong, at = self._ask()
                if not wrong:
                    self._ready = at
                    return
            except OSError:
                pass
            time.sleep(POLL_INTERVAL)
            if began is None:
                if self._started.is_set():
                    began = time.monotonic()
                    next_look = began + _ALIVE_AFTER
                continue
            now = time.monotonic()
            if now >= next_look:
                next_look = now + _ALIVE_EVERY
                try:
                    gone = self._alive()
                except TareError as error:  # the reason is no longer known
                    self._failure = TryFailed(Status.ERROR, str(error))
                    return
                if gone:
                    self._failure = TryFailed(Status.EXITED, gone)
                    return
            if now - began > self._timeout:
                self._failure = (
                    TryFailed(Status.WRONG_ANSWER, f"{self._request.path} answered {wrong}")
                    if wrong and isinstance(self._request, Request)
                    else TryFailed(
                        Status.TIMEOUT, f"no answer on port {self._where[1]} within {self._timeout:g} s of the start"
                    )
                )
                return
        self._failure = self._failure or TryFailed(Status.ERROR, "Tare stopped waiting")


def verify(address: str, port: int, requests: tuple[Request, ...], *, timeout: float = 10.0) -> None:
    """Send every request, and the requests that the answers lead to, and compare the answers.

    Raises TryFailed(wrong-answer) for the first answer that differs.
    """
    for request in requests:
        following: Request | None = request
        while following:
            following = _verify(address, port, following, timeout)


def _verify(address: str, port: int, request: Request, timeout: float) -> Request | None:
    """The request that the answer leads to, if any."""
    found: re.Match[str] | None = None
    try:
        answer = ask(address, port, request, timeout=timeout)
    except OSError as error:
        wrong = f"no answer: {error}"
    else:
        wrong = mismatch(request, answer)
        if request.follow and not wrong:
            found = re.search(request.follow, answer.body.decode(errors="replace"))
            wrong = "" if found else f"body {_shown(answer.body)}, expected to match {request.follow!r}"
    if wrong:
        raise TryFailed(Status.WRONG_ANSWER, f"{request.method} {request.path} answered {wrong}")
    return replace(request.then, path=found[1]) if found and request.then else None
