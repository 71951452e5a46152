"""Services in Python and JavaScript: their entry is a command for the interpreter."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from harness.service.found import HEALTH, ROOT, Fact, Folder, Match, OwnService

_PYTHON_PORT = [
    r"\bport\s*[=:]\s*(\d{2,5})\b",
    r"PORT[\"'],\s*[\"']?(\d{2,5})",
    r"\(\s*[\"'][\d.]*[\"']\s*,\s*(\d{2,5})\s*\)",
]
_NODE_PORT = [
    r"PORT\s*(?:\|\||\?\?)\s*[\"']?(\d{2,5})",
    r"\.listen\(\s*(\d{2,5})",
    r"\b(?:port|PORT)\s*[=:]\s*[\"']?(\d{2,5})",
]


def python(folder: Folder) -> OwnService:
    """A server that the code asks for: gunicorn, uvicorn, Django's or Flask's own, or a script that serves itself."""
    files = folder.files(".py")
    findings: list[Fact] = []
    lock = next((name for name in ("requirements.txt", "pyproject.toml", "setup.py") if folder.has(name)), "")
    if lock:
        hashed = "--hash=" in (folder.text(lock) or "")
        findings.append(Fact(name="lock", value=lock, where=lock, why="with hashes" if hashed else "without hashes"))
    version = folder.find([r"requires-python\s*=\s*[\"'][^\d]*([\d.]+)"], ["pyproject.toml"])
    version = version or folder.find([r"^(?:python-)?(\d[\d.]*)\s*$"], [".python-version", "runtime.txt"])
    if version:
        findings.append(Fact(name="version", value=version.groups[0], where=version.where))
    needs = " ".join(filter(None, (folder.text(name) for name in ("requirements.txt", "pyproject.toml", "setup.py"))))
    entry, port, reason = _python_entry(folder, files, needs)
    install = _install(folder, lock, entry, findings)
    if reason:
        findings.append(Fact(name="entry", value=" ".join(entry), where=reason.where, why=reason.text[:60]))
    said = folder.find(_PYTHON_PORT, files)
    if said and not any(word in entry for word in ("uvicorn", "gunicorn", "flask", "runserver")):
        port = int(said.groups[0])
        findings.append(Fact(name="port", value=str(port), where=said.where, why=said.text[:60]))
    elif port:
        findings.append(Fact(name="port", value=str(port), where="default", why="the server is started with it"))
    return OwnService(
        folder=folder.path,
        language="python",
        kind="python",
        entry=entry,
        port=port,
        version=version.groups[0] if version else "",
        lock=lock,
        install=install,
        reads_port=bool(folder.find([r"environ\S*PORT"], files)),
        **_health(folder, files, findings),
    )


def _python_entry(folder: Folder, files: list[str], needs: str) -> tuple[tuple[str, ...], int, Match | None]:
    """Command after the interpreter, port, and what says so."""
    if said := folder.find([r"^web:\s*(.+)$"], ["Procfile"]):
        words = said.groups[0].replace("$PORT", "8000").replace("${PORT}", "8000").split()
        return ("-m", *words) if words[0] in ("gunicorn", "uvicorn", "flask") else tuple(words[1:]), 8000, said
    if said := folder.find([r"DJANGO_SETTINGS_MODULE[\"'],\s*[\"']([\w.]+)\.settings"], ["manage.py"]):
        if "gunicorn" in needs:
            return ("-m", "gunicorn", "--bind", "0.0.0.0:8000", f"{said.groups[0]}.wsgi"), 8000, said
        return ("manage.py", "runserver", "--noreload", "0.0.0.0:8000"), 8000, said
    if (said := folder.find([r"^(\w+)\s*=\s*(?:FastAPI|Starlette|Quart|Litestar)\("], files)) and "uvicorn" in needs:
        name = f"{_module(said.file)}:{said.groups[0]}"
        serves_itself = folder.find([r"uvicorn\.run\("], [said.file])
        if not serves_itself:
            return ("-m", "uvicorn", name, "--host", "0.0.0.0", "--port", "8000"), 8000, said
        return (said.file,), 8000, serves_itself
    if said := folder.find([r"^(\w+)\s*=\s*(?:\w+\.)?Flask\("], files):
        name = f"{_module(said.file)}:{said.groups[0]}"
        if "gunicorn" in needs:
            return ("-m", "gunicorn", "--bind", "0.0.0.0:8000", name), 8000, said
        return ("-m", "flask", "--app", name, "run", "--host", "0.0.0.0", "--port", "5000"), 5000, said
    mains = [name for name in ("main.py", "app.py", "server.py", "wsgi.py") if name in files]
    said = folder.find([r"^if __name__ == [\"']__main__[\"']"], [*mains, *files])
    if said:
        return (said.file,), 0, said
    return ((mains[0],), 0, Match(mains[0], mains[0], 1, ())) if mains else ((), 0, None)


def _install(folder: Folder, lock: str, entry: tuple[str, ...], findings: list[Fact]) -> str:
    """What pip installs of a project, with the group of optional dependencies that has its server."""
    if lock != "pyproject.toml" or entry[:1] != ("-m",):
        return "."
    project = toml(folder.text(lock)).get("project") or {}
    if any(re.match(rf"{entry[1]}\b", str(need)) for need in project.get("dependencies") or ()):
        return "."
    for group, needs in (project.get("optional-dependencies") or {}).items():
        if any(re.match(rf"{entry[1]}\b", str(need)) for need in needs):
            where = folder.find([rf"^{re.escape(group)}\s*="], [lock])
            findings.append(
                Fact(name="install", value=f".[{group}]", where=where.where if where else lock, why=entry[1])
            )
            return f".[{group}]"
    return "."


def _module(file: str) -> str:
    return re.sub(r"(/__init__)?\.py$", "", file).replace("/", ".")


def node(folder: Folder) -> OwnService:
    """What `npm start` runs, else `main` of package.json, else index.js or server.js."""
    files = folder.files(".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx")
    package = _json(folder.text("package.json"))
    findings: list[Fact] = []
    scripts = package.get("scripts") if isinstance(package.get("scripts"), dict) else {}
    assert isinstance(scripts, dict)
    start = str(scripts.get("start") or "")
    entry: tuple[str, ...] = ()
    line = folder.find([r"\"start\"\s*:\s*\"[^\"]+\""], ["package.json"])
    if match := re.match(r"(?:NODE_ENV=\S+\s+)?node\s+(.+)$", start):
        entry = tuple(match[1].split())
    elif start.startswith("next start"):
        entry = ("node_modules/next/dist/bin/next", "start")
        page = next((name for name in files if re.fullmatch(r"(?:src/)?(?:app/page|pages/index)\.[jt]sx?", name)), "")
        if page:
            findings.append(Fact(name="health", value="/", where=page, why="the page of Next.js"))
    elif start.startswith("nest start"):
        entry = ("dist/main.js",)
    elif isinstance(main := package.get("main"), str) and main:
        entry, line = (main,), folder.find([r"\"main\"\s*:"], ["package.json"])
    elif found := next((name for name in ("server.js", "index.js", "app.js", "src/index.js") if name in files), ""):
        entry, line = (found,), Match(found, found, 1, ())
    if entry and line:
        findings.append(Fact(name="entry", value=" ".join(entry), where=line.where, why=line.text[:60]))
    build = "build" if "build" in scripts and not folder.has(entry[0] if entry else "") else ""
    if build and (said := folder.find([r"\"build\"\s*:\s*\"[^\"]+\""], ["package.json"])):
        findings.append(Fact(name="build", value="npm run build", where=said.where, why=said.text[:60]))
    lock = next((name for name in ("package-lock.json", "npm-shrinkwrap.json") if folder.has(name)), "")
    if lock:
        findings.append(Fact(name="lock", value=lock, where=lock))
    version = folder.find([r"\"node\"\s*:\s*\"[^\d]*([\d.]+)"], ["package.json"])
    version = version or folder.find([r"^v?(\d[\d.]*)"], [".nvmrc", ".node-version"])
    if version:
        findings.append(Fact(name="version", value=version.groups[0], where=version.where))
    said = folder.find(_NODE_PORT, files)
    port = int(said.groups[0]) if said else 3000
    findings.append(
        Fact(name="port", value=str(port), where=said.where, why=said.text[:60])
        if said
        else Fact(name="port", value="3000", where="default", why="what Express, Next.js and NestJS use")
    )
    return OwnService(
        folder=folder.path,
        language="node",
        kind="node",
        entry=entry,
        port=port,
        version=version.groups[0] if version else "",
        lock=lock,
        build=build,
        reads_port=bool(folder.find([r"env\.PORT"], files)),
        **_health(folder, files, findings),
    )


def _json(text: str | None) -> dict[str, Any]:
    try:
        document = json.loads(text or "")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def toml(text: str | None) -> dict[str, Any]:
    """A TOML document, empty if it is none."""
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError:
        return {}


def _health(folder: Folder, files: list[str], findings: list[Fact]) -> dict[str, Any]:
    """The arguments `health` and `findings` of a OwnService."""
    return health_of(folder, files, findings)


def health_of(folder: Folder, files: list[str], findings: list[Fact]) -> dict[str, Any]:
    """The health path that a source file names, with all findings: arguments of a OwnService."""
    said = folder.find(HEALTH, files)
    if said:
        findings.append(Fact(name="health", value=said.groups[0], where=said.where, why=said.text[:60]))
        return {"health": said.groups[0], "findings": tuple(findings)}
    if found := next((finding for finding in findings if finding.name == "health"), None):
        return {"health": found.value, "findings": tuple(findings)}
    if said := folder.find(ROOT, files):
        findings.append(Fact(name="health", value="/", where=said.where, why=said.text[:60]))
        return {"health": "/", "findings": tuple(findings)}
    why = "no file names a health path: ready once the port accepts a connection"
    findings.append(Fact(name="health", value="none", where="default", why=why))
    return {"health": "", "findings": tuple(findings)}
