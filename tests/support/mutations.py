"""Damage to sound data. An edit is a pair of numbers, so that hypothesis and a coverage-guided fuzzer can make it.

The first number chooses a place, the second what happens there. Small second numbers keep the form of the data (a JSON
value of another type, a TOML value that is wrong); large ones damage bytes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Edit = tuple[int, int]
PLACES = 1 << 16  # of the first number

DELETED, TWICE = object(), object()
VALUES: tuple[object, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        -0.0,
        1e308,
        2**31,
        2**63,
        2**64,
        10**30,
        [],
        {},
        [[]],
        {"": None},
        [None],
        "",
        " ",
    ),
    *("\0", "\x1b[2J", "\u202e", "x" * 400, "../../../etc/passwd", "nan", "1e999", "<script>", "=1+1", "\ud800"),
    *(DELETED, TWICE),
)
TOML = (
    *("", "0", "-1", "1.5", "1e400", "nan", "inf", "true", "[]", "{}", '""', '"x"', "[1, 'a']", '"\\u0000"', '"[("'),
    *('"1 %"', '"-5 MB"', '"1e999 MB"', "2020-01-01", "[[[]]]", '"' + "x" * 300 + '"', "{a = {b = 1}}"),
    "0x7fffffffffffffff0",
)  # fmt: skip
_BYTES = 6  # kinds of damage to bytes
EDITS = max(len(VALUES), len(TOML)) + _BYTES  # of the second number


def damaged_json(sound: bytes, edits: Iterable[Edit]) -> bytes:
    return _damaged(sound, edits, len(VALUES), _json)


def damaged_lines(sound: bytes, edits: Sequence[Edit]) -> bytes:
    """JSON lines: an edit is of one line, chosen by its place too."""
    lines = sound.splitlines(keepends=True)
    for place, what in edits:
        number = place % len(lines)
        if what < len(VALUES):
            changed = _json(lines[number].rstrip(b"\n"), [(place // len(lines), what)])
            lines[number] = changed + b"\n"
    return _bytes(b"".join(lines), [edit for edit in edits if edit[1] >= len(VALUES)])


def damaged_toml(sound: bytes, edits: Iterable[Edit]) -> bytes:
    return _damaged(sound, edits, len(TOML), _toml)


def damaged_bytes(sound: bytes, edits: Iterable[Edit]) -> bytes:
    return _bytes(sound, edits)


def _damaged(
    sound: bytes, edits: Iterable[Edit], shaped: int, change: Callable[[bytes, Sequence[Edit]], bytes]
) -> bytes:
    edits = list(edits)
    data = change(sound, [edit for edit in edits if edit[1] < shaped])
    return _bytes(data, [edit for edit in edits if edit[1] >= shaped])


def _json(sound: bytes, edits: Sequence[Edit]) -> bytes:
    if not edits:
        return sound
    holder = {"": json.loads(sound)}
    for place, what in edits:
        places = list(_places(holder))
        inside, key = places[place % len(places)]
        value = copy.deepcopy(VALUES[what]) if VALUES[what] not in (DELETED, TWICE) else VALUES[what]
        if value is DELETED and inside is not holder:
            del inside[key]
        elif value is TWICE and isinstance(inside, list):
            inside.append(copy.deepcopy(inside[key]))
        elif value not in (DELETED, TWICE):
            inside[key] = value
    return json.dumps(holder[""]).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterable[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _toml(sound: bytes, edits: Sequence[Edit]) -> bytes:
    lines = sound.decode().splitlines()
    for place, what in edits:
        number = place % len(lines)
        key, equals, _ = lines[number].partition("=")
        if equals and what:
            lines[number] = f"{key}= {TOML[what]}"
        elif what % 2:
            lines.insert(number, lines[number])
        else:
            lines[number] = ""
    return "\n".join(lines).encode() + b"\n"


def _bytes(sound: bytes, edits: Iterable[Edit]) -> bytes:
    data = bytearray(sound)
    for place, what in edits:
        at = place * (len(data) + 1) // PLACES
        match what % _BYTES:
            case 0:
                del data[at:]
            case 1:
                data[at : at + 1] = bytes([place & 255])
            case 2:
                data[at:at] = bytes([place & 255]) * (1 + place % 9)
            case 3:
                del data[at : at + 1 + place % 64]
            case 4:
                data[at : at + place % 64] = bytes(place % 64)
            case _:
                data[at:at] = data[: place % 512]
    return bytes(data)
