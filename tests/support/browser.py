"""A real headless Chromium for the tests of pages: what it shows, prints, and what its script finds in a page.

Nothing is installed here; tests are skipped, with the reason, where no Chromium is (Debian: apt-get install chromium).
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
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
    "--virtual-time-budget=20000",
    "--enable-logging=stderr",
)


class Browser:
    def __init__(self, program: str, profile: Path) -> None:
        self._program = program
        self._profile = profile

    def screenshot(self, page: Path, image: Path, *, width: int, height: int, fragment: str = "") -> bytes:
        """The page as a PNG, `width` × `height` CSS pixels; fails where its script threw."""
        self._run(f"--window-size={width},{height}", f"--screenshot={image}", page.as_uri() + fragment)
        return image.read_bytes()

    def pdf(self, page: Path, file: Path) -> bytes:
        self._run("--no-pdf-header-footer", f"--print-to-pdf={file}", page.as_uri())
        return file.read_bytes()

    def ask(self, page: Path, script: str, *, width: int = 1200, height: int = 3000) -> Any:
        """What the body of an async function returns in the page, as JSON. Errors of the page's own script fail."""
        asked = page.with_name(f"asked-{page.name}")
        probe = f"""<pre id="answer-of-the-test"></pre><script>(async () => {{ {script} }})().then(
            value => JSON.stringify(value), error => JSON.stringify({{failed: String(error)}})).then(text => {{
            document.getElementById("answer-of-the-test").textContent = text; }});</script></body>"""
        asked.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
        dom = self._run(f"--window-size={width},{height}", "--dump-dom", asked.as_uri())
        found = re.search(r'<pre id="answer-of-the-test">(.*?)</pre>', dom, re.DOTALL)
        assert found, dom[-2000:]
        answer = json.loads(html.unescape(found[1]))
        assert not (isinstance(answer, dict) and "failed" in answer), answer
        return answer

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *_QUIET, f"--user-data-dir={self._profile}", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        errors = [
            line for line in done.stderr.splitlines() if "CONSOLE" in line and ("Error" in line or "ERROR" in line)
        ]
        assert not errors, errors
        return done.stdout


def browser(profile: Path) -> Browser:
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(NAMES)}")
    return Browser(program, profile)
