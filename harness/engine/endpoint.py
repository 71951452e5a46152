"""Where an engine may answer: DOCKER_HOST, the current docker context, the default sockets."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import EngineError

SYSTEM_SOCKETS = (Path("/var/run/docker.sock"), Path("/run/docker.sock"))
PODMAN_SOCKET = Path("/run/podman/podman.sock")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address. `source` says where it was found.

    `certificates` is a folder with ca.pem, cert.pem and key.pem, as docker's client keeps them: tcp:// with TLS.
    """

    url: str  # unix:///run/docker.sock, tcp://host:2375
    source: str = ""
    certificates: Path | None = None

    @property
    def socket_path(self) -> str:
        """Path of a unix:// endpoint; "" for every other kind."""
        url = urlsplit(self.url)
        return url.netloc + url.path if url.scheme == "unix" else ""

    def connect(self, *, timeout: float) -> socket.socket:
        """A plain connection. Raises OSError, and EngineError for an endpoint that is neither unix:// nor tcp://."""
        if path := self.socket_path:
            unix = socket.socket(socket.AF_UNIX)
            unix.settimeout(timeout)
            try:
                unix.connect(path)
            except OSError:
                unix.close()
                raise
            return unix
        url = urlsplit(self.url)
        if url.scheme not in ("tcp", "http", "https") or not url.hostname or not url.port:
            raise EngineError(
                "this connection needs an engine on a unix:// or tcp:// endpoint",
                where=self.url,
                fix="Set DOCKER_HOST to unix:///PATH or tcp://HOST:PORT.",
            )
        stream = socket.create_connection((url.hostname, url.port), timeout=timeout)
        if self.certificates is None:
            return stream
        try:
            context = ssl.create_default_context(cafile=self.certificates / "ca.pem")
            context.load_cert_chain(self.certificates / "cert.pem", self.certificates / "key.pem")
            return context.wrap_socket(stream, server_hostname=url.hostname)
        except OSError:
            stream.close()
            raise

    def shares_network(self) -> bool:
        """True if the engine behind a unix:// endpoint lives in this process' network namespace: only then can its
        containers' addresses be reached from here. If this user may not look at an engine of root, it counts as being
        in the same namespace.
        """
        if not self.socket_path or not hasattr(socket, "SO_PEERCRED"):
            return False
        try:
            with self.connect(timeout=2) as connection:
                pid = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
            if pid == 0:  # outside of this process' own container
                return False
            return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
        except PermissionError:
            return True
        except OSError:
            return False


def find_endpoint(environ: Mapping[str, str] = os.environ) -> list[Endpoint]:
    """Where to look for an engine, best first, as docker's own client would.

    DOCKER_HOST or a chosen context is the only candidate, because a user who names an engine means no other. Otherwise
    the candidates are the sockets of a system-wide and of a rootless Docker, then those of podman. A
    context that cannot be read is no candidate.
    """
    if host := environ.get("DOCKER_HOST"):
        verify = environ.get("DOCKER_TLS_VERIFY") or environ.get("DOCKER_TLS")
        folder = Path(environ.get("DOCKER_CERT_PATH") or _configuration(environ))
        return [Endpoint(host, "DOCKER_HOST", folder if verify else None)]
    name = environ.get("DOCKER_CONTEXT") or _current_context(environ)
    if name not in ("", "default"):
        context = _context(name, environ)
        return [context] if context else []
    found = [Endpoint(f"unix://{path}", "default socket") for path in _distinct(SYSTEM_SOCKETS)]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Endpoint(f"unix://{runtime}/docker.sock", "rootless socket"))
    if home := environ.get("HOME"):
        found.append(Endpoint(f"unix://{home}/.docker/run/docker.sock", "socket of Docker Desktop"))
    found.append(Endpoint(f"unix://{PODMAN_SOCKET}", "podman socket"))
    if runtime:
        found.append(Endpoint(f"unix://{runtime}/podman/podman.sock", "rootless podman socket"))
    return found


def _distinct(paths: tuple[Path, ...]) -> list[Path]:
    """The candidates without those that are links to an earlier candidate's file."""
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


def _configuration(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "~").expanduser() / ".docker")


def _current_context(environ: Mapping[str, str]) -> str:
    try:
        return str(json.loads((_configuration(environ) / "config.json").read_bytes()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _context(name: str, environ: Mapping[str, str]) -> Endpoint | None:
    """A context is a folder named by the SHA-256 of its name (docker/cli, cli/context/store)."""
    folder = _configuration(environ) / "contexts"
    try:
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = json.loads((folder / "meta" / digest / "meta.json").read_bytes())
        host = str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    certificates = folder / "tls" / digest / "docker"
    return Endpoint(host, f"docker context {name}", certificates if certificates.is_dir() else None)
