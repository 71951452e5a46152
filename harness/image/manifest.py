"""Manifests of the OCI image specification and of Docker v2, decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from harness.errors import LabError


@dataclass(frozen=True, slots=True)
class Blob:
    """A manifest's description of a blob. `size` is the number of bytes on the wire: compressed if the layer is."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """An image's manifest. `digest` is its own digest; if the name led to an index, it is the digest of the platform's
    manifest.
    """

    digest: str
    media_type: str
    config: Blob
    layers: tuple[Blob, ...]  # lowest first

    @property
    def transfer_bytes(self) -> int:
        """The bytes that an empty engine fetches: config and layers as the manifest states them, each distinct blob
        once, without the manifest itself and the protocol's overhead.
        """
        return sum({blob.digest: blob.size for blob in (self.config, *self.layers)}.values())


def base_layers(manifest: ImageManifest, base: ImageManifest | None) -> int:
    """How many of the lowest layers belong to the base.

    By position: an image may repeat a layer of its base further up, as two empty layers are the same blob.
    """
    pairs = zip(manifest.layers, base.layers if base else (), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].digest == pair[1].digest, pairs))


def parse_manifest(document: Mapping[str, Any], digest: str, media_type: str) -> ImageManifest:
    """A Docker v2 or OCI image manifest, decoded. Raises LabError if it is neither."""
    try:
        config, *layers = (
            Blob(str(item["digest"]), int(item["size"]), str(item.get("mediaType", "")))
            for item in (document["config"], *document["layers"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"a manifest of type {media_type or 'unknown'} cannot be read: {error!r}",
            where=digest,
            fix="Push the image again with an engine that writes Docker v2 or OCI manifests.",
        ) from error
    return ImageManifest(digest, media_type, config, tuple(layers))
