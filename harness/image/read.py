"""Reads images from the stream that an engine saves: which layers, in which order, with which entries.

Nothing is unpacked to disk and no content is kept: a layer is the list of its entries. The stream is read once, forward
only; an `Examine` function sees each file's content as it passes. The stream may be a docker-archive (manifest.json) or
an OCI image layout (index.json), its layers as they are, gzipped or zstd-compressed, its members in any order. Nothing
in it is trusted: broken or truncated input is a LayerError.

Specifications: OCI image-spec layer.md (entries), config.md (diff_ids), image-layout.md; Docker image specification
1.2 (manifest.json). harness/image/tar.py reads the tar format, harness/image/compression.py reads compressed streams.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from harness.image.compression import inflate, is_compressed
from harness.image.tar import BLOCK, Entry, Kind, LayerError, Source, entries, is_header

MAX_ENTRIES = 2_000_000  # entries of an image, all layers together: about 500 MB of records
_MAX_MEMBERS = 100_000  # members of an archive
_MAX_DOCUMENT = 8 << 20  # bytes of one JSON document …
_MAX_DOCUMENTS = 64 << 20  # … and of all
_MAX_LINKS = 40  # from one member to the next
_WHITEOUT = ".wh."
_FILE = Kind.FILE  # looking it up in the class takes longer than everything else

# Given a regular file that has content, the number of its bytes, and the source they may be read from (no byte
# more); what it returns is kept by the file's path, unless that is None. A sparse file has fewer bytes than its size.
Examine = Callable[[Entry, int, Source], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer as its tar archive describes it."""

    diff_id: str  # sha256:… of the tar; as the image's config says or as computed, "" if neither
    packed: int | None  # B in the archive if it is compressed there, otherwise None
    size: int  # B of the tar
    content: int  # B of all its regular files
    files: int  # regular files, whiteouts not counted
    entries: tuple[Entry, ...]  # in the archive's order, whiteouts included
    whiteouts: int = 0  # of the entries
    findings: Mapping[str, object] = field(default_factory=dict)  # what was found in files, by their entries' paths


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContents:
    layers: tuple[Layer, ...]  # lowest first
    config: Mapping[str, Any]  # the image's config document: config, history, rootfs …


def is_whiteout(entry: Entry) -> bool:
    """Whether an entry marks a deletion instead of being a file (layer.md, Whiteouts)."""
    path = entry.path
    return _WHITEOUT in path and path.rpartition("/")[2].startswith(_WHITEOUT)


def read_layer(
    stream: Iterable[bytes], *, digest: bool = False, examine: Examine | None = None, limit: int = MAX_ENTRIES
) -> Layer:
    """A layer from its tar, compressed or not. With `digest` its diff_id is computed, which takes a SHA-256 over the
    tar. Raises LayerError, also for more than `limit` entries.
    """
    source = Source(stream)
    return _layer(source.upto(BLOCK), source.rest(), digest=digest, limit=limit, examine=examine)


def read_image(stream: Iterable[bytes], *, digests: bool = False, examine: Examine | None = None) -> ImageContents:
    """The one image of a docker-archive or an OCI layout.

    diff_ids are those of the image's config; with `digests` they are computed and must agree.
    """
    archive = _Archive(digests=digests, examine=examine)
    source = Source(stream)
    for entry, stored in entries(source, limit=_MAX_MEMBERS):
        archive.add(entry, stored, source)
    source.drain()
    return archive.image()


def read_layers(
    config: Mapping[str, Any], streams: Iterable[Iterable[bytes]], *, examine: Examine | None = None
) -> ImageContents:
    """An image whose layers come one by one, lowest first, as a registry holds them. `config` is its document."""
    layers: list[Layer] = []
    limit = MAX_ENTRIES
    for number, stream in enumerate(streams):
        try:
            layers.append(read_layer(stream, examine=examine, limit=limit))
        except LayerError as error:
            raise LayerError(error.what, where=f"layer {number}", fix=error.fix) from None
        limit -= len(layers[-1].entries)
    return image_of(config, layers)


def image_of(config: Mapping[str, Any], layers: Sequence[Layer]) -> ImageContents:
    """An image of these layers, lowest first. `config` is its document, which names their diff_ids."""
    diff_ids = _diff_ids(config, "")
    if len(diff_ids) != len(layers):
        raise LayerError(f"{len(diff_ids)} diff_ids for {len(layers)} layers")
    named = (replace(layer, diff_id=diff_id) for layer, diff_id in zip(layers, diff_ids, strict=True))
    return ImageContents(layers=tuple(named), config=config)


def _diff_ids(config: Any, where: str) -> list[str]:
    try:
        return [str(digest) for digest in config["rootfs"]["diff_ids"]]
    except (KeyError, TypeError):
        raise LayerError("not an image config: it has no rootfs.diff_ids", where=where) from None


def _layer(head: bytes, rest: Iterable[memoryview], *, digest: bool, limit: int, examine: Examine | None) -> Layer:
    """`head` is the first block of the stored layer, or all of it if it is shorter."""
    stored = Source(chain([head], rest))
    compressed = is_compressed(head)
    pieces: Iterable[bytes | memoryview] = inflate(head, stored.rest()) if compressed else stored.rest()
    hashed = hashlib.sha256()
    source = Source(_hashing(pieces, hashed) if digest else pieces)
    findings: dict[str, object] = {}
    if examine:
        found = _examined(source, limit, examine, findings)
    else:
        found = [entry for entry, _ in entries(source, limit=limit)]
    source.drain()  # the padding belongs to the digest, and a compressed stream is checked at its end
    whiteouts = sum(map(is_whiteout, found))
    sizes = [entry.size for entry in found if entry.kind is _FILE and not (whiteouts and is_whiteout(entry))]
    return Layer(
        diff_id=f"sha256:{hashed.hexdigest()}" if digest else "",
        packed=stored.offset if compressed else None,
        size=source.offset,
        content=sum(sizes),
        files=len(sizes),
        entries=tuple(found),
        whiteouts=whiteouts,
        findings=findings,
    )


def _examined(source: Source, limit: int, examine: Examine, findings: dict[str, object]) -> list[Entry]:
    found = []
    for entry, stored in entries(source, limit=limit):
        found.append(entry)
        if stored and not is_whiteout(entry):
            finding = examine(entry, stored, source)
            if finding is not None:
                findings[entry.path] = finding
            elif entry.path in findings:  # the same path again: the last entry counts
                del findings[entry.path]
    return found


def _hashing(pieces: Iterable[bytes | memoryview], hashed: Any) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        hashed.update(piece)
        yield piece


class _Archive:
    """The members of a saved image, collected in any order."""

    def __init__(self, *, digests: bool, examine: Examine | None) -> None:
        self._digests = digests
        self._examine = examine
        self._documents: dict[str, bytes] = {}
        self._layers: dict[str, Layer | LayerError] = {}
        self._links: dict[str, str] = {}  # docker save writes a layer once, and a link if the layer is used again
        self._room = _MAX_DOCUMENTS
        self._limit = MAX_ENTRIES

    def add(self, member: Entry, stored: int, source: Source) -> None:
        if member.kind is Kind.SYMLINK:
            self._links[member.path] = posixpath.normpath(posixpath.join(posixpath.dirname(member.path), member.link))
        elif member.kind is Kind.HARDLINK:
            self._links[member.path] = member.link
        elif member.kind is Kind.FILE:
            head = source.read(min(stored, BLOCK))
            rest = source.take(stored - len(head))
            if is_compressed(head) or is_header(head) or head == bytes(BLOCK):
                try:
                    layer = _layer(head, rest, digest=self._digests, limit=self._limit, examine=self._examine)
                except LayerError as error:  # it is a fault only if it turns out to be a layer of the image
                    self._layers[member.path] = error
                else:
                    self._layers[member.path] = layer
                    self._limit -= len(layer.entries)
            elif head.lstrip()[:1] in (b"{", b"[") and stored <= min(_MAX_DOCUMENT, self._room):
                self._documents[member.path] = b"".join(chain([head], rest))
                self._room -= stored

    def image(self) -> ImageContents:
        if "manifest.json" in self._documents:
            config_name, layer_names = self._docker_manifest()
        elif "index.json" in self._documents:
            config_name, layer_names = self._oci_manifest()
        else:
            raise LayerError("not an image: it has neither manifest.json nor index.json")
        config = self._json(config_name)
        diff_ids = _diff_ids(config, config_name)
        if len(diff_ids) != len(layer_names):
            raise LayerError(f"{len(diff_ids)} diff_ids for {len(layer_names)} layers", where=config_name)
        layers = tuple(map(self._layer, layer_names, diff_ids))
        return ImageContents(layers=layers, config=config)

    def _docker_manifest(self) -> tuple[str, list[str]]:
        images = self._json("manifest.json")
        if isinstance(images, list) and len(images) > 1:
            raise LayerError(f"{len(images)} images in one archive", fix="Save one image at a time.")
        try:
            return str(images[0]["Config"]), [str(name) for name in images[0]["Layers"] or ()]
        except (LookupError, TypeError):
            raise LayerError("not a list of one image with Config and Layers", where="manifest.json") from None

    def _oci_manifest(self) -> tuple[str, list[str]]:
        name = "index.json"
        seen = set()
        try:
            while "manifests" in (document := self._json(name)):
                seen.add(name)
                names = [_blob(inner) for inner in document["manifests"] if not _is_attestation(inner)]
                names = [inner for inner in names if inner in self._documents]  # platforms that were not saved
                if len(names) != 1 or names[0] in seen:
                    fix = "Save one image for one platform."
                    raise LayerError(f"{len(names)} images in one archive", where=name, fix=fix)
                name = names[0]
            return _blob(document["config"]), [_blob(layer) for layer in document["layers"]]
        except (LookupError, TypeError, AttributeError):
            raise LayerError("neither an OCI index nor an OCI manifest", where=name) from None

    def _json(self, name: str) -> Any:
        if name not in self._documents:
            raise LayerError("missing in the archive, or not a JSON document", where=name)
        try:
            return json.loads(self._documents[name])
        except (ValueError, RecursionError):
            raise LayerError("not JSON", where=name) from None

    def _layer(self, name: str, diff_id: str) -> Layer:
        at = name
        for _ in range(_MAX_LINKS):
            at = self._links.get(at, at)
        layer = self._layers.get(at)
        if layer is None:
            raise LayerError("missing in the archive, or not a layer", where=name)
        if isinstance(layer, LayerError):
            raise LayerError(layer.what, where=name, fix=layer.fix)
        if layer.diff_id not in ("", diff_id):
            raise LayerError(f"holds {layer.diff_id}, not {diff_id} as the config says", where=name)
        return replace(layer, diff_id=diff_id)


def _blob(descriptor: Any) -> str:
    algorithm, _, digest = descriptor["digest"].partition(":")
    return f"blobs/{algorithm}/{digest}"


def _is_attestation(descriptor: Any) -> bool:
    """BuildKit's provenance is among the manifests of an index, as an image of an unknown platform."""
    return bool((descriptor.get("annotations") or {}).get("vnd.docker.reference.type"))
