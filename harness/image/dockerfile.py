"""A small, exact reader of Dockerfiles: where instructions begin and end, what stages are built on, and nothing more.

Rules from the Dockerfile reference and BuildKit's frontend/dockerfile/parser: parser directives, continuations with
comments and empty lines inside, here-documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SCRATCH = "scratch"

_DIRECTIVE = re.compile(r"\s*#\s*(?P<name>[A-Za-z][A-Za-z0-9]*)\s*=\s*(?P<value>.+?)\s*$")
_FLAG = re.compile(r"\s*--[a-z][\w-]*(?:=(?:\"[^\"]*\"|'[^']*'|\S)*)?(?=\s|$)")
_HEREDOC = re.compile(r"(?:^|(?<=\s))\d*<<(?P<chomp>-?)(?P<quote>[\"']?)(?P<name>\w+)(?P=quote)(?=[\s;|&>)]|$)")
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::?[-+?][^}]*)?\}|(?P<plain>\w+))")
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One logical instruction. Lines count from 1.

    `arguments` has continuations joined and comments taken out. `heredocs` are the bodies of here-documents.
    """

    keyword: str  # upper case
    arguments: str
    line: int
    last_line: int
    heredocs: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """--mount=…, --from=…, --platform=…: as written, in order."""
        found = []
        position = 0
        while match := _FLAG.match(self.arguments, position):
            found.append(match.group().strip())
            position = match.end()
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Stage:
    """A build stage. `base` is what FROM says: an image, an earlier stage's name, scratch or ${ARGUMENT}."""

    name: str  # lower case, as the builder compares it; "" without AS
    base: str
    line: int
    instructions: tuple[Instruction, ...]  # the flags of FROM


def instructions(text: str) -> Iterator[Instruction]:
    """Every instruction in order. A line that does not begin with a word is skipped: the builder reports it."""
    lines = text.split("\n")
    begins, continued = _patterns(_escape(lines))
    index = 0
    while index < len(lines):
        first = index
        index += 1
        match = begins.match(lines[first])
        if not match:
            continue
        pieces = [_without_end(lines[first][match.end() :])]
        more = continued.search(lines[first])
        if more:
            pieces = [_without_end(lines[first])[match.end() : more.start("escape")]]
        while more and index < len(lines):
            line = _without_end(lines[index])
            index += 1
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            more = continued.search(line)
            pieces.append(line[: more.start("escape")] if more else line)
        keyword, arguments = match["keyword"].upper(), "".join(pieces).strip()
        bodies: tuple[str, ...] = ()
        if keyword in _WITH_HEREDOCS:
            bodies, index = _heredocs(arguments, lines, index)
        yield Instruction(keyword, arguments, first + 1, index, bodies)


def stages(text: str) -> tuple[Stage, ...]:
    found: list[Stage] = []
    inside: list[Instruction] = []
    for instruction in instructions(text):
        if instruction.keyword == "FROM":
            if found:
                found[-1] = _closed(found[-1], inside)
            words = [word for word in instruction.arguments.split() if not word.startswith("--")]
            named = len(words) == 3 and words[1].upper() == "AS"
            found.append(Stage(words[2].lower() if named else "", words[0] if words else "", instruction.line, ()))
            inside = []
        else:
            inside.append(instruction)
    if found:
        found[-1] = _closed(found[-1], inside)
    return tuple(found)


def base_arguments(text: str) -> dict[str, str]:
    """Name → default of every ARG BASE_… before the first FROM, the only ARGs that FROM lines see."""
    found = {}
    for instruction in instructions(text):
        if instruction.keyword == "FROM":
            break
        if instruction.keyword == "ARG":
            for word in instruction.arguments.split():
                name, _, default = word.partition("=")
                if name.startswith("BASE_"):
                    found[name] = default.strip("\"'")
    return found


def last_stage_base(text: str) -> str:
    """What the last stage is built on in the end: the ARG's name, "scratch", or the image if it is written out.

    "" if there is no FROM.
    """
    base = ""
    earlier = list(stages(text))
    while earlier:
        base = earlier.pop().base
        names = [stage.name for stage in earlier]
        if base.lower() not in names:
            break
        earlier = earlier[: len(names) - names[::-1].index(base.lower())]
    match = _VARIABLE.fullmatch(base.strip("\"'"))
    return (match["braced"] or match["plain"]) if match else base


def _escape(lines: Sequence[str]) -> str:
    """Directives count only before everything else, and each only once."""
    seen: set[str] = set()
    for line in lines:
        match = _DIRECTIVE.match(line)
        if not match or match["name"].lower() in seen:
            break
        seen.add(match["name"].lower())
        if match["name"].lower() == "escape":
            return match["value"] if match["value"] in ("\\", "`") else "\\"
    return "\\"


def _patterns(escape: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A keyword at a line's start, and an escape at its end: not itself escaped, blanks may follow it."""
    end = rf"(?<!{re.escape(escape)})(?P<escape>{re.escape(escape)})[ \t\r]*$"
    return re.compile(rf"\s*(?P<keyword>[A-Za-z]+)(?=\s|$|{end})"), re.compile(end)


def _without_end(line: str) -> str:
    return line.removesuffix("\r")


def _heredocs(arguments: str, lines: Sequence[str], index: int) -> tuple[tuple[str, ...], int]:
    """Bodies of the here-documents an instruction opens, and the line after them.

    An unclosed here-document does not count: the builder reports it, and the following lines are still read.
    """
    bodies = []
    for match in _HEREDOC.finditer(arguments):
        body: list[str] = []
        for position in range(index, len(lines)):
            line = _without_end(lines[position])
            line = line.lstrip("\t") if match["chomp"] else line
            if line == match["name"]:
                index = position + 1
                bodies.append("\n".join(body))
                break
            body.append(line)
    return tuple(bodies), index


def _closed(stage: Stage, inside: Sequence[Instruction]) -> Stage:
    return Stage(stage.name, stage.base, stage.line, tuple(inside))
