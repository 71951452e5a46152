"""The engine contract on Docker's Engine API, 20.10 and later. The API version is negotiated, never pinned."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.engine.attach import Attached
from harness.engine.buildkit import BuildBroke, BuildCall, BuildOutOfTime
from harness.engine.contract import (
    BuildResult,
    ContainerSpec,
    ContainerState,
    EngineInfo,
    ExecResult,
    ImageInfo,
    PullResult,
    SecretsFor,
)
from harness.engine.endpoint import Endpoint
from harness.engine.image_names import ours, split
from harness.engine.pull_progress import PullLog
from harness.engine.session import BuildSession
from harness.engine.trace import Trace
from harness.engine.transport import Refused, TimedOut, Transport
from harness.errors import BuildFailed, ContainerFailed, EngineError, PullFailed
from harness.image.context import BuildContext
from harness.settings import LABEL

OURS = {LABEL: "1"}  # the label of everything that is made
LOG_TAIL = 40  # last lines of a failed build's log
_LONGEST_LOG = 16_384  # characters of a container's log that are stored and shown
CHUNK = 1 << 20  # B
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")  # Python reads microseconds
# With containerd's image store the build unpacks the layers too, as `docker build` requests, so that a first start does
# not have to.
_CONTAINERD_EXPORT = {"unpack": "true"}


class DockerEngine:
    """A Docker engine behind `endpoint` (unix:///PATH, tcp://HOST:PORT). `origin` is system, private or node.

    `timeout` is how long a call that has no time-out of its own may take, s.
    Raises EngineUnavailable if nothing answers.
    """

    def __init__(self, endpoint: Endpoint | str, *, origin: str, timeout: float = 120.0) -> None:
        self._endpoint = endpoint if isinstance(endpoint, Endpoint) else Endpoint(endpoint)
        self._http = Transport(self._endpoint, timeout=timeout)
        try:
            before = time.time()
            said = self._http.ask("GET", "/info")
            self._info = _info(said, self._http.ask("GET", "/version"), self._http.api_version, self._endpoint, origin)
        except BaseException:
            self._http.close()
            raise
        # How far the engine's clock, whose times are in the trace, is ahead of ours; 0 for an engine on this machine.
        remote = not self._endpoint.socket_path
        self._skew = datetime.fromisoformat(said["SystemTime"]).timestamp() - before if remote else 0.0

    @property
    def info(self) -> EngineInfo:
        return self._info

    def elsewhere(self) -> None:
        """Note that the engine has turned out not to be on this machine."""
        self._info = replace(self._info, local=False)

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
        attributes = {
            **{f"context:{name}": f"docker-image://{image}" for name, image in (contexts or {}).items()},
            "filename": context.name,
            "image-resolve-mode": "local",  # FROM asks no registry for an image that the engine has
            **{f"label:{name}": value for name, value in OURS.items()},
            **{f"build-arg:{name}": value for name, value in (arguments or {}).items()},
            **({"target": target} if target else {}),
            **({"no-cache": ""} if no_cache else {}),
            **({"force-network-mode": network} if network != "default" else {}),
        }
        session = BuildSession(
            trees={"context": context.tree, "dockerfile": context.definition},
            secrets=secrets,
            credentials=self._http.credentials,
            key=context.key,
        )
        trace = Trace()
        build = BuildCall(self._endpoint, session, api_version=self._http.api_version, trace=trace.feed)
        t0, clock = time.time() + self._skew, time.monotonic()
        try:
            made = build.run(
                attributes,
                exporter={"name": tag, **(_CONTAINERD_EXPORT if self._info.image_store == "containerd" else {})},
                entitlements=("network.host",) if network == "host" else (),
                secrets_for=secrets_for,
                timeout=timeout,
            )
        except BuildOutOfTime as error:
            raise BuildFailed(f"no end within {timeout:g} s", step=trace.running(), log=trace.log(LOG_TAIL)) from error
        except BuildBroke as error:
            if session.unreadable:
                raise BuildFailed(f"the context cannot be read: {session.unreadable}") from error
            digest, step = trace.failed() or ("", trace.running())
            log = trace.log(LOG_TAIL, step=digest) or trace.log(LOG_TAIL)
            raise BuildFailed(str(error), step=step, log=log) from error
        seconds = time.monotonic() - clock
        image = made.get("containerimage.digest", "")
        if not image:
            raise EngineError(
                "the build returned no image", where=tag, fix="Use an engine with BuildKit (Docker 20.10 or newer)."
            )
        return BuildResult(image=image, seconds=seconds, steps=trace.steps(t0), log=trace.log())

    def prune_builds(self, *, mounts_only: bool = False) -> int:
        self._refuse_pruning()
        parameters = {"all": "1"}
        if mounts_only:
            parameters["filters"] = json.dumps({"type": ["exec.cachemount"]})
        return int(self._http.ask("POST", "/build/prune", params=parameters).get("SpaceReclaimed") or 0)

    def _refuse_pruning(self) -> None:
        if self._info.origin not in ("private", "node"):
            raise EngineError(
                "the build cache of this engine belongs to others too",
                where=self._endpoint.url,
                fix="Build with no_cache=True, which leaves it alone, or let Tare start an engine of its own "
                "(TARE_ENGINE=private).",
            )

    def load(self, archive: Path, *, tag: str) -> str:
        """The name inside the archive is not kept; if an image of the engine had the name before, it gets it back."""
        known = {name: image["Id"] for image in self._images() for name in image.get("RepoTags") or ()}
        try:
            with archive.open("rb") as data:
                pieces = iter(lambda: data.read(CHUNK), b"")  # a file would be sent in pieces of 16 kB
                said = "".join(
                    str(message.get("stream", ""))
                    for message in self._http.stream("/images/load", params={"quiet": "1"}, data=pieces, timeout=900.0)
                )
        except OSError as error:
            raise EngineError(f"cannot be read: {error.strerror}", where=str(archive)) from error
        if broken := next((line for line in said.splitlines() if "rror unpacking image" in line), ""):
            raise EngineError(f"the image cannot be unpacked: {broken.strip()}", where=str(archive))
        names = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("Loaded image")]
        if len(names) != 1:
            raise EngineError(f"one image expected in the archive, the engine found {names}", where=str(archive))
        name = names[0]
        image = str(self._http.ask("GET", f"/images/{name}/json")["Id"])
        self.tag(image, tag)
        if name in known:
            self.tag(known[name], name)
        elif name not in (tag, image):
            self._http.ask("DELETE", f"/images/{name}")
        return image

    def save(self, image: str) -> Iterator[bytes]:
        with self._http.open("GET", f"/images/{image}/get") as response:
            yield from response.iter_content(CHUNK)

    def inspect(self, image: str) -> ImageInfo | None:
        found = self._found(f"/images/{image}/json")
        if found is None:
            return None
        config = found.get("Config") or {}
        return ImageInfo(
            id=found["Id"],
            diff_ids=tuple(found["RootFS"].get("Layers") or ()),
            config=config,
            labels=config.get("Labels") or {},
            architecture=found["Architecture"],
            size=found["Size"],
        )

    def images(self) -> Sequence[str]:
        return [
            image["Id"]
            for image in self._images()
            if LABEL in (image.get("Labels") or {}) or any(map(ours, image.get("RepoTags") or ()))
        ]

    def tag(self, image: str, name: str) -> None:
        repository, tag = split(name)
        self._http.ask("POST", f"/images/{image}/tag", params={"repo": repository, "tag": tag})

    def remove_image(self, image: str) -> None:
        """Raises EngineError if neither label nor name says that the image is Tare's."""
        found = self._found(f"/images/{image}/json")
        if found is None:
            return
        if LABEL in ((found.get("Config") or {}).get("Labels") or {}) or ours(image):
            names = [image]
        else:  # the caller gave an id: of the image's names only ours may be removed
            names = [name for name in found.get("RepoTags") or () if image == found["Id"] and ours(name)]
        if not names:
            raise EngineError("this image is not Tare's, so it stays", where=image)
        for name in names:
            self._delete(f"/images/{name}", params={"force": "1"})

    def push(self, name: str) -> str:
        repository, tag = split(name)
        digest = ""
        with failing_as(EngineError, name):
            for message in self._http.stream(
                f"/images/{repository}/push",
                params={"tag": tag},
                headers=self._http.registry_header(name),
                timeout=3600.0,
            ):
                digest = (message.get("aux") or {}).get("Digest") or digest
        return digest or self.resolve(name)  # with containerd's image store the engine does not report it

    def pull(self, name: str, *, timeout: float = 900.0) -> PullResult:
        repository, tag = split(name)
        log = self._pull_log()
        t0 = time.monotonic()
        with failing_as(PullFailed, name):
            for message in self._http.stream(
                "/images/create",
                params={"fromImage": repository, "tag": tag},
                headers=self._http.registry_header(name),
                timeout=timeout,
            ):
                log.feed(message, time.monotonic() - t0)
        return PullResult(seconds=time.monotonic() - t0, layers=log.layers(), digest=log.digest)

    def resolve(self, name: str, *, timeout: float = 10.0) -> str:
        with failing_as(PullFailed, name):
            answer = self._http.ask(
                "GET", f"/distribution/{name}/json", headers=self._http.registry_header(name), timeout=timeout
            )
        return str(answer["Descriptor"]["digest"])

    # Containers

    def create(self, spec: ContainerSpec) -> str:
        with failing_as(ContainerFailed, spec.image):
            return str(self._http.ask("POST", "/containers/create", json=self._body(spec))["Id"])

    def start(self, container: str) -> None:
        """Raises ContainerFailed."""
        with failing_as(ContainerFailed, container[:12]):
            self._http.ask("POST", f"/containers/{container}/start")

    def state(self, container: str) -> ContainerState:
        """A container that was never started has no exit code, like one that still runs."""
        found = self._http.ask("GET", f"/containers/{container}/json")
        state, network = found["State"], found["NetworkSettings"]
        pending = state["Running"] or (state["Status"] == "created" and not state["ExitCode"])
        # Networks, because the engine's own IPAddress is gone from API 1.52 on
        addresses = (entry.get("IPAddress") for entry in (network.get("Networks") or {}).values())
        return ContainerState(
            running=state["Running"],
            exit_code=None if pending else state["ExitCode"],
            oom_killed=state["OOMKilled"],
            error=state["Error"],
            address=next(filter(None, addresses), ""),
            ports={
                int(port.partition("/")[0]): int(bound[0]["HostPort"])
                for port, bound in (network.get("Ports") or {}).items()
                if bound
            },
        )

    def wait(self, container: str, *, timeout: float = 60.0) -> int:
        try:
            return int(self._http.ask("POST", f"/containers/{container}/wait", timeout=timeout)["StatusCode"])
        except TimedOut as error:
            raise EngineError(f"still running after {timeout:g} s", where=container[:12]) from error

    def logs(self, container: str, *, tail: int = 40) -> str:
        parameters = {"stdout": "1", "stderr": "1", "tail": str(tail)}
        with self._http.open("GET", f"/containers/{container}/logs", params=parameters) as response:
            return bounded(_text(response.content))

    def log_since(self, container: str, since: float = 0.0) -> Sequence[tuple[float, str]]:
        asked = max(since + self._skew, 0.0) if since else 0.0
        parameters = {"stdout": "1", "stderr": "1", "timestamps": "1", "since": f"{asked:.9f}"}
        with self._http.open("GET", f"/containers/{container}/logs", params=parameters) as response:
            said = _text(response.content).splitlines()
        lines = (line.partition(" ") for line in said)
        return [(unix_time(stamp) - self._skew, text) for stamp, _, text in lines if stamp]

    def run_in(self, container: str, command: Sequence[str]) -> ExecResult:
        call = self._http.ask(
            "POST",
            f"/containers/{container}/exec",
            json={"AttachStdout": True, "AttachStderr": True, "Cmd": list(command)},
        )["Id"]
        refusal: Refused | None = None
        output = ""
        try:
            with self._http.open("POST", f"/exec/{call}/start", json={"Detach": False, "Tty": False}) as response:
                output = _text(response.content)
        except Refused as error:  # how 20.10 reports that the program does not exist
            refusal, output = error, error.what
        code = self._http.ask("GET", f"/exec/{call}/json")["ExitCode"]
        if refusal and code not in (126, 127):
            raise refusal
        return ExecResult(exit_code=int(code), output=output)

    def attach(self, container: str, command: Sequence[str]) -> Attached:
        call = self._http.ask(
            "POST",
            f"/containers/{container}/exec",
            json={"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": list(command)},
        )["Id"]
        return Attached(self._endpoint, f"/v{self._http.api_version}/exec/{call}/start")

    def remove(self, container: str) -> None:
        """Raises EngineError if the container does not carry our label."""
        found = self._found(f"/containers/{container}/json")
        if found is None:
            return
        if LABEL not in (found["Config"].get("Labels") or {}):
            raise EngineError("this container is not Tare's, so it stays", where=container[:12])
        self._delete(f"/containers/{container}", params={"force": "1", "v": "1"})

    def containers(self) -> Sequence[str]:
        parameters = {"all": "1", "filters": json.dumps({"label": [LABEL]})}
        return [found["Id"] for found in self._http.ask("GET", "/containers/json", params=parameters)]

    def close(self) -> None:
        self._http.close()

    def _pull_log(self) -> PullLog:
        return PullLog(polled=self._info.image_store == "containerd")

    def _body(self, spec: ContainerSpec) -> dict[str, Any]:
        """Body of POST /containers/create."""
        return _container(spec)

    def _images(self) -> list[dict[str, Any]]:
        return list(self._http.ask("GET", "/images/json"))

    def _found(self, path: str) -> dict[str, Any] | None:
        """The engine's record of an object; None if there is no such object."""
        try:
            return dict(self._http.ask("GET", path))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _delete(self, path: str, *, params: Mapping[str, str]) -> None:
        """No error if it is gone or being removed: somebody else was faster."""
        try:
            self._http.ask("DELETE", path, params=params)
        except Refused as error:
            if error.status != 404 and "already in progress" not in error.what:
                raise


def _info(
    said: Mapping[str, Any], version: Mapping[str, Any], api_version: str, endpoint: Endpoint, origin: str
) -> EngineInfo:
    driver = dict(entry for entry in said.get("DriverStatus") or () if len(entry) == 2)
    components = {entry["Name"]: entry["Version"] for entry in version.get("Components") or ()}
    runtime = str(said.get("DefaultRuntime") or "")
    rootless = any("rootless" in option for option in said.get("SecurityOptions") or ())
    return EngineInfo(
        kind="podman" if any("podman" in name.lower() for name in components) else "docker",
        version=version["Version"],
        api_version=api_version,
        storage_driver=said["Driver"],
        image_store="containerd" if "snapshotter" in str(driver.get("driver-type")) else "classic",
        runtime=f"{runtime} {components.get(runtime, '')}".strip(),
        kernel=said["KernelVersion"],
        architecture=version["Arch"],
        cpus=said["NCPU"],
        memory=said["MemTotal"],
        cgroup=str(said.get("CgroupVersion") or "1"),
        rootless=rootless,
        local=(
            sys.platform == "linux"
            and not rootless  # its containers are in a network of its own
            and said.get("OperatingSystem") != "Docker Desktop"
            and said["KernelVersion"] == os.uname().release
            and endpoint.shares_network()
        ),
        origin=origin,
        endpoint=endpoint.url,
    )


@contextmanager
def failing_as(kind: type[EngineError], where: str) -> Iterator[None]:
    """Errors of the engine as `kind`, in its own words."""
    try:
        yield
    except EngineError as error:
        raise kind(error.what, where=where, fix=error.fix) from error


def unix_time(stamp: str) -> float:
    """The Unix time (s) of a time stamp as engines write it: RFC 3339 with nanoseconds."""
    return datetime.fromisoformat(_NANOSECONDS.sub(r"\1", stamp)).timestamp()


def bounded(log: str) -> str:
    """The end of a log: a line may be as long as a program likes."""
    return log if len(log) <= _LONGEST_LOG else f"…{log[-_LONGEST_LOG:]}"


def _text(data: bytes) -> str:
    """Text of a multiplexed stream: frames of stream number, three zeros, length (big-endian) and payload."""
    at, payloads = 0, []
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        payloads.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return b"".join(payloads).decode(errors="replace")


def _container(spec: ContainerSpec) -> dict[str, Any]:
    """Body of POST /containers/create."""
    limits = spec.limits
    memory = spec.memory or (limits.memory if limits else 0)
    return {
        "Image": spec.image,
        "Cmd": None if spec.command is None else list(spec.command),
        **({} if spec.entrypoint is None else {"Entrypoint": list(spec.entrypoint)}),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "User": spec.user,
        "Labels": {**spec.labels, **OURS},
        "ExposedPorts": {f"{port}/tcp": {} for port in spec.ports},
        "HostConfig": {
            "NetworkMode": spec.network,
            "PidMode": spec.pid,
            "Memory": memory,
            "MemorySwap": memory,  # the same value: a limit that spills over into swap is no limit
            **(
                {
                    "PidsLimit": limits.processes,
                    # two files, so that the newest half of the log is there when the other one is dropped
                    "LogConfig": {
                        "Type": "json-file",
                        "Config": {"max-size": str(limits.log // 2), "max-file": "2"},
                    },
                }
                if limits
                else {}
            ),
            "ReadonlyRootfs": spec.read_only,
            "CapDrop": list(spec.cap_drop),
            "CapAdd": list(spec.cap_add),
            "SecurityOpt": list(spec.security_opt),
            "Privileged": spec.privileged,
            "Binds": list(spec.binds),
            "Tmpfs": dict(spec.tmpfs),
            "PortBindings": {
                f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(host or "")}]
                for port, host in spec.ports.items()
            },
        },
    }
