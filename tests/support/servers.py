"""A small server in an image of its own, started in an engine, and a network that an engine is asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from harness.engine.contract import ContainerSpec
from harness.engine.docker import DockerEngine

SERVER = """
package main

import "net/http"

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("up")) })
	http.ListenAndServe(":8080", nil)
}
"""


def until(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def server_archive(folder: Path, source: str = SERVER) -> Path:
    """A tar with nothing but a static program in it, /server: `docker import` makes an image of that."""
    (folder / "main.go").write_text(source)
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go here to make a static program with")
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run([go, "build", "-o", "server", "main.go"], cwd=folder, env=environment, check=True)
    with tarfile.open(folder / "server.tar", "w") as archive:
        archive.add(folder / "server", "server")
    return folder / "server.tar"


def start_server(engine: DockerEngine, archive: Path, network: str = "default") -> str:
    import docker

    with contextlib.closing(docker.APIClient(engine.info.endpoint)) as client:
        client.import_image(str(archive), repository="server", tag="1")
    container = engine.create(ContainerSpec(image="server:1", command=["/server"], network=network))
    engine.start(container)
    return container


def make_network(endpoint: str) -> str:
    """Ask an engine for a network; returns the name of its bridge."""
    import docker

    with contextlib.closing(docker.APIClient(endpoint)) as client:
        return "br-" + client.create_network("asked-for")["Id"][:12]
