import gzip
import http.server
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cell.ask import HttpAnswer, Poller, _read, ask, mismatch, verify
from harness.errors import EngineError, TryFailed
from harness.model import Request, Status


@contextmanager
def served(reply: bytes, *, close: bool = False):
    """A server that answers every connection with `reply`, and keeps it open unless it should close it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        stop = threading.Event()
        held = []

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connection.recv(65536)
                connection.sendall(reply)
                connection.close() if close else held.append(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()
            for connection in held:
                connection.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_an_answer_of_stated_length_needs_no_end_of_connection():
    with served(OK) as port:
        assert ask("127.0.0.1", port, Request("/")) == HttpAnswer(200, b"ok")


def test_a_chunked_answer_is_put_together():
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n"
    with served(reply) as port:
        assert ask("127.0.0.1", port, Request("/")) == HttpAnswer(200, b"ok!")


@pytest.mark.parametrize(
    ("method", "reply", "status", "body"),
    [
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        ("GET", b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 1\r\n\r\nx", 301, b"x"),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n2;a=b\r\nok\r\n00\r\nTrailer: x\r\n\r\n",
            200,
            b"ok",
        ),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n" + gzip.compress(b"ok", mtime=0),
            200,
            b"ok",
        ),
    ],
)
def test_an_answer_that_is_whole_is_taken_at_once(method, reply, status, body):
    """The server keeps the connection open: only the answer itself says that it is whole (RFC 9112, 6.3)."""
    for pieces in (reply, *(reply[:end] for end in range(len(reply)))):
        answer, whole = _read(pieces, method)
        assert whole == (pieces is reply)
    assert answer.status in (0, status)
    with served(reply) as port:
        assert ask("127.0.0.1", port, Request("/", method=method), timeout=30) == HttpAnswer(status, body)


def test_headers_are_sent_and_take_the_place_of_those_that_would_be():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers.items())
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    seen = []
    request = Request(
        "/", "POST", 204, body="a", headers={"Host": "shop.example", "Content-Type": "text/plain", "X-A": "b"}
    )
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert mismatch(request, ask("127.0.0.1", server.server_port, request)) == ""
        thread.join()
    assert seen == [[("host", "shop.example"), ("content-type", "text/plain"), ("content-length", "1"), ("x-a", "b")]]


def test_an_answer_of_unstated_length_ends_with_the_connection():
    with served(b"HTTP/1.0 200 OK\r\n\r\nwhole", close=True) as port:
        assert ask("127.0.0.1", port, Request("/")) == HttpAnswer(200, b"whole")


def test_what_is_not_http_is_said():
    with served(b"SSH-2.0\r\n", close=True) as port:
        assert "not an HTTP answer" in mismatch(Request("/"), ask("127.0.0.1", port, Request("/")))


@given(st.text(max_size=30), st.text(max_size=30))
def test_bodies_are_compared_as_asked(expected, found):
    answer = HttpAnswer(200, found.encode("utf-8", "surrogatepass"))
    assert mismatch(Request("/", equals=found), answer) == ""
    assert (mismatch(Request("/", equals=expected), answer) == "") == (expected == found)
    assert (mismatch(Request("/", contains=expected), answer) == "") == (expected in found)


@pytest.mark.parametrize(
    ("request_", "answer", "why"),
    [
        (Request("/"), HttpAnswer(500, b"no"), "status 500"),
        (Request("/", equals="ok"), HttpAnswer(200, b"nope"), "expected 'ok'"),
        (Request("/", json={"a": 1}), HttpAnswer(200, b'{"a": 2}'), "'a' is 2, expected 1"),
        (Request("/", json={"a": 1}), HttpAnswer(200, b"[1]"), "not a JSON object"),
        (Request("/", json={"a": 1}), HttpAnswer(200, b"{"), "not JSON"),
    ],
)
def test_the_difference_is_said(request_, answer, why):
    assert why in mismatch(request_, answer)


def test_extra_members_of_an_answer_do_not_matter():
    assert mismatch(Request("/", json={"a": 1}), HttpAnswer(200, b'{"a": 1, "b": 2}')) == ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def test_the_poller_sees_a_server_that_comes_up_later():
    port = free_port()
    with Poller("127.0.0.1", port, Request("/", equals="ok"), timeout=5, alive=lambda: "") as poller:
        poller.started()
        time.sleep(0.1)
        before = time.monotonic()
        with http.server.HTTPServer(("127.0.0.1", port), _Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            ready = poller.result()
            server.shutdown()
            thread.join()
    assert ready >= before


def failure(port: int, *, timeout: float = 0.2, alive=lambda: "", request_=None) -> TryFailed:
    wanted = request_ or Request("/", equals="right")
    with Poller("127.0.0.1", port, wanted, timeout=timeout, alive=alive) as poller, pytest.raises(TryFailed) as caught:
        poller.started()
        poller.result()
    return caught.value


def test_silence_is_a_timeout():
    assert failure(free_port()).status is Status.TIMEOUT


def test_a_wrong_answer_until_the_end_is_a_wrong_answer():
    with served(OK) as port:
        error = failure(port)
    assert error.status is Status.WRONG_ANSWER
    assert "expected 'right'" in error.reason


def test_an_app_that_exits_is_noticed_before_the_timeout():
    error = failure(free_port(), timeout=30, alive=lambda: "exit code 3")
    assert (error.status, error.reason) == (Status.EXITED, "exit code 3")


@pytest.mark.timeout(10)  # a third of the poller's own time-out
def test_a_poller_that_is_left_ends():
    with Poller("127.0.0.1", free_port(), Request("/"), timeout=30, alive=lambda: "") as poller:
        poller.started()
        assert "poller" in {thread.name for thread in threading.enumerate()}
    assert "poller" not in {thread.name for thread in threading.enumerate()}


def test_verification_names_the_request():
    with served(OK) as port:
        verify("127.0.0.1", port, (Request("/", equals="ok"),))
        with pytest.raises(TryFailed, match="GET /x answered body 'ok', expected 'no'"):
            verify("127.0.0.1", port, (Request("/x", equals="no"),))
    with pytest.raises(TryFailed, match="no answer"):
        verify("127.0.0.1", free_port(), (Request("/"),))


@contextmanager
def site(pages: dict[str, bytes]):
    """A server of these pages, that counts what it is asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


SCRIPT = Request("/", contains="<div", follow=r'src="(/assets/[^"]+)"', then=Request("", contains="products"))


def test_what_an_answer_refers_to_is_asked_for_too():
    pages = {"/": b'<div></div><script src="/assets/index-1f.js">', "/assets/index-1f.js": b"fetch(products)"}
    with site(pages) as (port, asked):
        verify("127.0.0.1", port, (SCRIPT,))
    assert asked == ["/", "/assets/index-1f.js"]


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({"/": b"<div></div>"}, "GET / answered .* expected to match"),
        ({"/": b'<div><script src="/assets/a.js">'}, "GET /assets/a.js answered status 404"),
        ({"/": b'<div><script src="/assets/a.js">', "/assets/a.js": b"nothing"}, "GET /assets/a.js answered body"),
    ],
)
def test_a_page_without_its_script_is_a_wrong_answer(pages, reason):
    with site(pages) as (port, _), pytest.raises(TryFailed, match=reason) as caught:
        verify("127.0.0.1", port, (SCRIPT,))
    assert caught.value.status is Status.WRONG_ANSWER


def test_an_engine_that_is_gone_ends_the_wait_with_its_words():
    def alive() -> str:
        raise EngineError("connection refused")

    with Poller("127.0.0.1", 1, Request("/"), timeout=5.0, alive=alive) as poller:
        poller.started()
        with pytest.raises(TryFailed, match="connection refused"):
            poller.result()


PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 \r\n", b"\r\n", b"\r\n\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: " + b"9" * 5000 + b"\r\n"),
        *(b"Content-Encoding: gzip\r\n", b"-5\r\n", b"0\r\n", b"ffffffffffffffff\r\n", b"1_0\r\n", b"+1\r\n"),
        *(b"\x1f\x8b\x08\x00", b"\x00\xff", b":", b"HTTP/", b"hello", b"5;x\r\nhello\r\n"),
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30).map(b"".join), st.sampled_from(["GET", "HEAD"]))
def test_whatever_an_app_sends_is_an_answer_or_none(received, method):
    answer, _ = _read(received, method)
    assert isinstance(answer.status, int)
    assert isinstance(mismatch(Request("/", json={"a": 1}), answer), str)


@pytest.mark.timeout(20)
def test_a_chunk_of_negative_length_ends_the_answer():
    """It once sent the reader back to the same chunk for ever."""
    assert _read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\n", "GET") == (HttpAnswer(200, b""), False)


def test_any_number_of_interim_answers():
    assert _read(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + OK, "GET") == (HttpAnswer(200, b"ok"), True)


def test_a_compressed_answer_is_unpacked_only_up_to_the_limit():
    """4 MB of zeros compress to 4 kB, and 4 GB to 4 MB."""
    bomb = gzip.compress(bytes(64 << 20))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    assert len(_read(head + bomb, "GET")[0].body) == 4 << 20
