"""Copies of this checkout with few apps and strategies, runs of the main job in them, and what a run could leave."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from harness.host.undo import cgroup_roots

ROOT = Path(__file__).parents[2]
LIMIT = 1200  # s for one run on a shared machine, bases included
SESSION = secrets.token_hex(8)
os.environ["SESSION_OF_TESTS"] = SESSION  # shows which processes the tests started


def checkout(folder: Path, *, strategies: tuple[str, ...], apps: tuple[str, ...] = ("go",)) -> Path:
    """A copy of this checkout with some apps and strategies only.

    Its Dockerfiles have a comment that names this session, so no image of it was built before the session began.
    """
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests").mkdir()  # pyproject.toml names it
    for name in ("benchmarks/test_matrix.py", "variants/bases.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "apps").mkdir()
    for name in apps:
        shutil.copytree(ROOT / "apps" / name, folder / "apps" / name)
    for name in strategies:
        shutil.copytree(ROOT / "variants" / name, folder / "variants" / name)
    stamp(folder)
    return folder


def stamp(folder: Path) -> None:
    """Add a comment that names this session to every Dockerfile below `folder`."""
    for dockerfile in folder.rglob("*Dockerfile"):
        with dockerfile.open("a", encoding="utf-8") as file:
            file.write(f"\n# built in session {SESSION} of the tests\n")


def keeping(**more: str) -> dict[str, str]:
    """The environment of a run that may use images which an earlier test of this session has built."""
    return {**os.environ, "TARE_IMAGES": "auto", **more}


PROGRAM = """
package main

import (
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	text, _ := os.ReadFile("delay")
	delay, _ := time.ParseDuration(strings.TrimSpace(string(text)))
	time.Sleep(delay)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("up")) })
	http.ListenAndServe(":8080", nil)
}
"""
APP = """title = "A program that waits as long as the file delay says"
language = "go"
port = 8080
[ready]
path = "/"
equals = "up"
[[verify]]
path = "/"
equals = "up"
[source_change]
file = "main.go"
find = "time.Sleep(delay)"
replace = "time.Sleep(delay) // {n}"
[dependency_change]
file = "main.go"
find = "time.Sleep(delay)"
replace = "time.Sleep(delay) // {n}"
"""
SMALL = """ARG BASE_DISTROLESS_STATIC=gcr.io/distroless/static-debian13:nonroot
FROM ${BASE_DISTROLESS_STATIC}
WORKDIR /app
COPY server delay ./
COPY picture ./
USER 65532
EXPOSE 8080
ENTRYPOINT ["/app/server"]
"""


def small_checkout(folder: Path) -> Path:
    """A copy of this checkout with one cell, small-distroless: its program is already compiled, and its image is small.

    `set_small` changes what it waits for and what it weighs.
    """
    checkout(folder, strategies=("distroless",), apps=())
    small = folder / "apps" / "small"
    small.mkdir()
    (small / "main.go").write_text(PROGRAM)
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", "server", "main.go"]
    subprocess.run(command, cwd=small, env=environment, check=True)
    (small / "app.toml").write_text(APP)
    (small / "distroless.Dockerfile").write_text(SMALL)
    set_small(folder, delay="0s", picture=b"0")
    return folder


def set_small(folder: Path, *, delay: str, picture: bytes) -> None:
    """What small-distroless waits for before it listens, as Go writes durations, and a file that its image has."""
    (folder / "apps/small/delay").write_text(delay + "\n")
    (folder / "apps/small/picture").write_bytes(picture)


def app(folder: Path, name: str, *edits: tuple[str, str, str]) -> None:
    """A copy of the go app with some text replaced."""
    shutil.copytree(folder / "apps" / "go", folder / "apps" / name)
    for file, find, replace in edits:
        path = folder / "apps" / name / file
        text = path.read_text()
        assert find in text, f"{find!r} is not in {path}"
        path.write_text(text.replace(find, replace))


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "bench", *arguments]
    return subprocess.run(
        command, cwd=folder, env=keeping(), capture_output=True, text=True, timeout=LIMIT, check=False
    )


def left_behind(before: set[str]) -> set[str]:
    return traces() - before


def traces() -> set[str]:
    """Processes, links, mounts, cgroups and folders that a run could leave."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            arguments = (process / "cmdline").read_text().replace("\0", " ")
            if not arguments:  # a process that has ended, and that its parent has not asked for yet
                continue
            ours = "harness" in arguments and SESSION.encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if name in {"dockerd", "containerd", "nginx", "docker-registry"} or ours:
            found.add(f"process {process.name} {arguments[:80]}")
    found |= {f"link {link.name}" for link in Path("/sys/class/net").iterdir()}
    found |= {f"folder {path}" for path in Path("/run").glob("tare*")}
    found |= {f"cgroup {path}" for root in cgroup_roots() for path in root.iterdir() if path.is_dir()}
    found |= {f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines()}
    return found
