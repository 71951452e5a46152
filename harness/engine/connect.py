"""A connection to whatever engine answers: Docker or podman."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.engine.docker import DockerEngine
from harness.engine.endpoint import Endpoint, find_endpoint
from harness.engine.podman import PodmanEngine
from harness.engine.ssh import forwarded
from harness.errors import EngineError
from harness.host.reaper import Scope


def connect(endpoint: Endpoint | str, *, origin: str, cgroup: str = "", mounts: Path | None = None) -> DockerEngine:
    """The engine at an address, as the kind that it is. The other arguments are those of PodmanEngine. Raises
    EngineUnavailable.
    """
    engine = DockerEngine(endpoint, origin=origin)
    if engine.info.kind != "podman":
        return engine
    engine.close()
    return PodmanEngine(endpoint, origin=origin, cgroup=cgroup, mounts=mounts)


def answering(environ: Mapping[str, str] = os.environ, reaper: Scope | None = None) -> DockerEngine | None:
    """The first engine that answers, among the ones that `find_endpoint` names, as a system engine. One behind ssh://
    answers if there is a `reaper` to end its connection.
    """
    for endpoint in find_endpoint(environ):
        try:
            return connect(forwarded(endpoint, reaper) if reaper else endpoint, origin="system")
        except EngineError:
            continue
    return None
