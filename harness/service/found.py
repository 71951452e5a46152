"""What is known of a service, and which file and line says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = {"node_modules", "vendor", "target", "build", "dist", "venv", "__pycache__", "test", "tests", "results"}
_MOST_FILES = 2000
_TEST = re.compile(r"(_test\.go|\.test\.[jt]s|\.spec\.[jt]s|/test_\w+\.py)$")
_LARGEST = 1 << 20  # B; no source file that names a port is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact of a service. `where` is a file with its line, a flag, or "default"."""

    name: str  # language, version, entry, port, lock, health …
    value: str
    where: str
    why: str = ""

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        return f"{self.name:9} {self.value:32} {self.where}{reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnService:
    """A service as it was found.

    `entry` is the command for an interpreter (python, node), the package to build (go), the program (rust) or the jar
    (java). `kind` chooses the Dockerfiles: go, python, node, java, maven, gradle, spring, rust.
    """

    folder: Path
    language: str
    kind: str
    entry: tuple[str, ...]
    port: int  # 0: a job, which ends by itself
    version: str = ""
    health: str = ""  # "": ready once the port accepts
    lock: str = ""
    install: str = "."  # python: the project, with the extras that its server is in
    main: str = ""  # java without a jar that starts by itself: the class with main()
    build: str = ""  # node: the script that builds it; "" if none does
    cgo: bool = False
    data: tuple[str, ...] = ()  # folders that a compiled program reads when it runs
    reads_port: bool = False  # whether it takes the port from the variable PORT
    findings: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of a file that says something."""

    text: str
    file: str
    line: int
    groups: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


class Folder:
    """The files of a service, without those of tools, dependencies and tests."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, name: str) -> str | None:
        """A file's text; None if there is no such file, or if it is not text."""
        path = self.path / name
        try:
            if path.stat().st_size > _LARGEST:
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def files(self, *suffixes: str) -> list[str]:
        """Paths of the files with one of these suffixes, those near the top first."""
        found: list[str] = []
        for file in self._walk(self.path):
            name = file.relative_to(self.path).as_posix()
            if file.suffix in suffixes and not _TEST.search(name):
                found.append(name)
            if len(found) >= _MOST_FILES:
                break
        return sorted(found, key=lambda name: (name.count("/"), name))

    def _walk(self, folder: Path) -> Iterator[Path]:
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            return
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.is_file():
                yield entry
            elif entry.is_dir() and entry.name not in _SKIPPED and not entry.name.startswith("."):
                yield from self._walk(entry)

    def find(self, patterns: Sequence[str], files: Sequence[str]) -> Match | None:
        """The first match of the first pattern that matches in any of the files."""
        texts = [(name, text) for name in files if (text := self.text(name)) is not None]
        for pattern in patterns:
            compiled = re.compile(pattern, re.MULTILINE)
            for name, text in texts:
                if match := compiled.search(text):
                    line = text.count("\n", 0, match.start()) + 1
                    groups = tuple(group or "" for group in match.groups())
                    return Match(match.group(0).strip(), name, line, groups)
        return None


HEALTH = [
    r"[\"'`](/actuator/health)[\"'`]",
    r"[\"'`](/(?:_?healthz?|health/(?:live|ready)|healthcheck|livez|readyz?|ping|up|status))/?[\"'`]",
    r"(?:GET|HandleFunc|Handle|get|route)\W{1,4}[\"'`](?:GET )?(/(?:healthz?|livez|readyz?|ping|up|status))/?[\"'`]",
    r"[\"'`]GET (/(?:healthz?|livez|readyz?|ping|up|status))[\"'`]",
]
ROOT = [  # what answers at / with a page or a text, as frameworks write it
    r"@Get\(\)|@GetMapping(?:\(\"/\"\)|\s*$)|@Path\(\"/\"\)",
    r"(?:\.route|\.get|\.GET|HandleFunc|\.Handle)\(\s*[\"'`](?:GET )?/(?:\{\$\})?[\"'`]",
]
