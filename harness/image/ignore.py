"""What a .dockerignore leaves out, by the rules of Docker's own matcher.

A port of https://github.com/moby/patternmatcher, which every Docker client uses: `**`, `!` with wildcards, and the rule
that a pattern which matches a folder matches everything in it. The last pattern that matches decides.
"""

from __future__ import annotations

import posixpath
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"


class BadPattern(ValueError):
    """A pattern that Docker refuses."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; `exception` is a leading "!", which includes files again."""

    text: str
    exception: bool
    expression: re.Pattern[str]

    def matches(self, path: str) -> bool:
        return self.expression.fullmatch(path) is not None

    @property
    def prefix(self) -> str | None:
        """The path that it applies to, without a last `/*` or `/**`; None if there is another wildcard in it."""
        text = self.text.removesuffix("/**").removesuffix("/*")
        return None if any(sign in text for sign in "*[]?^\\") else text


class Matcher:
    """Patterns in their order. Raises BadPattern."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(_pattern(text) for text in map(str.strip, patterns) if text)

    def match(self, path: str, parent: Sequence[bool] | None = None) -> tuple[bool, tuple[bool, ...]]:
        """Whether a path is matched, and which patterns match it; `parent` holds the patterns that match its folder."""
        matched = False
        each = []
        for number, pattern in enumerate(self.patterns):
            hit = bool(parent) and parent[number]  # type: ignore[index]
            if not hit and pattern.exception == matched:
                hit = pattern.matches(path)
            each.append(hit)
            if hit:
                matched = not pattern.exception
        return matched, tuple(each)

    def may_match_below(self, folder: str) -> bool:
        """Whether a pattern without "!" could match something in a folder that no pattern matches."""
        return _may_be_below(folder, [pattern for pattern in self.patterns if not pattern.exception])

    def may_spare_below(self, folder: str) -> bool:
        """Whether a pattern with "!" could include something in a folder that is matched."""
        return _may_be_below(folder, [pattern for pattern in self.patterns if pattern.exception])


def read_patterns(data: bytes) -> list[str]:
    """The patterns of a .dockerignore file, as Docker reads it. Raises UnicodeDecodeError."""
    found = []
    for line in data.removeprefix(_BOM).decode().split("\n"):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        exception = pattern.startswith("!")
        pattern = pattern[1:].strip() if exception else pattern
        if pattern:
            pattern = clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        found.append(f"!{pattern}" if exception else pattern)
    return found


def clean(path: str) -> str:
    """Go's filepath.Clean."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _may_be_below(folder: str, patterns: Sequence[Pattern]) -> bool:
    prefixes = [pattern.prefix for pattern in patterns]
    return any(prefix is None or f"{prefix}/".startswith(f"{folder}/") for prefix in prefixes)


def _pattern(text: str) -> Pattern:
    cleaned = clean(text)
    exception = cleaned.startswith("!")
    cleaned = cleaned[1:] if exception else cleaned
    if exception and not cleaned:
        raise BadPattern('illegal exclusion pattern: "!"')
    _check(cleaned)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # "[[" has no special meaning in Go
        try:
            return Pattern(cleaned, exception, re.compile(_expression(cleaned)))
        except re.error as error:
            raise BadPattern(f"syntax error in pattern {text!r}") from error


def _expression(pattern: str) -> str:
    """A regular expression for the whole path."""
    pieces = []
    position = 0
    while position < len(pattern):
        sign = pattern[position]
        position += 1
        if sign == "*":
            if pattern[position : position + 1] != "*":
                pieces.append("[^/]*")
                continue
            position += 1
            if pattern[position : position + 1] == "/":  # **/ is the same as **
                position += 1
            pieces.append("(?s:.*)" if position == len(pattern) else "(?s:.*/)?")
        elif sign == "?":
            pieces.append("[^/]")
        elif sign == "\\":
            pieces.append(re.escape(pattern[position : position + 1] or "\\"))
            position += 1
        elif sign == "[":
            end = _class_end(pattern, position)
            pieces.append(pattern[position - 1 : end])
            position = end
        else:
            pieces.append(re.escape(sign))
    return "".join(pieces)


def _check(pattern: str) -> None:
    """Raises BadPattern for what Go's filepath.Match calls malformed."""
    position = 0
    while position < len(pattern):
        sign = pattern[position]
        position += 1
        if sign == "\\":
            if position == len(pattern):
                raise BadPattern(f"syntax error in pattern {pattern!r}")
            position += 1
        elif sign == "[":
            position = _class_end(pattern, position)


def _class_end(pattern: str, start: int) -> int:
    """The position after the "]" of a class; `start` is after its "["."""

    def sign(at: int) -> int:
        """The position after one character of the class."""
        if pattern[at : at + 1] in ("", "-", "]"):
            raise BadPattern(f"syntax error in pattern {pattern!r}")
        behind = at + (2 if pattern[at] == "\\" else 1)
        if behind > len(pattern):
            raise BadPattern(f"syntax error in pattern {pattern!r}")
        return behind

    position = start + (pattern[start : start + 1] == "^")
    first = True
    while first or pattern[position : position + 1] != "]":
        first = False
        position = sign(position)
        if pattern[position : position + 1] == "-":
            position = sign(position + 1)
    return position + 1
