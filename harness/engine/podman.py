"""Podman, by the parts of Docker's Engine API that it serves; 4.3 and later.

It differs from Docker in this:

- It has no BuildKit. POST /build takes the context as an archive, and Buildah builds. Steps and their times come from
  what it prints (buildah_log.py), and secrets reach the steps through the Dockerfile's text (run_secrets.py).
- A pull reports which layers it fetched, and not when each had arrived and when it was unpacked.
- No call asks a registry for a digest.
- A registry on this machine's loopback address needs HTTPS, unless registries.conf says otherwise. A push
  takes an option for that; a pull that reports layers does not.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from harness.engine import run_secrets
from harness.engine.buildah_log import BuildahLog
from harness.engine.contract import BuildResult, ContainerSpec, PullResult, SecretsFor
from harness.engine.docker import CHUNK, LOG_TAIL, OURS, DockerEngine, failing_as
from harness.engine.endpoint import Endpoint
from harness.engine.image_names import split
from harness.engine.pull_progress import PullLog
from harness.engine.transport import BrokenOff, Refused, TimedOut
from harness.errors import BuildFailed, EngineError, PullFailed
from harness.image.context import BuildContext
from harness.image.context_tar import write_context

_DOCKERFILE = ".tare.Dockerfile"  # in the archive; the context may have a file of any usual name
_IGNORE = ".containerignore"  # Buildah prefers it to .dockerignore
_SECRET = ".tare-secret-"  # podman moves these files out of the context before it builds
# Buildah ignores SHELL and HEALTHCHECK in images of the OCI format
_FORMAT = "application/vnd.docker.distribution.manifest.v2+json"
_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_ADDED = re.compile(r" --mount=type=secret,id=\S+?,target=\S+,mode=0444")
_NO_TLS = "server gave HTTP response to HTTPS client"
_IN_MEMORY = 64 << 20  # B of a context; a larger one goes to a temporary file


class PodmanEngine(DockerEngine):
    """A podman behind `endpoint`, as DockerEngine.

    Of an engine of our own, `cgroup` is the parent of its containers' cgroups, and `mounts` the folder that Buildah
    keeps cache mounts in.
    """

    def __init__(
        self,
        endpoint: Endpoint | str,
        *,
        origin: str,
        timeout: float = 120.0,
        cgroup: str = "",
        mounts: Path | None = None,
    ) -> None:
        super().__init__(endpoint, origin=origin, timeout=timeout)
        self._cgroup = cgroup
        self._mounts = mounts

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
        text = context.dockerfile.decode("utf-8", "surrogateescape")
        if secrets_for:
            text = run_secrets.with_secrets(
                text,
                secrets_for,
                arguments=arguments or {},
                config_of=lambda name: self._config((contexts or {}).get(name, name)),
            )
        beside = {
            _DOCKERFILE: text.encode("utf-8", "surrogateescape"),
            _IGNORE: f"{_DOCKERFILE}\n{_IGNORE}\n".encode(),
            **{f"{_SECRET}{name}": data for name, data in (secrets or {}).items()},
        }
        parameters = {
            "dockerfile": _DOCKERFILE,
            "t": tag,
            "labels": json.dumps(OURS),
            "buildargs": json.dumps(dict(arguments or {})),
            "layers": "true",
            "outputformat": _FORMAT,
            "pullpolicy": "missing",
            "secrets": json.dumps([f"id={name},src={_SECRET}{name}" for name in secrets or ()]),
            "additionalbuildcontexts": json.dumps(
                {name: {"IsURL": False, "IsImage": True, "Value": image} for name, image in (contexts or {}).items()}
            ),
            **({"target": target} if target else {}),
            **({"nocache": "true"} if no_cache else {}),
            **({"networkmode": network} if network != "default" else {}),
            # Buildah takes it for the cgroup of a step itself, which no other container may be in or below
            **({"cgroupparent": f"{self._cgroup}/build-{uuid.uuid4().hex}"} if self._cgroup else {}),
        }
        log = BuildahLog(clean=lambda said: _ADDED.sub("", said))
        image = ""
        began = time.monotonic()
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:
                try:
                    write_context(context, body, beside=beside, hide=frozenset({_IGNORE}))
                except OSError as error:
                    reason = f"{error.filename}: {error.strerror}"
                    raise BuildFailed(f"the context cannot be read: {reason}") from error
                body.seek(0)
                for message in self._http.stream(
                    "/build",
                    params=parameters,
                    headers={"Content-Type": "application/x-tar"},
                    data=iter(lambda: body.read(CHUNK), b""),
                    timeout=timeout,
                ):
                    log.feed(str(message.get("stream") or ""), time.monotonic() - began)
                    image = (message.get("aux") or {}).get("ID") or image
        except TimedOut as error:
            raise BuildFailed(f"no end within {timeout:g} s", step=log.running(), log=log.log(LOG_TAIL)) from error
        except (BrokenOff, Refused) as error:
            step, why = log.failed(error.what)
            raise BuildFailed(why, step=step, log=log.log(LOG_TAIL)) from error
        seconds = time.monotonic() - began
        if not image:
            raise EngineError("the build returned no image", where=tag)
        return BuildResult(image=image, seconds=seconds, steps=log.steps(seconds), log=log.log())

    def prune_builds(self, *, mounts_only: bool = False) -> int:
        """The images between the steps of builds are the cache. The ones that a named image rests on stay, so a cold
        build also has to be asked for without the cache.
        """
        self._refuse_pruning()
        if self._mounts:
            shutil.rmtree(self._mounts, ignore_errors=True)
        if mounts_only:
            return 0
        found = self._http.ask("POST", "/images/prune", params={"filters": json.dumps({"dangling": ["true"]})})
        return int((found or {}).get("SpaceReclaimed") or 0)

    def push(self, name: str) -> str:
        repository, tag = split(name)
        digest = ""
        with failing_as(EngineError, name):
            for message in self._http.stream(
                f"/images/{repository}/push",
                params={"tag": tag, **({"tlsVerify": "false"} if _plain(name) else {})},
                headers=self._http.registry_header(name),
                timeout=3600.0,
            ):
                if found := _PUSHED.search(str(message.get("status") or "")):
                    digest = found[1]
        if not digest:
            raise EngineError("podman did not report what it pushed", where=name)
        return digest

    def pull(self, name: str, *, timeout: float = 900.0) -> PullResult:
        try:
            found = super().pull(name, timeout=timeout)
        except PullFailed as error:
            if _NO_TLS not in error.what:
                raise
            host = name.partition("/")[0].partition(":")[0]
            raise PullFailed(
                "podman asks this registry for HTTPS, which a registry on this machine does not need",
                where=name,
                fix=f"Write these two lines to /etc/containers/registries.conf.d/tare.conf:\n[[registry]]\n"
                f'location = "{host}"\ninsecure = true',
            ) from error
        config = self.inspect(name)
        # podman names the config as if it were a layer
        layers = tuple(one for one in found.layers if not (config and config.id.startswith(f"sha256:{one.layer}")))
        return PullResult(seconds=found.seconds, layers=layers, digest=found.digest)

    def resolve(self, name: str, *, timeout: float = 10.0) -> str:
        del timeout
        raise PullFailed("podman has no call that asks a registry for a digest", where=name)

    def _config(self, image: str) -> Mapping[str, object]:
        found = self.inspect(image)
        return found.config if found else {}

    def _pull_log(self) -> PullLog:
        return PullLog(polled=True)

    def _body(self, spec: ContainerSpec) -> dict[str, Any]:
        body = super()._body(spec)
        if self._cgroup:
            body["HostConfig"]["CgroupParent"] = self._cgroup
        return body


def _plain(name: str) -> bool:
    """Whether an image's registry is one of this machine's, at a bare loopback address."""
    try:
        return ip_address(name.partition("/")[0].partition(":")[0]).is_loopback
    except ValueError:
        return False
