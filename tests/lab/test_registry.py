"""The registry: reading manifests (against a scripted server), and the real program with a real push."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import LabError
from harness.host.network import Network
from harness.host.reaper import Reaper
from harness.image.manifest import Blob, ImageManifest, parse_manifest
from harness.lab.registry import LOOPBACK, Registry, choose_platform, host_architecture
from harness.settings import Settings

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def describe(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


CONFIG = json.dumps({"architecture": host_architecture(), "os": "linux", "rootfs": {"diff_ids": []}}).encode()
LAYERS = (b"lowest" * 1000, b"highest" * 2000)
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": DOCKER,
        "config": describe(CONFIG, "application/vnd.docker.container.image.v1+json"),
        "layers": [describe(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip") for layer in LAYERS],
    }
).encode()


def index(*platforms: tuple[str, str, str]) -> bytes:
    entries = [
        {"digest": digest, "platform": {"os": system, "architecture": architecture}}
        for system, architecture, digest in platforms
    ]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


class Pages(dict[str, tuple[str, bytes, dict[str, str]]]):
    """Path → media type, body, further headers; what else is asked for is not found. Keeps the Accept headers."""

    accepted: list[str]


@pytest.fixture
def pages() -> Iterator[tuple[Pages, Registry]]:
    """What a scripted server answers, and a Registry that reads from it."""
    known = Pages()
    known.accepted = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.accepted.append(self.headers.get("Accept", ""))
            media_type, body, headers = known.get(self.path, ("text/plain", b"", {}))
            self.send_response(200 if self.path in known else 404)
            for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        registry = Registry(Settings(cache=Path("unused")), None)  # type: ignore[arg-type]
        registry.port = server.server_address[1]
        try:
            yield known, registry
        finally:
            server.shutdown()
            thread.join()


@given(st.lists(st.integers(0, 10**12)), st.integers(0, 10**6))
def test_transfer_bytes_is_what_the_manifest_states(sizes: list[int], config: int) -> None:
    layers = tuple(Blob(f"sha256:{number}", size, "") for number, size in enumerate(sizes))
    manifest = ImageManifest("sha256:m", OCI, Blob("sha256:c", config, ""), layers)
    assert manifest.transfer_bytes == sum(sizes) + config
    again = ImageManifest("sha256:m", OCI, manifest.config, layers + layers)
    assert again.transfer_bytes == manifest.transfer_bytes  # engines fetch a blob once


def test_a_manifest_is_decoded(pages: tuple[Pages, Registry]) -> None:
    known, registry = pages
    known["/v2/a/b/manifests/x"] = (f"{DOCKER}; charset=utf-8", MANIFEST, {"Docker-Content-Digest": sha256(MANIFEST)})
    manifest = registry.manifest("a/b", "x")
    assert (manifest.digest, manifest.media_type) == (sha256(MANIFEST), DOCKER)
    assert manifest.config.digest == sha256(CONFIG)
    assert [(layer.digest, layer.size) for layer in manifest.layers] == [(sha256(data), len(data)) for data in LAYERS]
    assert manifest.transfer_bytes == len(CONFIG) + sum(map(len, LAYERS))
    assert all(media_type in known.accepted[0] for media_type in (DOCKER, OCI, INDEX, LIST))


@pytest.mark.parametrize("media_type", [INDEX, LIST])
def test_an_index_leads_to_the_platforms_manifest(pages: tuple[Pages, Registry], media_type: str) -> None:
    known, registry = pages
    listed = index(
        ("unknown", "unknown", "sha256:attestation"),
        ("linux", "s390x", "sha256:other"),
        ("linux", host_architecture(), sha256(MANIFEST)),
    )
    known["/v2/a/manifests/x"] = (media_type, listed, {"Docker-Content-Digest": sha256(listed)})
    known[f"/v2/a/manifests/{sha256(MANIFEST)}"] = (OCI, MANIFEST, {})
    assert registry.manifest("a", "x").digest == sha256(MANIFEST)
    with pytest.raises(LabError, match="no linux/mips but"):
        registry.manifest("a", "x", architecture="mips")


def test_an_index_offers_what_it_has() -> None:
    listed = json.loads(index(("linux", "arm64", "sha256:1"), ("windows", "amd64", "sha256:2")))
    assert choose_platform(listed, "arm64") == "sha256:1"
    with pytest.raises(LabError, match="no linux/amd64 but arm64"):
        choose_platform(listed, "amd64")
    with pytest.raises(LabError, match="but nothing"):
        choose_platform({}, "amd64")


@pytest.mark.parametrize("document", [{}, {"config": {}, "layers": []}, {"config": None, "layers": None}])
def test_what_is_no_manifest_is_said_to_be_none(document: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="cannot be read"):
        parse_manifest(document, "sha256:1", "text/html")


def test_digests_are_checked(pages: tuple[Pages, Registry]) -> None:
    known, registry = pages
    wrong = "sha256:" + "0" * 64
    known["/v2/a/manifests/x"] = (DOCKER, MANIFEST, {"Docker-Content-Digest": wrong})
    known[f"/v2/a/manifests/{wrong}"] = (DOCKER, MANIFEST, {})
    known[f"/v2/a/blobs/{wrong}"] = ("application/octet-stream", LAYERS[0], {})
    for ask in (
        lambda: registry.manifest("a", "x"),
        lambda: registry.manifest("a", wrong),
        lambda: list(registry.blob("a", wrong)),
    ):
        with pytest.raises(LabError, match=f"the content of {wrong} has the digest"):
            ask()


def test_a_manifest_that_is_not_json_is_an_error(pages: tuple[Pages, Registry]) -> None:
    known, registry = pages
    known["/v2/a/manifests/x"] = ("text/html", b"<html>", {})
    with pytest.raises(LabError, match="not JSON"):
        registry.manifest("a", "x")


def test_a_blob_cut_short_is_an_error(pages: tuple[Pages, Registry]) -> None:
    known, registry = pages
    whole = sha256(LAYERS[0])
    known[f"/v2/a/blobs/{whole}"] = ("application/octet-stream", LAYERS[0][:-1], {})
    with pytest.raises(LabError):
        list(registry.blob("a", whole))


def test_what_is_not_there_is_said(pages: tuple[Pages, Registry]) -> None:
    _, registry = pages
    with pytest.raises(LabError, match="the registry answers 404 Not Found") as caught:
        registry.manifest("a", "x")
    assert f"{registry.push}/v2/a/manifests/x" in str(caught.value)


def test_a_registry_that_is_gone_is_said(pages: tuple[Pages, Registry]) -> None:
    _, registry = pages
    registry.port = 1
    with pytest.raises(LabError, match="does not answer"):
        registry.manifest("a", "x")


# Live: the distribution's docker-registry. Nothing here needs an engine: the push is the protocol's own.


def request(address: str, method: str, path: str, body: bytes = b"", media_type: str = "") -> tuple[int, str, bytes]:
    """Status, Location and body."""
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        headers = {"Accept": DOCKER} | ({"Content-Type": media_type} if media_type else {})
        connection.request(method, path, body, headers)
        with connection.getresponse() as answer:
            return answer.status, answer.getheader("Location") or "", answer.read()


def push(address: str, repository: str, tag: str) -> None:
    for blob in (CONFIG, *LAYERS):
        status, location, _ = request(address, "POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202
        assert location.startswith("/"), "an absolute address would lead past a link"
        sign = "&" if "?" in location else "?"
        assert (
            request(address, "PUT", f"{location}{sign}digest={sha256(blob)}", blob, "application/octet-stream")[0]
            == 201
        )
    assert request(address, "PUT", f"/v2/{repository}/manifests/{tag}", MANIFEST, DOCKER)[0] == 201


@pytest.mark.live
def test_the_real_registry(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path)
    with Reaper(tmp_path) as reaper:
        with Registry(settings, reaper, announce=print) as registry:
            assert registry.push == registry.pull == f"{LOOPBACK}:{registry.port}"
            push(registry.push, "app/one", "x")
            manifest = registry.manifest("app/one", "x")
            assert manifest.digest == sha256(MANIFEST)
            assert registry.manifest("app/one", manifest.digest) == manifest
            assert b"".join(registry.blob("app/one", manifest.layers[1].digest)) == LAYERS[1]
            assert registry.config("app/one", "x") == json.loads(CONFIG)
            assert request(registry.push, "DELETE", f"/v2/app/one/manifests/{manifest.digest}")[0] == 405
            with pytest.raises(LabError, match="404"):
                registry.manifest("app/two", "x")
            (storage,) = (tmp_path / "registries").iterdir()
            assert "app" in str(list(storage.rglob("_manifests")))
        assert not storage.exists()
        with pytest.raises(ConnectionRefusedError):
            request(registry.push, "GET", "/v2/")


@pytest.mark.live
def test_both_addresses_serve_the_same_and_nothing_else_does(tmp_path: Path) -> None:
    if reason := Network.impossible():
        pytest.skip(reason)
    with (
        Reaper(tmp_path) as reaper,
        Network(reaper) as network,
        Registry(Settings(cache=tmp_path), reaper, address=network.address) as registry,
    ):
        assert registry.push == f"{LOOPBACK}:{registry.port}"
        assert registry.pull == f"{network.address}:{registry.port}"
        push(registry.push, "app", "x")
        assert request(registry.pull, "GET", "/v2/app/manifests/x")[2] == MANIFEST
        with pytest.raises(ConnectionRefusedError):
            request(f"127.0.0.2:{registry.port}", "GET", "/v2/")


@pytest.mark.live
def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with (
        Reaper(tmp_path) as reaper,
        pytest.raises(LabError, match="cannot listen"),
        Registry(Settings(cache=tmp_path), reaper, address="192.0.2.77"),
    ):
        pass
    assert not list((tmp_path / "registries").glob("*"))
