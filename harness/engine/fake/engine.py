"""An engine in memory, for tests: the same contract, nothing to install, every duration chosen by the test.

    behaviour = Behaviour()
    engine = FakeEngine(behaviour, spend=clock.advance)
    behaviour.programs["tare.local/go-slim:1"] = FakeProgram(answer=lambda method, path: (200, b"hello"))

Builds, images and archives are real in form: a built image's one layer holds the files of its context, and ids are
digests of real JSON. Containers are `FakeProgram` records, and one that listens does so on a real loopback socket.
Steps of a build, layers of a pull and programs come from the `Behaviour`: set its fields, or override a method to raise
or to decide.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import ThreadingHTTPServer
from pathlib import Path

from harness.engine.contract import (
    BuildResult,
    ContainerSpec,
    ContainerState,
    EngineInfo,
    ExecResult,
    ImageInfo,
    PullResult,
    SecretsFor,
    Stream,
)
from harness.engine.fake.behaviour import Behaviour, FakeProgram, hex_of
from harness.engine.fake.http import serve
from harness.engine.fake.image import FakeImage, digest_of, tar
from harness.engine.image_names import ours, split
from harness.errors import BuildFailed, ContainerFailed, EngineError, PullFailed
from harness.image.context import BuildContext
from harness.settings import LABEL

INFO = EngineInfo(
    kind="fake",
    version="1.0",
    api_version="1.0",
    storage_driver="memory",
    image_store="classic",
    runtime="fake 1.0",
    kernel="0.0",
    architecture="amd64",
    cpus=2,
    memory=8 << 30,
    cgroup="2",
    rootless=False,
    local=True,
    origin="fake",
    endpoint="fake://",
)

_LOOPBACK = "127.0.0.1"
# for containers' addresses: engines of one process, and of several processes, differ
_NUMBERS = itertools.count(os.getpid() * 97)


@dataclass(slots=True)
class _Container:
    spec: ContainerSpec
    program: FakeProgram
    address: str  # where it listens
    started: bool = False
    ports: dict[int, int] = field(default_factory=dict)
    servers: list[ThreadingHTTPServer] = field(default_factory=list)


class FakeEngine:
    """`calls` logs every call as "method argument", in order. Engines given the same `registry` pull what others push.

    With `addresses` each container with a network of its own listens at a loopback address of its own, on the very port
    that its program listens on, as on a real engine. Containers on the network "host" then listen at `host`.

    `spend` is called with the seconds that each build, pull and start takes: a fake clock's advance, or time.sleep.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        origin: str = "fake",
        registry: dict[str, FakeImage] | None = None,
        spend: Callable[[float], object] = lambda _: None,
        addresses: bool = False,
        host: str = _LOOPBACK,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.calls: list[str] = []
        self.registry = {} if registry is None else registry
        self._spend = spend
        self._addresses = addresses
        self._host = host
        self._info = replace(INFO, origin=origin)
        self._images: dict[str, FakeImage] = {}
        self._names: dict[str, str] = {}
        self._built: set[tuple[str, str, str]] = set()
        self._containers: dict[str, _Container] = {}
        self._created = 0

    @property
    def info(self) -> EngineInfo:
        return self._info

    # Images

    def build(
        self,
        *,
        context: BuildContext,
        tag: str,
        arguments: Mapping[str, str] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        secrets_for: SecretsFor | None = None,
        target: str = "",
        no_cache: bool = False,
        network: str = "default",
        timeout: float = 1800.0,
        contexts: Mapping[str, str] | None = None,
    ) -> BuildResult:
        del secrets, secrets_for, network, contexts
        self._log("build", tag)
        files = {entry.path: b"".join(entry.read()) for entry in context.entries() if entry.is_file}
        layer = tar(files)
        key = (context.digest(), json.dumps(dict(arguments or {}), sort_keys=True), target)
        steps = self.behaviour.build(tag, _instructions(context.dockerfile), key in self._built and not no_cache)
        seconds = max((step.started + step.seconds for step in steps), default=0.0)
        if seconds > timeout:
            self._spend(timeout)
            raise BuildFailed(f"no end within {timeout:g} s", step=steps[-1].name)
        self._spend(seconds)
        self._built.add(key)
        env = [f"{name}={value}" for name, value in (arguments or {}).items()]
        image = self._add(FakeImage.of((layer,), {"Env": env, "Labels": {LABEL: "1"}}, INFO.architecture))
        self._names[_full(tag)] = image
        return BuildResult(image=image, seconds=seconds, steps=steps)

    def prune_builds(self, *, mounts_only: bool = False) -> int:
        self._log("prune_builds", "mounts" if mounts_only else "")
        if self._info.origin == "system":
            raise EngineError("the build cache of this engine belongs to others too", fix="Build with no_cache=True.")
        if not mounts_only:
            self._built.clear()
        return 0

    def load(self, archive: Path, *, tag: str) -> str:
        self._log("load", tag)
        try:
            image = FakeImage.from_archive(archive.read_bytes())
        except (OSError, ValueError) as error:
            raise EngineError(f"no image archive: {error}", where=str(archive)) from error
        self._names[_full(tag)] = self._add(image)
        return image.id

    def save(self, image: str) -> Iterator[bytes]:
        self._log("save", image)
        found = self._need(image)
        yield found.archive([name for name, known in self._names.items() if known == found.id])

    def inspect(self, image: str) -> ImageInfo | None:
        found = self._find(image)
        if found is None:
            return None
        return ImageInfo(
            id=found.id,
            diff_ids=found.diff_ids,
            config=found.runtime,
            labels=found.labels,
            architecture=INFO.architecture,
            size=sum(map(len, found.layers)),
        )

    def images(self) -> Sequence[str]:
        return [image for image in self._images if self._is_ours(image)]

    def tag(self, image: str, name: str) -> None:
        self._log("tag", f"{image} {name}")
        self._names[_full(name)] = self._need(image).id

    def remove_image(self, image: str) -> None:
        self._log("remove_image", image)
        found = self._find(image)
        if found is None:
            return
        if not (LABEL in found.labels or ours(image) or (image == found.id and self._is_ours(image))):
            raise EngineError("this image is not Tare's, so it stays", where=image)
        by_id = image == found.id
        gone = [name for name, known in self._names.items() if known == found.id and (by_id or name == _full(image))]
        for name in gone:
            if LABEL in found.labels or ours(name):
                del self._names[name]
        if found.id not in self._names.values():
            del self._images[found.id]

    def push(self, name: str) -> str:
        self._log("push", name)
        found = self._need(name)
        self.registry[_full(name)] = found
        return found.manifest_digest

    def pull(self, name: str, *, timeout: float = 900.0) -> PullResult:
        self._log("pull", name)
        found = self._remote(name)
        present = [layer for known in self._images.values() for layer in known.diff_ids]
        layers = self.behaviour.pull(name, found.diff_ids, present)
        seconds = max((layer.complete or 0.0 for layer in layers), default=0.0)
        self._spend(min(seconds, timeout))
        if seconds > timeout:
            raise PullFailed(f"no end within {timeout:g} s", where=name)
        self._names[_full(name)] = self._add(found)
        return PullResult(seconds=seconds, layers=layers, digest=found.manifest_digest)

    def resolve(self, name: str, *, timeout: float = 10.0) -> str:
        del timeout
        self._log("resolve", name)
        return self._remote(name).manifest_digest

    # Containers

    def create(self, spec: ContainerSpec) -> str:
        self._log("create", spec.image)
        if self._find(spec.image) is None:
            raise ContainerFailed(f"No such image: {spec.image}", where=spec.image)
        self._created += 1
        container = hex_of(digest_of(str(self._created).encode()))
        self._containers[container] = _Container(spec, self.behaviour.program(spec), self._address(spec))
        return container

    def start(self, container: str) -> None:
        self._log("start", container)
        found = self._container(container)
        self._spend(self.behaviour.start_seconds)
        if found.program.fails:
            raise ContainerFailed(found.program.fails, where=container[:12])
        found.started = True
        if found.program.answer is None or found.program.exit_code is not None:
            return
        owner = self._network_of(found)
        for port in {found.program.port, *found.spec.ports}:
            if self._addresses:
                found.servers.append(serve(found.program.answer, owner.address, port))
            published = serve(found.program.answer, _LOOPBACK, found.spec.ports.get(port, 0))
            found.servers.append(published)
            owner.ports[port] = published.server_port

    def state(self, container: str) -> ContainerState:
        """`address` is loopback; `ports` maps every port that is listened on to the real one there, also for a
        container whose network another one has joined."""
        found = self._container(container)
        running = found.started and found.program.exit_code is None
        own = running and not found.spec.network.startswith(("container:", "host", "none"))
        return ContainerState(
            running=running,
            exit_code=127 if found.program.fails else found.program.exit_code if found.started else None,
            oom_killed=found.started and found.program.oom_killed,
            error=found.program.fails,
            address=found.address if own else "",
            ports=dict(self._network_of(found).ports),
        )

    def wait(self, container: str, *, timeout: float = 60.0) -> int:
        self._log("wait", container)
        state = self.state(container)
        if state.exit_code is None:
            self._spend(timeout)
            raise EngineError(f"still running after {timeout:g} s", where=container[:12])
        return state.exit_code

    def logs(self, container: str, *, tail: int = 40) -> str:
        found = self._container(container)
        lines = found.program.output.splitlines(keepends=True) if found.started else []
        return "".join(lines[max(0, len(lines) - tail) :])

    def log_since(self, container: str, since: float = 0.0) -> Sequence[tuple[float, str]]:
        return [(max(since, time.time()), line) for line in self.logs(container, tail=1 << 30).splitlines()]

    def run_in(self, container: str, command: Sequence[str]) -> ExecResult:
        self._log("run_in", f"{container} {' '.join(command)}")
        if not self.state(container).running:
            raise EngineError(f"Container {container} is not running", where=container[:12])
        return self.behaviour.command(self._container(container).spec, command)

    def attach(self, container: str, command: Sequence[str]) -> Stream:
        """The programs of an engine in memory have no input."""
        raise EngineError(f"{command[0]} has no input", where=container[:12])

    def remove(self, container: str) -> None:
        self._log("remove", container)
        if found := self._containers.pop(container, None):
            _stop(found)

    def containers(self) -> Sequence[str]:
        return list(self._containers)

    def close(self) -> None:
        """Also ends the servers of containers that still listen, since nobody else could."""
        for container in self._containers.values():
            _stop(container)

    # Private

    def _log(self, method: str, argument: str) -> None:
        self.calls.append(f"{method} {argument}".strip())

    def _add(self, image: FakeImage) -> str:
        self._images[image.id] = image
        return image.id

    def _find(self, image: str) -> FakeImage | None:
        return self._images.get(image) or self._images.get(self._names.get(_full(image), ""))

    def _need(self, image: str) -> FakeImage:
        if found := self._find(image):
            return found
        raise EngineError(f"No such image: {image}", where=image)

    def _is_ours(self, image: str) -> bool:
        return LABEL in self._images[image].labels or any(ours(n) for n, known in self._names.items() if known == image)

    def _remote(self, name: str) -> FakeImage:
        if found := self.registry.get(_full(name)):
            return found
        raise PullFailed("manifest unknown", where=name)

    def _address(self, spec: ContainerSpec) -> str:
        """Where a container listens: Linux takes every address of 127.0.0.0/8 for this machine's own."""
        if not self._addresses:
            return _LOOPBACK
        if spec.network == "host":
            return self._host
        number = next(_NUMBERS)
        return f"127.{100 + number // 62500 % 100}.{number // 250 % 250}.{1 + number % 250}"

    def _container(self, container: str) -> _Container:
        if found := self._containers.get(container):
            return found
        raise EngineError(f"No such container: {container}", where=container[:12])

    def _network_of(self, container: _Container) -> _Container:
        kind, _, joined = container.spec.network.partition(":")
        return self._container(joined) if kind == "container" else container


def _instructions(dockerfile: bytes) -> list[str]:
    lines = dockerfile.decode().replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _stop(container: _Container) -> None:
    for server in container.servers:
        server.shutdown()
        server.server_close()
    container.servers.clear()
    container.ports.clear()


def _full(name: str) -> str:
    """The name with its tag: "latest" if it has none."""
    return ":".join(split(name))
