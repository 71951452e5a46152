"""Progress for people: one living line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from harness.text.terminal import beneath, harmless

_EVERY = 20.0  # s between plain lines about the present work
# s between lines about blocks: sixty blocks of the floor take half a minute and would push everything else away
_PACE = 3.0
_REFRESH = 4  # per second; tox passes on text without a line end only after a tenth of a second of silence
_BAR = 20  # characters of the bar of the whole run
_SILENCE = 0.2  # s after the living line is erased, so that tox passes the erasure on before other programs write


class Display:
    """`say` prints a line that stays; `now` shows the present work and the time left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=beneath(stream or sys.stderr), highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._last = 0.0
        self._block = -_PACE
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(escape(harmless(text)))

    def now(self, what: str, left: float | None = None, *, share: float | None = None, apps: str = "") -> None:
        """`left` is the seconds the run is still expected to take, `share` how much of the whole run is done (0…1), and
        `apps` how many apps are done and how many remain.
        """
        line = self._with_times(what, left)
        if share is not None:
            line = f"{self._bar(share)} {apps + ': ' if apps else ''}{line}"
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(escape(harmless(line)), refresh_per_second=_REFRESH)
                self._status.start()
            else:
                self._status.update(escape(harmless(line)))
        elif time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            self.say(line)

    def block(self, what: str, left: float) -> None:
        """A block is done: print a line that stays, unless another such line is hardly older."""
        if time.monotonic() - self._block < _PACE:
            self.now(what, left)
            return
        self._block = self._last = time.monotonic()
        self.say(self._with_times(what, left))

    def _bar(self, share: float) -> str:
        """A bar of the whole run, of characters that the terminal can show."""
        done = round(_BAR * min(max(share, 0.0), 1.0))
        full, empty = ("█", "░") if self._console.encoding.lower().startswith("utf") else ("#", ".")
        return f"{full * done}{empty * (_BAR - done)} {min(max(share, 0.0), 1.0):4.0%}"

    def _with_times(self, what: str, left: float | None) -> str:
        line = f"[{clock(time.monotonic() - self._began)}] {what}"
        return line if left is None else f"{line}, about {clock(left)} left"

    def close(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None
            time.sleep(_SILENCE)


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes: 4:07, 1 h 05."""
    whole = max(round(seconds), 0)
    return f"{whole // 3600} h {whole % 3600 // 60:02d}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02d}"
