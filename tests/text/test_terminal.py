"""What may reach a terminal: nothing that acts, in characters that the locale has."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.display import Display
from harness.text.terminal import HarmlessStream, harmless

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANYTHING)
def test_nothing_acts_and_nothing_readable_is_lost(text: str) -> None:
    shown = harmless(text)
    assert all(ord(character) >= 0xA0 or character.isprintable() or character in "\t\n" for character in shown)
    assert not set(shown) & set("\x1b\x9b\r\x07\x08\u202e\u2066\u2028")
    assert harmless(shown) == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x1b[2J\x9b1A", "\\x1b[2J\\x9b1A"),
        ("ready\rFAILED", "ready\\rFAILED"),
        ("a\u202ecba", "a\\u202ecba"),
        ("half \udcff", "half \\udcff"),
        ("12.3 MB ±0.1 → 5 %\n\tso", "12.3 MB ±0.1 → 5 %\n\tso"),
    ],
)
def test_controls_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(ANYTHING, st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8", "koi8-r"]))
def test_every_locale_can_show_it(text: str, encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="tare.ascii")
    HarmlessStream(stream).write(text)
    stream.flush()
    assert b"\x1b" not in raw.getvalue()


def test_what_a_locale_lacks_is_written_in_ascii() -> None:
    assert "12 → 5 µs ≤ 3× … ━█é".encode("ascii", "tare.ascii") == b"12 -> 5 us <= 3x ... -#e"


def test_progress_shows_names_and_does_not_obey_them() -> None:
    stream = io.StringIO()
    display = Display(stream)
    display.say("go-\x1b[31mslim [bold]x[/bold]")
    display.close()
    assert stream.getvalue() == "go-\\x1b[31mslim [bold]x[/bold]\n"
