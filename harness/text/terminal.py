"""What may reach a terminal. Names, logs and facts come from images and from strangers' run folders: they are shown and
never obeyed. And a character that the locale does not have is written in other characters.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# C0 and C1 controls (but not tab and newline), the marks that change the direction of writing (CVE-2021-42574), line
# separators, and halves of surrogate pairs, which stand for bytes that are no text
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_ERRORS = "tare.ascii"
_PLAIN = {
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "÷": "/",
    "±": "+-",
    "…": "...",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "·": "-",
    "•": "*",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "█": "#",
    "░": ".",
    "∞": "inf",
    "─": "-",
    "━": "-",
    "│": "|",
    "✓": "yes",
    "✗": "no",
    "µ": "u",
    "μ": "u",
    "√": "root ",
    "≈": "~",
    "⚠": "!",
    "▲": "^",
}


def harmless(text: str) -> str:
    """Text in which nothing acts on a terminal: control characters are written as escapes, such as \\x1b."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def _in_other_characters(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: what the encoding lacks, in ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_in_ascii(character) for character in lacking), error.end


def _in_ascii(character: str) -> str:
    plain = _PLAIN.get(character) or unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or character.encode("unicode_escape", "surrogatepass").decode()


codecs.register_error(_ERRORS, _in_other_characters)


class HarmlessStream(io.TextIOBase):
    """A stream through which only harmless text passes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.beneath = stream

    def write(self, text: str) -> int:
        self.beneath.write(harmless(text))
        return len(text)

    def flush(self) -> None:
        self.beneath.flush()

    def fileno(self) -> int:
        return self.beneath.fileno()

    def isatty(self) -> bool:
        return self.beneath.isatty()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:  # encoding, errors, buffer
        return getattr(self.beneath, name)


def beneath(stream: TextIO) -> TextIO:
    """The stream itself, for what draws on the terminal and sees to harmless text by itself."""
    return stream.beneath if isinstance(stream, HarmlessStream) else stream


def write_in_any_locale() -> None:
    """Standard output and error write what they can in the locale's characters, and the rest in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


@contextmanager
def harmless_output() -> Iterator[None]:
    """Only harmless text reaches standard output and standard error in this block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = HarmlessStream(sys.stdout), HarmlessStream(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
