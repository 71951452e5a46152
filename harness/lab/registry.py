"""An image registry of our own: docker-registry from the distribution, over plain HTTP on addresses of this machine.

Loopback is always served: every engine accepts it without TLS, and pushes go there. If the lab has a bridge, the
registry listens on the bridge's address too, for nodes to pull from. It listens on nothing else. The protocol is the
OCI distribution specification's (GET /v2/<repository>/manifests/<reference> and /blobs/<digest>).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import platform
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness.errors import LabError
from harness.image.manifest import ImageManifest, parse_manifest
from harness.settings import Settings

if TYPE_CHECKING:
    from harness.host.reaper import Scope

LOOPBACK = "127.0.0.1"

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}  # uname → OCI
_PIECE = 1 << 20  # B
_READY = 10.0  # s
_PATIENCE = 60.0  # s of silence
_PORT_TRIES = 5  # another program may take a free port before the registry does


def choose_platform(document: Mapping[str, Any], architecture: str) -> str:
    """Digest of the linux manifest for `architecture` (as OCI names it) in an index. Raises LabError without one."""
    entries = [entry for entry in document.get("manifests", ()) if entry.get("platform", {}).get("os") == "linux"]
    for entry in entries:
        if entry["platform"].get("architecture") == architecture:
            return str(entry["digest"])
    offered = ", ".join(sorted({str(entry["platform"].get("architecture")) for entry in entries})) or "nothing"
    raise LabError(
        f"the image index has no linux/{architecture} but {offered}", fix="Build the image for this machine."
    )


def host_architecture() -> str:
    """This machine's architecture as OCI names it."""
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


class RegistryReader:
    """A registry as far as it is asked: manifests and blobs, on this machine's loopback address at `port`."""

    port = 0

    @property
    def push(self) -> str:
        """host:port on loopback, to push to."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pull(self) -> str:
        """host:port that nodes pull from."""
        return self.push

    @property
    def storage(self) -> Path | None:
        """Root of its file system driver, while it runs; None if that is not on this machine."""
        return None

    def stored_bytes(self) -> int:
        """Bytes of all blobs on disk: layers, configs and manifests, each distinct blob once. Raises LabError."""
        if self.storage is None:
            raise LabError("what the registry stores is not on this machine", where=self.push)
        return sum(path.stat().st_size for path in self.storage.rglob("blobs/**/data"))

    def manifest(self, repository: str, reference: str, *, architecture: str = "") -> ImageManifest:
        """The manifest of a tag or digest; from an index, that of `architecture` (default: this machine's).

        Raises LabError if there is none or if its digest is wrong.
        """
        body, digest, media_type = self._manifest(repository, reference)
        if media_type in _INDEXES:
            wanted = choose_platform(body, architecture or host_architecture())
            body, digest, media_type = self._manifest(repository, wanted)
        return parse_manifest(body, digest, media_type)

    def blob(self, repository: str, digest: str) -> Iterator[bytes]:
        """A blob in pieces. Raises LabError if there is none, or, at its end, if the digest is wrong."""
        found = hashlib.sha256()
        with self._get(f"/v2/{repository}/blobs/{digest}") as answer:
            while piece := answer.read(_PIECE):
                found.update(piece)
                yield piece
        _check(digest, found.hexdigest(), repository)

    def config(self, repository: str, reference: str) -> Mapping[str, Any]:
        """The OCI image config of a tag or digest: architecture, config, rootfs, history."""
        manifest = self.manifest(repository, reference)
        document: dict[str, Any] = json.loads(b"".join(self.blob(repository, manifest.config.digest)))
        return document

    def _manifest(self, repository: str, reference: str) -> tuple[dict[str, Any], str, str]:
        """Document, digest and media type."""
        headers = {"Accept": ", ".join(_INDEXES + _MANIFESTS)}
        with self._get(f"/v2/{repository}/manifests/{reference}", headers) as answer:
            body = answer.read()
            media_type = (answer.getheader("Content-Type") or "").partition(";")[0]
            claimed = reference if ":" in reference else answer.getheader("Docker-Content-Digest") or ""
        found = hashlib.sha256(body).hexdigest()
        if claimed:
            _check(claimed, found, repository)
        try:
            return json.loads(body), f"sha256:{found}", media_type
        except ValueError as error:
            raise LabError(f"the manifest is not JSON: {error}", where=f"{repository} {reference}") from error

    @contextlib.contextmanager
    def _get(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[http.client.HTTPResponse]:
        # http.client, not urllib: a proxy set for the outside world must not be asked for loopback.
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_PATIENCE)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            with connection.getresponse() as answer:
                if answer.status != http.client.OK:
                    raise LabError(
                        f"the registry answers {answer.status} {answer.reason}",
                        where=f"{self.push}{path}",
                        fix="Push the image first.",
                    )
                yield answer
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the registry does not answer: {error!r}", where=f"{self.push}{path}") from error
        finally:
            connection.close()


class Registry(RegistryReader):
    """A registry that lives as long as its `with` block; its storage goes with it.

    `address` is the address of the lab's bridge, if nodes pull from there. `announce` is called with a message if a
    program has to be installed first. Raises LabError if the registry cannot be started.
    """

    def __init__(
        self,
        settings: Settings,
        reaper: Scope,
        *,
        address: str = "",
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._reaper = reaper
        self._addresses = (LOOPBACK, address) if address and address != LOOPBACK else (LOOPBACK,)
        self._announce = announce
        self._storage = Path()

    @property
    def pull(self) -> str:
        """host:port to pull from: on the lab's bridge if there is one, otherwise on loopback."""
        return f"{self._addresses[-1]}:{self.port}"

    @property
    def storage(self) -> Path:
        return self._storage

    def __enter__(self) -> Self:
        from harness.host.packages import ensure

        program = "docker-registry"  # the Debian package has the same name
        binary = ensure({program: program}, announce=self._announce, reaper=self._reaper)[program]
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self._reaper.scope()).folder(
                self._settings.cache / "registries" / secrets.token_hex(4)
            )
            for left in reversed(range(_PORT_TRIES)):
                self.port = _free_port(self._addresses)
                attempt = stack.enter_context(self._reaper.scope())
                try:
                    for address in self._addresses:
                        self._start(attempt, folder, binary, address)
                    break
                except LabError:
                    attempt.close()
                    if not left:
                        raise
            self._storage = folder / "storage"
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, scope: Scope, folder: Path, binary: str, address: str) -> None:
        config = folder / f"{address}.json"  # JSON is valid YAML
        config.write_text(json.dumps(_configuration(folder / "storage", f"{address}:{self.port}")))
        log = folder / f"{address}.log"
        process = scope.spawn([binary, "serve", str(config)], log=log, grace=0)  # its files are removed with it
        deadline = time.monotonic() + _READY
        while process.poll() is None and time.monotonic() < deadline:
            if _answers(address, self.port):
                return
            time.sleep(0.01)
        said = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise LabError(
            f"the registry did not start: {said[0] if said else 'no answer'}", where=f"{address}:{self.port}"
        )


def _configuration(storage: Path, address: str) -> dict[str, Any]:
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": False},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        # Relative addresses, so that a client of a link or of the bridge stays on that address.
        "http": {"addr": address, "relativeurls": True},
    }


def _free_port(addresses: tuple[str, ...]) -> int:
    """A port that is free on all of them. Raises LabError if an address does not belong to this machine."""
    for left in reversed(range(_PORT_TRIES)):
        port = 0
        with contextlib.ExitStack() as stack:
            for address in addresses:
                listener = stack.enter_context(socket.socket())
                try:
                    listener.bind((address, port))
                except OSError as error:
                    if left and port:
                        break
                    raise LabError(
                        f"the registry cannot listen: {error.strerror}",
                        where=address,
                        fix="Check that the address is one of this machine's.",
                    ) from error
                port = listener.getsockname()[1]
            else:
                return port
    raise AssertionError("unreachable")


def _answers(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        with connection.getresponse() as answer:
            return answer.status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _check(digest: str, found: str, where: str) -> None:
    if digest != f"sha256:{found}":
        raise LabError(
            f"the content of {digest} has the digest sha256:{found}", where=where, fix="Push the image again."
        )
