"""Reading a folder: which language, version, entry point, port, lock file and health path a service has.

Each fact comes from a file and line that the finding names. A flag or an app.toml in the folder overrides a fact.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.image.dockerfile import instructions
from harness.service.compiled import go, java, rust
from harness.service.found import Fact, Folder, OwnService
from harness.service.interpreted import node, python

APP = "app.toml"
TABLE = "try"  # of app.toml: what a catalogue does not need
_LANGUAGES: Mapping[str, tuple[tuple[str, ...], Callable[[Folder], OwnService]]] = {
    "go": (("go.mod",), go),
    "rust": (("Cargo.toml",), rust),
    "java": (("pom.xml", "build.gradle", "build.gradle.kts", "MANIFEST.MF"), java),
    "node": (("package.json",), node),
    "python": (("requirements.txt", "pyproject.toml", "setup.py", "manage.py"), python),
}
OVERRIDES = ("language", "version", "entry", "port", "lock", "health")


def detect(path: Path, given: Mapping[str, str] | None = None, *, job: bool = False) -> OwnService:
    """The service in a folder. `given` are facts by name that a user gave. A job has no port: it ends by itself.
    Raises UsageError if nothing is found.
    """
    if not path.is_dir():
        raise UsageError("no such folder", where=str(path), fix="Name the folder of a service.")
    folder = Folder(path)
    facts = {**_from_app(folder), **{name: (value, f"--{name}") for name, value in (given or {}).items() if value}}
    language, where = facts.get("language", ("", ""))
    if not language:
        language, where = _language(folder)
    if language not in _LANGUAGES:
        what = f"{language!r} is not a language that Tare writes Dockerfiles for"
        raise UsageError(what, where=str(path), fix=f"Use one of {', '.join(_LANGUAGES)}.")
    service = _with_exposed(folder, _LANGUAGES[language][1](folder))
    service = replace(service, findings=(Fact(name="language", value=language, where=where), *service.findings))
    for name, (value, origin) in facts.items():
        if name not in ("language", "until"):
            service = _overridden(service, name, value, origin)
    if not service.entry:
        raise UsageError(
            "no entry point was found", where=str(path), fix="Give it with --entry, such as --entry 'app.py'."
        )
    if job or "until" in facts:
        others = tuple(finding for finding in service.findings if finding.name not in ("port", "health"))
        until = Fact(name="until", value="exit", where="--until" if job else APP, why="a job, which needs no port")
        service = replace(service, port=0, health="", reads_port=False, findings=(*others, until))
    elif not service.port:
        fix = "Give it with --port 8080. If it is a job that ends by itself, use --until exit."
        raise UsageError("no port was found", where=str(path), fix=fix)
    return service


def _language(folder: Folder) -> tuple[str, str]:
    for language, (names, _) in _LANGUAGES.items():
        if found := next((name for name in names if folder.has(name)), ""):
            return language, found
    suffixes = {".go": "go", ".py": "python", ".js": "node", ".mjs": "node", ".java": "java", ".rs": "rust"}
    for suffix, language in suffixes.items():
        if files := folder.files(suffix):
            return language, files[0]
    known = ", ".join(name for names, _ in _LANGUAGES.values() for name in names)
    raise UsageError("no service was found", where=str(folder.path), fix=f"Tare looks for {known}.")


def _with_exposed(folder: Folder, service: OwnService) -> OwnService:
    """The port of the user's own Dockerfile, which is where a container is reached."""
    text = folder.text("Dockerfile") or ""
    for instruction in instructions(text):
        number = instruction.arguments.split("/")[0].strip()
        if instruction.keyword == "EXPOSE" and number.isdigit() and int(number) != service.port:
            return _overridden(service, "port", number, f"Dockerfile:{instruction.line}")
    return service


def _from_app(folder: Folder) -> dict[str, tuple[str, str]]:
    """What app.toml in the folder says, by fact. Raises UsageError if it is not TOML."""
    text = folder.text(APP)
    if text is None:
        return {}
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}", where=str(folder.path / APP)) from error
    ready = document.get("ready")
    found: dict[str, object] = {name: document.get(name) for name in ("language", "port")}
    found["health"] = ready.get("path") if isinstance(ready, dict) else None
    table = document.get(TABLE)
    if isinstance(table, dict):
        found |= {name: value for name, value in table.items() if name in (*OVERRIDES, "until")}
    return {name: (str(value), APP) for name, value in found.items() if value}


def _overridden(service: OwnService, name: str, value: str, origin: str) -> OwnService:
    changes: dict[str, Any] = {name: value}
    if name == "port":
        if not value.isdigit() or not 0 < int(value) < 65536:
            raise UsageError(f"{value!r} is no port", where=origin, fix="Use a number from 1 to 65535.")
        entry = tuple(word.replace(str(service.port), value) if service.port else word for word in service.entry)
        changes = {"port": int(value), "entry": entry}
    elif name == "entry":
        changes = {"entry": tuple(value.split())}
    elif name == "health" and value == "none":
        changes = {"health": ""}
    elif name == "health" and not value.startswith("/"):
        raise UsageError(f"{value!r} is no path", where=origin, fix="Write it as /health, or as none.")
    others = tuple(finding for finding in service.findings if finding.name != name)
    return replace(service, findings=(*others, Fact(name=name, value=value, where=origin)), **changes)


def app_toml(service: OwnService, title: str) -> str:
    """An app.toml with what was found: `tare try` reads it, and so does a catalogue."""
    lines = [f'title = "{title}"', f'language = "{service.language}"']
    lines += [f"port = {service.port}", ""] if service.port else [""]
    if service.health:
        lines += ["[ready]", f'path = "{service.health}"', ""]
    lines += [f"[{TABLE}]", f'entry = "{" ".join(service.entry)}"']
    lines += [] if service.port else ['until = "exit"']
    lines += [f'{name} = "{value}"' for name in ("version", "lock") if (value := getattr(service, name))]
    return "\n".join(lines) + "\n"
