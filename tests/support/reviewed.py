"""Reviewed files: what the commands say, held against tests/golden/files, and what makes it the same everywhere."""

from __future__ import annotations

import difflib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[1] / "golden" / "files"
_MOST_LINES = 80  # of a difference that is shown
_UPDATE = "UPDATE_GOLDEN=1 python -m pytest tests/golden"
_WIDTH = 110  # of a JSON value that stays on one line

_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "figcaption"),
    *("figure", "footer", "header", "label", "li", "main", "nav", "ol", "option", "p", "pre", "section", "select"),
    *("summary", "table", "tbody", "thead", "title", "tr", "ul"),
}


_APART = {"a", "button", "small", "span"}  # the style sheet keeps them apart


def check(name: str, text: str) -> None:
    """Fail if `text` is not what files/`name` holds. If the environment has UPDATE_GOLDEN=1, write it there instead."""
    __tracebackhide__ = True
    path = FILES / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    if not path.exists():
        raise AssertionError(f"{path.name} is not there yet. {_UPDATE} writes it; review it before you commit it.")
    same(path.read_text(encoding="utf-8"), text, name, f"If the change is meant: {_UPDATE}, then review git diff.")


def same(wanted: str, found: str, name: str, advice: str) -> None:
    """Fail with a unified diff if the two texts are not equal."""
    __tracebackhide__ = True
    if wanted == found:
        return
    lines = list(
        difflib.unified_diff(wanted.splitlines(), found.splitlines(), f"{name} (kept)", f"{name} (now)", lineterm="")
    )
    if not lines:
        lines = ["Only the ends of lines differ."]
    more = [f"… and {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    raise AssertionError("\n".join([f"{name} is not what it was. {advice}", *lines[:_MOST_LINES], *more]))


def level(text: str) -> str:
    """Help as every Python writes it if there is room: a line for each argument, two spaces before what it means.

    Python 3.13 sets columns otherwise, and names the value of `-k TEXT, --key TEXT` once.
    """
    joined = re.sub(r"^( +\S.*)\n {8,}(?=\S)", r"\1  ", text, flags=re.MULTILINE)
    once = re.sub(r"^( +-\w) \S+, --", r"\1, --", joined, flags=re.MULTILINE)
    return re.sub(r"(?<=\S) {2,}", "  ", once)


def page(html: str) -> tuple[str, Any]:
    """The text of a page as people read it, a block a line, and the data that it carries."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    text = "".join(reader.parts)
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.split("\0"))
    return "\n".join(line for line in lines if line.strip("# ")) + "\n", json.loads(reader.data)


class _Reader(HTMLParser):
    """Collects text; a NUL marks the end of a line."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.data = ""
        self._inside = ""  # the script or style one is in

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._inside = "data" if ("id", "data") in attrs else tag
        elif tag in _HEADINGS:
            self.parts.append("\0" + _HEADINGS[tag])
        elif tag in _BLOCKS or tag == "br":
            self.parts.append("\0")
        elif tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag in _APART:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""
        elif tag in _BLOCKS or tag in _HEADINGS:
            self.parts.append("\0")

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data
        elif not self._inside:
            self.parts.append(data)


def pretty(value: Any) -> str:
    """Sorted JSON, a line for each value that fits one."""
    return _pretty(value, "") + "\n"


def _pretty(value: Any, indent: str) -> str:
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(line) + len(indent) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_pretty(value[key], deeper)}" for key in sorted(value)]
        return "{\n" + ",\n".join(deeper + item for item in items) + "\n" + indent + "}"
    return "[\n" + ",\n".join(deeper + _pretty(item, deeper) for item in value) + "\n" + indent + "]"
