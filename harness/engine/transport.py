"""Calls of the Engine API on docker-py's own transport: their answers, time-outs and errors.

docker-py's wrappers of the calls that stream either drop data that is needed here or leave the answer open, so calls
use docker-py's session directly. The session brings the connection, the negotiated API version and the host's registry
logins.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import orjson
import requests
import urllib3
from docker import auth
from docker.errors import DockerException
from docker.tls import TLSConfig

from harness.engine.endpoint import Endpoint
from harness.errors import EngineError, EngineUnavailable

_ANSWER = 5  # s that an engine may take to report its version
_HUB = "registry-1.docker.io"  # how BuildKit names Docker Hub; configurations know it by its index
_ERRORS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Refused(EngineError):
    """The engine answered with an HTTP error. `status` is its code."""

    def __init__(self, what: str, *, status: int, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.status = status


class TimedOut(EngineError):
    """No answer in time, or no end of the answer."""


class BrokenOff(EngineError):
    """A streaming answer contained an error."""


class Transport:
    """The connection to an engine. `timeout` (s) applies to calls that have none of their own.

    Raises EngineUnavailable if nothing answers.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        tls: TLSConfig | bool = False
        try:
            if folder := endpoint.certificates:
                pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
                tls = TLSConfig(client_cert=pair, ca_cert=str(folder / "ca.pem"), verify=True)
            if endpoint.socket_path:  # docker-py forgets a socket that cannot connect
                endpoint.connect(timeout=_ANSWER).close()
            self._client = _Client(base_url=endpoint.url, version="auto", timeout=_ANSWER, tls=tls)
        except (*_ERRORS, ValueError) as error:
            raise EngineUnavailable(
                f"no engine answers: {error}",
                where=endpoint.url,
                fix="Start Docker, or point DOCKER_HOST to an engine.",
            ) from error

    @property
    def api_version(self) -> str:
        return str(self._client.api_version)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def open(
        self, method: str, path: str, *, timeout: float | None = None, **request: Any
    ) -> Iterator[requests.Response]:
        """A call whose answer is read inside the context, and closed by it.

        Raises Refused, TimedOut (also for a read that takes longer than `timeout`), EngineError.
        """
        limit = timeout or self._timeout
        url = f"{self._client.base_url}/v{self._client.api_version}{path}"
        try:
            with self._client.request(method, url, stream=True, timeout=limit, **request) as response:
                if response.status_code >= 400:
                    raise Refused(_explanation(response), status=response.status_code, where=path)
                yield response
        except _ERRORS as error:
            if _is_timeout(error):
                raise TimedOut(f"no end within {limit:g} s", where=path) from error
            raise EngineError(str(error) or type(error).__name__, where=path) from error

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The answer of a call: parsed JSON, or None if it is empty."""
        with self.open(method, path, **request) as response:
            said = response.content.strip()  # podman answers some calls with a line end alone
            return orjson.loads(said) if said else None

    def stream(self, path: str, *, timeout: float | None = None, **request: Any) -> Iterator[dict[str, Any]]:
        """The JSON objects, one on a line, of the answer to a POST that must end within `timeout` s.

        Raises what `open` does, and BrokenOff if an object contains an error.
        """
        limit = timeout or self._timeout
        deadline = time.monotonic() + limit
        with self.open("POST", path, timeout=limit, **request) as response:
            for line in _lines(response, deadline):
                message = orjson.loads(line)
                # "error" is deprecated since API 1.48, and "errorDetail" has been beside it since 1.0
                if error := message.get("error") or (message.get("errorDetail") or {}).get("message"):
                    raise BrokenOff(str(error).strip())
                yield message

    def credentials(self, registry: str) -> tuple[str, str]:
        """User name and secret for a registry from the host's docker configuration; "" and "" if it has none."""
        found = self._login("https://index.docker.io/v1/" if registry == _HUB else registry)
        if token := found.get("identitytoken"):
            return "", token
        return found.get("username", ""), found.get("password", "")

    def registry_header(self, image: str) -> dict[str, str]:
        """Login for the registry that `image` names. 20.10 refuses a push without this header, so it may be empty."""
        registry, _ = auth.resolve_repository_name(image)
        return {"X-Registry-Auth": auth.encode_header(self._login(registry)).decode()}

    def _login(self, registry: str) -> dict[str, str]:
        """The host's docker configuration for a registry, keys in lower case; empty if nothing can be read."""
        try:
            found = auth.resolve_authconfig(self._client._auth_configs, registry)  # type: ignore[attr-defined]
        except DockerException:  # a credential helper that fails is as good as none
            return {}
        return {key.lower(): str(value or "") for key, value in (found or {}).items()}


class _Client(docker.APIClient):
    """Ignores the environment's proxy variables, because no engine is behind the proxy that packages come through."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        self.trust_env = False
        return super().request(*arguments, **options)


def _explanation(response: requests.Response) -> str:
    """The engine's own words for an HTTP error."""
    try:
        return str(response.json()["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return response.text.strip() or response.reason


def _is_timeout(error: BaseException) -> bool:
    """requests wraps a time-out in the middle of an answer in its ConnectionError."""
    return isinstance(error, requests.Timeout | TimeoutError) or any(
        isinstance(cause, urllib3.exceptions.TimeoutError) for cause in error.args
    )


def _lines(response: requests.Response, deadline: float) -> Iterator[bytes]:
    """The lines of an answer as they come. Raises requests.Timeout when the deadline passes."""
    connection = getattr(response.raw, "connection", None)
    rest = b""
    for piece in response.iter_content(None):
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(bytes.strip, lines)
        left = deadline - time.monotonic()
        if left <= 0:
            raise requests.Timeout
        if sock := getattr(connection, "sock", None):
            sock.settimeout(left)  # the time left for the whole answer, not for one read
    if rest.strip():
        yield rest
