"""The registry of an engine that is on another machine: in a container of that engine, so that 127.0.0.1 is its own.

An engine pushes to and pulls from 127.0.0.1 without TLS, and that is the loopback address of its machine. So the
registry runs there, from the distribution's program and the libraries that it needs, in an image without a base. A
tunnel brings the same port of this machine's loopback address to it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.engine.contract import ContainerSpec, Engine
from harness.errors import EngineError, LabError
from harness.image import archive
from harness.lab.registry import LOOPBACK, RegistryReader, host_architecture
from harness.lab.test_bed import TOOL_HOLDER
from harness.lab.tunnel import Tunnel
from harness.settings import IMAGE_PREFIX, LABEL

if TYPE_CHECKING:
    from harness.host.reaper import Scope

IMAGE = f"{IMAGE_PREFIX}registry:latest"
_PROGRAM = "docker-registry"
_CONFIGURATION = "/registry.json"
_PORTS = (20_000, 32_000)  # below the range from which Linux chooses free ports
_TRIES = 8  # another program may use the port there, although it is free here
_READY = 15.0  # s
_POLL = 0.02  # s


class RegistryInEngine(RegistryReader):
    """A registry in a container of `engine`, for as long as its `with` block lasts. Its storage goes with it.

    Raises LabError if it cannot be started, and EngineError if the engine runs no containers.
    """

    def __init__(self, engine: Engine, reaper: Scope, *, announce: Callable[[str], None] = lambda _: None) -> None:
        self._engine = engine
        self._reaper = reaper
        self._announce = announce
        self.relays = ""  # a container on the engine's own network, that relays run in

    def __enter__(self) -> Self:
        there, here = self._engine.info.architecture, host_architecture()
        if there != here:
            raise LabError(
                f"the engine runs on {there} and this machine on {here}, so this machine's registry does not run there",
                where=self._engine.info.endpoint,
                fix=f"Use an engine on {here}.",
            )
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(self._reaper.scope())
            token = secrets.token_hex(4)
            scope.objects(self._engine.info.endpoint, f"{LABEL}.registry={token}")
            self._load()
            labels = {f"{LABEL}.registry": token}
            self.relays = self._engine.create(
                ContainerSpec(image=TOOL_HOLDER.image, command=TOOL_HOLDER.command, network="host", labels=labels)
            )
            stack.callback(self._remove, self.relays)
            self._engine.start(self.relays)
            for left in reversed(range(_TRIES)):
                attempt = stack.enter_context(contextlib.ExitStack())
                try:
                    self._start(attempt, labels)
                    break
                except LabError:
                    attempt.close()
                    if not left:
                        raise
            self._running = stack.pop_all()
        self._announce(f"registry: in a container of the engine, at its {self.push}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, stack: contextlib.ExitStack, labels: dict[str, str]) -> None:
        """At a port that is free on both machines. Raises LabError."""
        low, high = _PORTS
        self.port = low + secrets.randbelow(high - low)
        relay = ["/tool", "relay", self.push]
        stack.enter_context(Tunnel(lambda: self._engine.attach(self.relays, relay), port=self.port))
        spec = ContainerSpec(image=IMAGE, env={"REGISTRY_HTTP_ADDR": self.push}, network="host", labels=labels)
        container = self._engine.create(spec)
        stack.callback(self._remove, container)
        self._engine.start(container)
        deadline = time.monotonic() + _READY
        while self._engine.state(container).running and time.monotonic() < deadline:
            with contextlib.suppress(LabError), self._get("/v2/"):
                return
            time.sleep(_POLL)
        said = self._engine.logs(container).strip().splitlines()[-1:]
        raise LabError(
            f"the registry in the engine did not start: {said[0] if said else 'no answer'}",
            where=self._engine.info.endpoint,
        )

    def _remove(self, container: str) -> None:
        with contextlib.suppress(EngineError):  # the engine itself may be gone, and the container with it
            self._engine.remove(container)

    def _load(self) -> None:
        from harness.host.packages import ensure

        program = ensure({_PROGRAM: _PROGRAM}, announce=self._announce, reaper=self._reaper)[_PROGRAM]
        with tempfile.TemporaryDirectory() as folder:
            self._engine.load(registry_image(Path(program), Path(folder)), tag=IMAGE)


def registry_image(program: Path, folder: Path) -> Path:
    """An image with this program, its libraries and a configuration, as an archive in `folder`.

    Raises LabError if a library is missing.
    """
    root = folder / "root"
    for path in (program, *libraries(program)):
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": "/storage"},
            "delete": {"enabled": False},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"{LOOPBACK}:0", "relativeurls": True},
    }
    (root / _CONFIGURATION[1:]).write_text(json.dumps(configuration), encoding="utf-8")  # JSON is valid YAML
    layer = archive.write_layer(root, folder / "layer.tar", before={}, epoch=0, since=0.0)
    path = (folder / "layer.tar").rename(folder / f"{layer.diff_id.removeprefix('sha256:')}.tar")
    config = archive.image_config(
        architecture=host_architecture(),
        diff_ids=[layer.diff_id],
        history=["tare: the registry of this machine's distribution"],
        config={"Entrypoint": [str(program), "serve", _CONFIGURATION], "Labels": {LABEL: "registry"}},
        epoch=0,
    )
    archive.write_archive(folder / "image.tar", config=config, layers=[path], name=IMAGE)
    return folder / "image.tar"


def libraries(program: Path) -> list[Path]:
    """The loader and the shared libraries of a program, by ldd(1); none for a static one. Raises LabError."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, timeout=20)
    found = []
    for line in done.stdout.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        path = (path if arrow else name).partition(" (")[0]
        if path == "not found":
            raise LabError(f"{name} is missing, which the program needs", where=str(program))
        if path.startswith("/"):
            found.append(Path(path))
    return found
