"""Puts images into a registry without an engine, so that every engine has the uploaded bytes.

An engine compresses a layer that it built itself, and keeps the compressed bytes of a layer that it pulled. So that a
base has the same bytes on every engine and with every image store, bases are compressed once and pulled from here
(OCI distribution specification: POST and PUT /v2/<repository>/blobs/uploads/, PUT /v2/<repository>/manifests/<tag>).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from harness.errors import LabError
from harness.image.layout import LayoutImage
from harness.image.manifest import Blob, ImageManifest

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"  # a format that every engine since 1.10 reads
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_LEVEL = 6  # the level of gzip that engines push with
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # gzip without a name, a time or a system
_WINDOW = 1 << 15  # B that deflate looks back
_PIECE = 1 << 20  # B
_PATIENCE = 300.0  # s of silence


@dataclass(frozen=True, slots=True)
class Packed:
    """A compressed layer in a file. `size` is in bytes."""

    path: Path
    digest: str
    size: int


def pack_layer(tar: Path, out: Path) -> Packed:
    """Compress a layer as engines do, without a name or time in its header, so that the same layer gives the same
    bytes. If `out` already holds a whole file, it is used.
    """
    record = out.with_suffix(".json")
    try:
        known = json.loads(record.read_bytes())
        if out.stat().st_size == known["size"]:
            return Packed(out, str(known["digest"]), int(known["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    part = out.with_name(f"{out.name}.{id(out):x}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as target:
            for data in _squeezed(tar):
                digest.update(data)
                size += target.write(data)
        part.replace(out)
        found = Packed(out, f"sha256:{digest.hexdigest()}", size)
        part.write_text(json.dumps({"digest": found.digest, "size": size}), encoding="utf-8")
        part.replace(record)
    finally:
        part.unlink(missing_ok=True)
    return found


def _squeezed(path: Path) -> Iterator[bytes]:
    """A file as one gzip member (RFC 1952), its pieces compressed side by side, as pigz does.

    Each piece knows the end of the piece before, so the whole is hardly larger than from one thread: by less than
    0.1 % for the layer of a Go SDK. How many threads there are does not change a byte.
    """
    workers = os.cpu_count() or 1
    under_way: deque[Future[bytes]] = deque()
    check = length = 0
    yield _HEADER
    with path.open("rb") as file, ThreadPoolExecutor(workers) as pool:
        before, piece = b"", file.read(_PIECE)
        while True:
            following = file.read(_PIECE)
            check, length = zlib.crc32(piece, check), length + len(piece)
            under_way.append(pool.submit(_deflated, piece, before, last=not following))
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
            if not following:
                break
            before, piece = piece[-_WINDOW:], following
        while under_way:
            yield under_way.popleft().result()
    yield struct.pack("<II", check, length & 0xFFFFFFFF)


def _deflated(piece: bytes, before: bytes, *, last: bool) -> bytes:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return squeeze.compress(piece) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class Uploader:
    """Uploads to the registry at `address` (host:port, plain HTTP). Raises LabError if it refuses."""

    def __init__(self, address: str) -> None:
        self._address = address

    def image(self, repository: str, tag: str, *, config: bytes, layers: Sequence[Packed]) -> ImageManifest:
        """Have the registry hold an image under `repository:tag`; blobs that it has already are not sent."""
        settings = Packed(Path(), f"sha256:{hashlib.sha256(config).hexdigest()}", len(config))
        for blob in dict.fromkeys(layers):
            self._blob(repository, blob, _pieces(blob.path))
        self._blob(repository, settings, [config])
        manifest = ImageManifest(
            "",
            MANIFEST,
            Blob(settings.digest, settings.size, _CONFIG),
            tuple(Blob(layer.digest, layer.size, _LAYER) for layer in layers),
        )
        return self._manifest(repository, tag, manifest)

    def layout(self, repository: str, tag: str, image: LayoutImage) -> None:
        """Have the registry hold an image of an OCI layout, with the bytes that it has there."""
        for digest, path in image.blobs:
            self._blob(repository, Packed(path, digest, path.stat().st_size), _pieces(path))
        path_of = f"/v2/{repository}/manifests/{tag}"
        self._ask("PUT", path_of, [image.manifest], length=len(image.manifest), kind=image.media_type)

    def also(self, manifest: ImageManifest, source: str, repository: str, tag: str) -> ImageManifest:
        """Have the registry hold an image of the repository `source` under `repository:tag` too; nothing is sent."""
        for blob in {blob.digest: blob for blob in (manifest.config, *manifest.layers)}.values():
            path = f"/v2/{repository}/blobs/uploads/?{urlencode({'mount': blob.digest, 'from': source})}"
            self._ask("POST", path, expected=(http.client.CREATED,))
        return self._manifest(repository, tag, manifest)

    def _manifest(self, repository: str, tag: str, manifest: ImageManifest) -> ImageManifest:
        def entry(blob: Blob) -> dict[str, object]:
            return {"mediaType": blob.media_type, "size": blob.size, "digest": blob.digest}

        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": entry(manifest.config),
            "layers": [entry(layer) for layer in manifest.layers],
        }
        body = json.dumps(document, separators=(",", ":")).encode()
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", [body], length=len(body), kind=MANIFEST)
        return ImageManifest(f"sha256:{hashlib.sha256(body).hexdigest()}", MANIFEST, manifest.config, manifest.layers)

    def _blob(self, repository: str, blob: Packed, pieces: Iterable[bytes]) -> None:
        found = (http.client.OK, http.client.NOT_FOUND)
        status, _ = self._ask("HEAD", f"/v2/{repository}/blobs/{blob.digest}", expected=found)
        if status == http.client.OK:
            return
        _, location = self._ask("POST", f"/v2/{repository}/blobs/uploads/", expected=(http.client.ACCEPTED,))
        target = urlsplit(location)
        query = "&".join(filter(None, (target.query, urlencode({"digest": blob.digest}))))
        self._ask("PUT", f"{target.path}?{query}", pieces, length=blob.size)

    def _ask(
        self,
        method: str,
        path: str,
        body: Iterable[bytes] = (),
        *,
        length: int = 0,
        kind: str = "application/octet-stream",
        expected: Sequence[int] = (http.client.CREATED,),
    ) -> tuple[int, str]:
        """Status, and where the answer points to."""
        # http.client, not urllib: a proxy set for the outside world must not be asked for an address of this machine
        connection = http.client.HTTPConnection(self._address, timeout=_PATIENCE)
        headers: Mapping[str, str] = {"Content-Length": str(length), "Content-Type": kind}
        try:
            connection.request(method, path, body=body if length else None, headers=headers)
            with connection.getresponse() as answer:
                said = answer.read().decode(errors="replace").strip()
                if answer.status not in expected:
                    raise LabError(
                        f"the registry answers {answer.status} {answer.reason} to an upload: {said[:200]}",
                        where=f"{self._address}{path.partition('?')[0]}",
                        fix="Check that its disk has room.",
                    )
                return answer.status, answer.getheader("Location") or ""
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the registry does not answer: {error!r}", where=self._address) from error
        finally:
            connection.close()


def _pieces(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
