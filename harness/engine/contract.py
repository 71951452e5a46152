"""What Tare asks of a container engine. `docker.py` implements it on the Engine API, `fake/` in memory for unit tests.
Nothing here is specific to Docker beyond the terms of the OCI specifications.

Times are seconds of the harness's monotonic clock unless a field says otherwise; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.engine.limits import Limits
from harness.engine.plan import RunStep, SecretsFor
from harness.image.context import BuildContext

__all__ = ["RunStep", "SecretsFor"]  # what a build may do to its steps is part of the contract


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What answers. `kind` is docker, podman or fake; `origin` is system, private, node or fake."""

    kind: str
    version: str
    api_version: str
    storage_driver: str
    image_store: str  # classic | containerd
    runtime: str  # runc 1.1.5
    kernel: str
    architecture: str  # amd64, arm64: as OCI names it
    cpus: int
    memory: int  # B
    cgroup: str  # 1 | 2
    rootless: bool
    local: bool  # this machine reaches its containers' addresses and shares files with it
    origin: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One vertex of a build, from BuildKit's trace. Times are seconds from the build's t0."""

    name: str  # "[build 2/4] RUN …"
    started: float
    seconds: float
    cached: bool
    error: str = ""
    inputs: tuple[str, ...] = ()  # digests of the steps that it waits for
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """An image was built. `seconds` is wall time from the API call to the last byte of its answer."""

    image: str  # sha256:… image id
    seconds: float
    steps: tuple[Step, ...]
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPull:
    """One layer's way through a pull. Times are seconds from the pull's t0; absent if the engine was silent.

    A layer that was already there has `reused` True and no times.
    """

    layer: str  # short id as the engine prints it
    reused: bool
    download_start: float | None = None
    download_end: float | None = None
    extract_start: float | None = None
    complete: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    seconds: float
    layers: tuple[LayerPull, ...]
    digest: str = ""  # manifest digest, if the engine reports it


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    id: str
    diff_ids: tuple[str, ...]  # digests of the unpacked layers, lowest first
    config: Mapping[str, object]  # the OCI image config's "config" object: Env, Cmd, User …
    labels: Mapping[str, str]
    architecture: str
    size: int  # as the engine reports it: it depends on the image store, so no headline shows it


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """How to create a container.

    `network` is "default" (the engine's own bridge), "host", "none" or "container:<id>".
    """

    image: str
    command: Sequence[str] | None = None  # None: the command of the image
    entrypoint: Sequence[str] | None = None  # None: the image's own
    env: Mapping[str, str] = field(default_factory=dict)
    network: str = "default"
    pid: str = ""  # "container:<id>" shares that container's process namespace
    limits: Limits | None = None  # None: no limits, for containers of our own
    memory: int | None = None  # B, instead of the memory of `limits`
    read_only: bool = False
    cap_drop: Sequence[str] = ()
    cap_add: Sequence[str] = ()
    security_opt: Sequence[str] = ()
    privileged: bool = False
    user: str = ""
    binds: Sequence[str] = ()  # host:container[:ro]
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)  # container port → loopback port of the host, 0 any
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    running: bool
    exit_code: int | None  # None while running
    oom_killed: bool
    error: str
    address: str  # on the engine's network; "" if it has none of its own
    ports: Mapping[int, int]  # container port → host port


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    exit_code: int
    output: str


class Stream(Protocol):
    """A running command's input and output, for two threads: one sends, one receives."""

    def send(self, data: bytes) -> None:
        """Raises OSError if the command has ended."""
        ...

    def receive(self) -> bytes:
        """The next bytes of its output; b"" at its end. Raises OSError."""
        ...

    def close(self) -> None:
        """The end of its input, and of the stream."""
        ...


class Engine(Protocol):
    """A container engine. All methods raise EngineError (or the subclass named) with the engine's own words.

    Whatever is created carries settings.LABEL; `remove_*` and `prune_*` touch nothing without it. The exception is
    `prune_builds`: it always empties the whole build cache, so it is refused on an engine that is not ours
    (`info.origin` other than private or node).
    """

    @property
    def info(self) -> EngineInfo: ...

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
        """Build `context` with BuildKit, as it is. Raises BuildFailed with step and log tail.

        `secrets` (by id) are what RUN --mount=type=secret,id=… reads; `secrets_for` says which of them a step gets
        although it does not ask for them. `network` is default, host or none. `contexts` are images of this engine that
        stand for the images that FROM and COPY --from name.
        """
        ...

    def prune_builds(self, *, mounts_only: bool = False) -> int:
        """Empty the build cache (or only its cache mounts); returns the freed bytes, as far as the engine reports
        them.
        """
        ...

    def load(self, archive: Path, *, tag: str) -> str:
        """Load a docker-archive or OCI-layout tar and name it `tag`; returns the image id."""
        ...

    def save(self, image: str) -> Iterator[bytes]:
        """The image as a docker-archive or OCI-layout tar stream, in pieces."""
        ...

    def inspect(self, image: str) -> ImageInfo | None:
        """None if there is no such image."""
        ...

    def images(self) -> Sequence[str]:
        """Ids of the images that carry our label or a name under settings.IMAGE_PREFIX."""
        ...

    def tag(self, image: str, name: str) -> None: ...

    def remove_image(self, image: str) -> None:
        """Forget the name (or id); no error if it is gone already."""
        ...

    def push(self, name: str) -> str:
        """Push by name; returns the manifest digest."""
        ...

    def pull(self, name: str, *, timeout: float = 900.0) -> PullResult:
        """Pull by name. Raises PullFailed."""
        ...

    def resolve(self, name: str, *, timeout: float = 10.0) -> str:
        """The digest that a registry gives for `name` now, asked through the engine. Raises PullFailed."""
        ...

    def create(self, spec: ContainerSpec) -> str:
        """Returns the container id. Raises ContainerFailed."""
        ...

    def start(self, container: str) -> None: ...

    def state(self, container: str) -> ContainerState: ...

    def wait(self, container: str, *, timeout: float = 60.0) -> int:
        """Block until it exits; returns its exit code. Raises EngineError on time-out."""
        ...

    def logs(self, container: str, *, tail: int = 40) -> str: ...

    def log_since(self, container: str, since: float = 0.0) -> Sequence[tuple[float, str]]:
        """Lines of its log from the Unix time `since` on, each with the time at which the engine received it (s, by
        this machine's clock)."""
        ...

    def run_in(self, container: str, command: Sequence[str]) -> ExecResult:
        """Run a command in a running container (exec); a command that does not exist is a result, not an error."""
        ...

    def attach(self, container: str, command: Sequence[str]) -> Stream:
        """Run a command in a running container, with its input and output."""
        ...

    def remove(self, container: str) -> None:
        """Kill and remove; no error if it is gone already."""
        ...

    def containers(self) -> Sequence[str]:
        """Ids of all containers that carry our label, running or not."""
        ...

    def close(self) -> None:
        """Close connections. It ends no engine: the code that started an engine ends it."""
        ...
