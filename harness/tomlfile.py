"""TOML read with the line of every key, and mistakes collected instead of raised one by one.

The standard library's tomllib is the only parser here, so a file means here what it means everywhere. tomllib reports
no positions (and tomlkit keeps the layout but not the lines), so `positions` finds them with its help.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, overload

from harness.errors import CatalogueError

Keys = tuple[str | int, ...]  # the way to a value: keys of tables and indexes of lists, from the root

_SYNTAX = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
_REQUIRED: Final[Any] = object()


def positions(text: str) -> dict[Keys, int]:
    """Line (from 1) of the statement that first brings each key, table and list item of a valid document.

    A document that is cut after a whole statement is valid; a document that is cut inside a statement is not. So each
    key stands in the statement after which tomllib first knows it. Quadratic in lines: a few milliseconds for a file
    people write, and asked for only when there is a mistake to report.
    """
    found: dict[Keys, int] = {}
    document = ""
    start = 1  # first line of the statement that is being completed
    for number, line in enumerate(text.split("\n"), 1):
        document += line + "\n"
        try:
            data = tomllib.loads(document)
        except tomllib.TOMLDecodeError:
            continue
        for keys in _walk(data, ()):
            found.setdefault(keys, start)
        start = number + 1
    return found


def _walk(value: object, keys: Keys) -> Iterator[Keys]:
    if keys:
        yield keys
    children: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from _walk(child, (*keys, key))


class Document:
    """A TOML file. Mistakes of meaning are added to `problems` as they are met, so that one reading reports them all.

    Raises CatalogueError if the file cannot be read or is not TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[CatalogueError] = []
        self._text = read_text(path)
        try:
            data = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise self._syntax_error(str(error)) from None
        except RecursionError:
            raise CatalogueError("nested too deeply", path=path, fix="Write flatter tables.") from None
        self.root = Table(self, (), data)

    def told(self) -> list[CatalogueError]:
        """The problems in the order of their lines."""
        return sorted(self.problems, key=lambda error: error.line or 0)

    def line(self, keys: Keys) -> int | None:
        """Line of the value, or of the nearest table around it that has one; None for a value in no table."""
        while keys and keys not in self._positions:
            keys = keys[:-1]
        return self._positions.get(keys)

    @cached_property
    def _positions(self) -> dict[Keys, int]:
        return positions(self._text)

    def _syntax_error(self, message: str) -> CatalogueError:
        match = _SYNTAX.fullmatch(message)
        what = match["what"] if match else message
        what = what[:1].lower() + what[1:]
        if match and match["line"]:
            line, what = int(match["line"]), f"{what} (column {match['column']})"
        else:  # at the end of the file: the last line that is not blank
            line = self._text.rstrip().count("\n") + 1
        return CatalogueError(f"not TOML: {what}", path=self.path, line=line, fix="Correct the syntax of this line.")


class Table:
    """One table of a document. Each key is asked for once; `close` reports the keys that nobody asked for.

    A value that is missing or wrong is a problem of the document, and a harmless stand-in is returned.
    """

    def __init__(self, document: Document, keys: Keys, data: dict[str, Any]) -> None:
        self._document = document
        self._keys = keys
        self._data = data
        self._asked: list[str] = []

    @property
    def path(self) -> Path:
        return self._document.path

    def line(self, key: str) -> int | None:
        """The line of a key, or of the table if the key is not given."""
        return self._document.line((*self._keys, key)) or self._document.line(self._keys)

    def problem(self, what: str, *, key: str | None = None, fix: str) -> None:
        keys = self._keys if key is None else (*self._keys, key)
        document = self._document
        document.problems.append(CatalogueError(what, path=document.path, line=document.line(keys), fix=fix))

    @overload
    def text(self, key: str, *, default: str = ..., empty: bool = False) -> str: ...
    @overload
    def text(self, key: str, *, default: None, empty: bool = False) -> str | None: ...
    def text(self, key: str, *, default: str | None = _REQUIRED, empty: bool = False) -> str | None:
        value: str | None = self._value(key, str, "text in quotes", "", default)
        given = self._data.get(key)
        if isinstance(given, str) and not given.strip() and not empty:
            self.problem(f"{key} is empty", key=key, fix="Give it a value.")
        return value

    def choice(self, key: str, choices: Sequence[str], *, default: str = _REQUIRED) -> str:
        value: str = self._value(key, str, "text in quotes", choices[0], default)
        if value not in choices:
            self.problem(f"{key} is {shown(value)}", key=key, fix=suggest(value, choices, "Use one of"))
        return value

    def integer(self, key: str, *, low: int, high: int, default: int = _REQUIRED) -> int:
        value: int = self._value(key, int, "a whole number", low, default)
        if not low <= value <= high:
            self.problem(f"{key} is {value}", key=key, fix=f"Use {low} to {high}.")
        return value

    def seconds(self, key: str, *, default: float) -> float:
        value = float(self._value(key, (int, float), "a number of seconds", default, default))
        if not 0 < value < float("inf"):
            self.problem(f"{key} is {value:g}", key=key, fix="Use a number of seconds above 0.")
        return value

    def number(self, key: str, *, low: float, high: float, default: float = _REQUIRED) -> float:
        value = float(self._value(key, (int, float), "a number", low, default))
        if not low <= value <= high:
            self.problem(f"{key} is {value:g}", key=key, fix=f"Use {low:g} to {high:g}.")
            return low
        return value

    def scalar(self, key: str) -> str | float:
        """Text or a number."""
        value: str | float = self._value(key, (str, int, float), "text in quotes or a number", 0, _REQUIRED)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value: bool = self._value(key, bool, "true or false", default, default)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty if it is not given."""
        values: list[object] = self._value(key, list, "a list of texts", [], [])
        if not all(isinstance(value, str) for value in values):
            self.problem(f"{key} has an item that is not text", key=key, fix="Put each item in quotes.")
        return tuple(value for value in values if isinstance(value, str))

    def plain(self, key: str) -> dict[str, Any] | None:
        """A table as plain data; None if it is not given."""
        value: dict[str, Any] | None = self._value(key, dict, "a table", None, None)
        return value

    def table(self, key: str) -> Table | None:
        """None, and a problem, if it is not given."""
        value: dict[str, Any] | None = self._value(key, dict, f"a table, [{self._dotted(key)}]", None, _REQUIRED)
        return None if value is None else Table(self._document, (*self._keys, key), value)

    def tables(self, key: str, *, optional: bool = False) -> tuple[Table, ...]:
        """A list of tables, at least one unless it is `optional`."""
        form = f"a list of tables, [[{self._dotted(key)}]]"
        values: list[object] = self._value(key, list, form, [], [] if optional else _REQUIRED)
        if not all(isinstance(value, dict) for value in values) or (values == [] and self._data.get(key) == []):
            self.problem(f"{key} must be {form}", key=key, fix="Write one such table for each item.")
        inside = (*self._keys, key)
        return tuple(
            Table(self._document, (*inside, index), value)
            for index, value in enumerate(values)
            if isinstance(value, dict)
        )

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def spelling(self, key: str, *older: str) -> str:
        """`key`, or the older name that the table has for it: a file written for an earlier version still reads."""
        return next((name for name in (key, *older) if name in self), key)

    def names(self) -> tuple[str, ...]:
        """The keys, in the file's order."""
        return tuple(self._data)

    def rest(self) -> dict[str, Any]:
        """The keys that nobody asked for, as plain data. A key that looks like a misspelt one is a problem."""
        rest = {key: value for key, value in self._data.items() if key not in self._asked}
        for key in rest:
            if close := difflib.get_close_matches(key, self._asked, n=1, cutoff=0.85):
                self.problem(f"{key} looks misspelled", key=key, fix=f"Did you mean {close[0]}?")
        return rest

    def close(self) -> None:
        """Report the keys nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                self.problem(f"unknown key {key}", key=key, fix=suggest(key, self._asked, "Known keys:"))

    def _value(self, key: str, kind: type | tuple[type, ...], form: str, stand_in: Any, default: Any) -> Any:
        self._asked.append(key)
        if key not in self._data:
            if default is not _REQUIRED:
                return default
            self.problem(f"{key} is missing", fix=f"Add {form if '[' in form else f'{key} = …, {form}'}.")
            return stand_in
        value = self._data[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # True is an int in Python
            self.problem(f"{key} is {shown(value)}", key=key, fix=f"Make it {form}.")
            return stand_in
        if isinstance(value, str) and "\0" in value:  # neither a path nor an environment variable can hold it
            self.problem(f"{key} has a null character", key=key, fix="Remove it.")
            return stand_in
        return value

    def _dotted(self, key: str) -> str:
        return ".".join([*(str(part) for part in self._keys if isinstance(part, str)), key])


def read_text(path: Path) -> str:
    """The file's text. Raises CatalogueError if it cannot be read or is not UTF-8."""
    try:
        raw = path.read_bytes()
        return raw.decode()
    except FileNotFoundError:
        raise CatalogueError("file not found", path=path, fix="Create it.") from None
    except OSError as error:
        raise CatalogueError(
            f"cannot be read: {error.strerror}", path=path, fix="Make it a file that Tare can read."
        ) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CatalogueError("not UTF-8", path=path, line=line, fix="Save the file as UTF-8.") from None


def suggest(word: str, known: Iterable[str], otherwise: str) -> str:
    """`Did you mean …?` if a known name is close, otherwise the sentence `otherwise` with all known names."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"{otherwise} {', '.join(known)}."


def shown(value: object) -> str:
    """A value as a message names it."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float) else str(value)
