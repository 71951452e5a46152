"""A real headless Chromium for the tests of pages: what it shows, prints, and what its script finds in a page.

One Chromium serves all tests of a session. It is commanded over two pipes in the DevTools protocol
(https://chromedevtools.github.io/devtools-protocol/). Every page has a browser context and a storage of its own.
Nothing is installed here. If there is no Chromium, the tests are skipped (Debian: apt-get install chromium).
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and writes answers to descriptor 4.
_WITH_PIPES = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_PATIENCE = 120  # seconds for one answer of Chromium
_SETTLED = "await document.fonts.ready; await new Promise(done => setTimeout(done, 300));"

Message = dict[str, Any]


class Chromium:
    """The process and its two pipes: commands go out, answers and events come back."""

    def __init__(self, program: str, profile: Path) -> None:
        read, self._commands = os.pipe()
        self._answers, write = os.pipe()
        command = [sys.executable, "-c", _WITH_PIPES, str(read), str(write), program, *_QUIET]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}"], pass_fds=(read, write), stderr=subprocess.DEVNULL
        )
        os.close(read)
        os.close(write)
        self._buffer = b""
        self._number = 0

    def close(self) -> None:
        os.close(self._commands)  # Chromium ends when nobody can command it
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)

    def call(self, method: str, session: str = "", events: list[Message] | None = None, **parameters: Any) -> Message:
        """The result of a command. Events that come before it are added to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            answer = self.message()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if events is not None and answer.get("sessionId") == session:
                events.append(answer)

    def message(self) -> Message:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"Chromium did not answer within {_PATIENCE} s"
            data = os.read(self._answers, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)


class Page:
    """A page that is open; the errors of its own script fail the test."""

    def __init__(self, chromium: Chromium, session: str) -> None:
        self._chromium = chromium
        self._session = session
        self._events: list[Message] = []

    def call(self, method: str, **parameters: Any) -> Message:
        return self._chromium.call(method, self._session, self._events, **parameters)

    def open(self, url: str, *, width: int, height: int) -> None:
        self.call("Runtime.enable")
        self.call("Page.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._chromium.message())
        self.run(_SETTLED)

    def run(self, script: str) -> Any:
        """What the body of an async function returns in the page."""
        done = self.call(
            "Runtime.evaluate", expression=f"(async () => {{ {script} }})()", awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def errors(self) -> list[Message]:
        return [
            event
            for event in self._events
            if event.get("method") == "Runtime.exceptionThrown"
            or (event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] == "error")
        ]


class Browser:
    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium

    def screenshot(self, page: Path, image: Path, *, width: int, height: int, fragment: str = "") -> Path:
        """The page as a PNG, `width` × `height` CSS pixels."""
        with self._page(page.as_uri() + fragment, width, height) as opened:
            image.write_bytes(base64.b64decode(opened.call("Page.captureScreenshot", format="png")["data"]))
        return image

    def pdf(self, page: Path) -> bytes:
        with self._page(page.as_uri(), 1200, 1400) as opened:
            return base64.b64decode(opened.call("Page.printToPDF")["data"])

    def ask(self, page: Path, script: str, *, width: int = 1200, height: int = 3000) -> Any:
        """What the body of an async function returns in the page, as JSON."""
        with self._page(page.as_uri(), width, height) as opened:
            return opened.run(script)

    @contextmanager
    def _page(self, url: str, width: int, height: int) -> Iterator[Page]:
        call = self._chromium.call
        context = call("Target.createBrowserContext")["browserContextId"]
        target = call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        page = Page(self._chromium, call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        try:
            page.open(url, width=width, height=height)
            yield page
            assert not page.errors(), page.errors()
        finally:
            call("Target.disposeBrowserContext", browserContextId=context)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium with its profile in that folder, which ends with the block."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(NAMES)}")
    chromium = Chromium(program, profile)
    try:
        yield Browser(chromium)
    finally:
        chromium.close()
