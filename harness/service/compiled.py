"""Services in Go, Rust and Java: their entry is what is built."""

from __future__ import annotations

import re

from harness.service.found import Fact, Folder, Match, OwnService
from harness.service.interpreted import health_of, toml

_DATA = ("templates", "static", "public", "web", "assets", "views", "migrations", "config", "locales")
_GO_PORT = [
    r"(?:ListenAndServe|\.Run|\.Start|\.Listen)\(\s*\"[\w.]*:(\d{2,5})\"",
    r"Addr:\s*\"[\w.]*:(\d{2,5})\"",
    r"[\"':](\d{4,5})\"",
]
_RUST_PORT = [
    r"[\"'](?:0\.0\.0\.0|127\.0\.0\.1|\[::\]):(\d{2,5})[\"']",
    r"\],\s*(\d{2,5})\)",
    r"\bport\b[^;\n]*?(\d{4,5})",
]
_JAVA_PORT = [
    r"^\s*(?:quarkus\.http|micronaut\.server|server)\.port\s*[=:]\s*(?:\$\{\w+:)?(\d{2,5})",
    r"^server:\s*\n\s+port:\s*(?:\$\{\w+:)?(\d{2,5})",
]
_JAVA_SOCKET = [
    r"\.start\((\d{2,5})\)",
    r"InetSocketAddress\([^)\n]*?(\d{2,5})\s*\)",
    r"[pP]ort\D{1,20}(\d{4,5})",
    r"ServerSocket\((\d{2,5})",
]


def go(folder: Folder) -> OwnService:
    """The main package: at the top, below cmd/, or wherever one is."""
    files = folder.files(".go")
    findings: list[Fact] = []
    version = folder.find([r"^go\s+([\d.]+)"], ["go.mod"])
    if version:
        findings.append(Fact(name="version", value=version.groups[0], where=version.where))
    main = folder.find([r"^func main\(\)"], files)
    entry: tuple[str, ...] = ()
    if main:
        place = main.file.rpartition("/")[0]
        entry = (f"./{place}" if place else ".",)
        findings.append(Fact(name="entry", value=entry[0], where=main.where, why=main.text))
    if folder.has("go.sum"):
        findings.append(Fact(name="lock", value="go.sum", where="go.sum"))
    cgo = folder.find([r"^\s*(?:import )?\"C\"$"], files) or folder.find(
        [r"mattn/go-sqlite3|confluent-kafka-go"], ["go.mod"]
    )
    if cgo:
        findings.append(Fact(name="cgo", value="needed", where=cgo.where, why=cgo.text))
    said = folder.find(_GO_PORT, files)
    return OwnService(
        folder=folder.path,
        language="go",
        kind="go",
        entry=entry,
        port=_port(said, findings, 8080),
        version=version.groups[0] if version else "",
        lock="go.sum" if folder.has("go.sum") else "",
        cgo=bool(cgo),
        data=_data(folder, findings),
        reads_port=bool(folder.find([r"(?:Getenv|LookupEnv)\(\"PORT\"\)"], files)),
        **health_of(folder, files, findings),
    )


def rust(folder: Folder) -> OwnService:
    """The binary of Cargo.toml: the only [[bin]], or the package's own name."""
    files = folder.files(".rs")
    findings: list[Fact] = []
    document = toml(folder.text("Cargo.toml"))
    package = document.get("package") or {}
    binaries = [str(entry.get("name")) for entry in document.get("bin") or () if isinstance(entry, dict)]
    name = binaries[0] if binaries else str(package.get("default-run") or package.get("name") or "")
    said = folder.find([rf"name\s*=\s*\"{re.escape(name)}\""], ["Cargo.toml"])
    if said:
        findings.append(Fact(name="entry", value=name, where=said.where, why=said.text))
    if folder.has("Cargo.lock"):
        findings.append(Fact(name="lock", value="Cargo.lock", where="Cargo.lock"))
    version = folder.find([r"rust-version\s*=\s*\"([\d.]+)"], ["Cargo.toml"])
    if version:
        findings.append(Fact(name="version", value=version.groups[0], where=version.where))
    return OwnService(
        folder=folder.path,
        language="rust",
        kind="rust",
        entry=(name,) if name else (),
        port=_port(folder.find(_RUST_PORT, files), findings, 8080),
        version=version.groups[0] if version else "",
        lock="Cargo.lock" if folder.has("Cargo.lock") else "",
        data=_data(folder, findings),
        reads_port=bool(folder.find([r"var(?:_os)?\(\"PORT\"\)"], files)),
        **health_of(folder, files, findings),
    )


def java(folder: Folder) -> OwnService:
    """By Maven or Gradle, or plain sources with a manifest."""
    files = folder.files(".java", ".kt", ".properties", ".yml", ".yaml")
    findings: list[Fact] = []
    main_class = ""
    build = next((name for name in ("pom.xml", "build.gradle.kts", "build.gradle") if folder.has(name)), "")
    text = folder.text(build) or "" if build else ""
    spring = folder.find([r"spring-boot"], [build]) if build else None
    kind = "java" if not build else ("spring" if spring else "maven") if build == "pom.xml" else "gradle"
    version = folder.find(
        [
            r"<(?:java\.version|maven\.compiler\.release|release)>(\d+)",
            r"languageVersion\D+(\d+)",
            r"sourceCompatibility\D+(\d+)",
            r"<(?:maven\.compiler\.(?:source|target)|jdk\.version)>(\d+)",
        ],
        [build] if build else [],
    )
    if version:
        findings.append(Fact(name="version", value=version.groups[0], where=version.where))
    if build:
        entry: tuple[str, ...] = (_jar(text, build),)
        findings.append(Fact(name="entry", value=entry[0], where=build, why="the jar that the build makes"))
        if kind == "maven" and not re.search(r"quarkus-maven-plugin|maven-shade|maven-assembly|micronaut-parent", text):
            started = folder.find([r"public static void main\(|^(?:suspend )?fun main\("], files)
            if started:
                # a top-level main() of Kotlin is in the class FileKt
                main_class = re.sub(r"^src/main/\w+/|\.\w+$", "", started.file).replace("/", ".")
                findings.append(
                    Fact(name="main", value=main_class, where=started.where, why="the jar has no libraries")
                )
    else:
        main = folder.find([r"^Main-Class:\s*(\S+)"], ["MANIFEST.MF"])
        entry = main.groups[:1] if main else ()
        if main:
            findings.append(Fact(name="entry", value=entry[0], where=main.where, why=main.text))
    settings = [name for name in files if not name.endswith((".java", ".kt"))]
    said = folder.find(_JAVA_PORT, settings)
    said = said or (None if spring else folder.find(_JAVA_SOCKET, files))
    port = _port(said, findings, 8080)
    known = health_of(folder, files, findings)
    if not known["health"] and build and (actuator := folder.find([r"spring-boot-starter-actuator"], [build])):
        others = tuple(finding for finding in known["findings"] if finding.name != "health")
        health = Fact(name="health", value="/actuator/health", where=actuator.where, why=actuator.text)
        known = {"health": "/actuator/health", "findings": (*others, health)}
    return OwnService(
        folder=folder.path,
        language="java",
        kind=kind,
        entry=entry,
        port=port,
        version=version.groups[0] if version else "",
        main=main_class,
        **known,
    )


def _jar(text: str, build: str) -> str:
    if "quarkus-maven-plugin" in text and build == "pom.xml":
        return "target/quarkus-app/quarkus-run.jar"
    if build == "pom.xml":
        plain = re.sub(
            r"<(parent|dependencies|dependencyManagement|profiles|plugins)>.*?</\1>", "", text, flags=re.DOTALL
        )
        if final := re.search(r"<finalName>([^<$]+)</finalName>", text):
            return f"target/{final.group(1)}.jar"
        parts = [re.search(rf"<{name}>([^<]+)</{name}>", plain) for name in ("artifactId", "version")]
        return "target/" + "-".join(part[1].strip() for part in parts if part) + ".jar"
    return "build/libs/*.jar"


def _port(said: Match | None, findings: list[Fact], default: int) -> int:
    if said is None:
        findings.append(Fact(name="port", value=str(default), where="default", why="no file names another"))
        return default
    findings.append(Fact(name="port", value=said.groups[0], where=said.where, why=said.text[:60]))
    return int(said.groups[0])


def _data(folder: Folder, findings: list[Fact]) -> tuple[str, ...]:
    """Folders at the top that a program may read when it runs, and that are not compiled into it."""
    embedded = folder.find([r"^//go:embed\s+(.+)$"], folder.files(".go"))
    inside = embedded.groups[0] if embedded else ""
    found = tuple(name for name in _DATA if (folder.path / name).is_dir() and name not in inside)
    findings.extend(Fact(name="data", value=name, where=f"{name}/", why="copied beside the program") for name in found)
    return found
