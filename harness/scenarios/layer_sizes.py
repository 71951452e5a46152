"""The document `layers.json` of a cell's image, from which scenarios are computed. Pure.

A cell has two images, the unchanged app (`current`) and the app after its source change (`changed`), which represents
its next version. The time to unpack a layer is not included: it is a sample and is stored in the phases of the pulls
(see `profile_of`).

    {"schema": 1,
     "current": {"config": 2134, "layers": [{"digest": "sha256:…", "packed": 49286144, "base": true,
                                             "diff_id": "sha256:…", "content": 113442816}, …]},
     "changed": {…}}

Layers are lowest first. `packed` is the number of bytes on the wire; `content` is the sum of the layer's regular files,
B. `diff_id` and `content` are left out if the layer was not read. A resumed run builds anew: it has a `layers.json.1`
beside the first, and a pull belongs to the document that has its layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import orjson

from harness.engine.contract import LayerPull, PullResult
from harness.errors import StoreError
from harness.image.manifest import Blob
from harness.scenarios.pull_model import PullProfile, heard, is_layer, profile

if TYPE_CHECKING:
    from harness.image.manifest import ImageManifest
    from harness.model import Try

FILE = "layers.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSize:
    """One layer of an image. Bytes; None and "" if nobody has read it."""

    digest: str  # digest of the blob, from the manifest
    packed: int
    base: bool  # whether the base of the image's last stage has it
    diff_id: str = ""
    content: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayers:
    """An image as a registry holds it: its config (B) and its layers, lowest first."""

    config: int
    layers: tuple[LayerSize, ...]

    @classmethod
    def of(
        cls,
        manifest: ImageManifest,
        base: ImageManifest | None,
        *,
        diff_ids: Sequence[str] = (),
        contents: Sequence[int] = (),
    ) -> Self:
        """`diff_ids` and `contents` have one item for each layer of the manifest, or are not given.

        Raises ValueError if their numbers differ.
        """
        count = len(manifest.layers)
        if len(diff_ids) not in (0, count) or len(contents) not in (0, count):
            raise ValueError(f"{count} layers, but {len(diff_ids)} diff_ids and {len(contents)} contents")
        of_base = {layer.digest for layer in base.layers} if base else set()
        return cls(
            config=manifest.config.size,
            layers=tuple(
                LayerSize(
                    digest=blob.digest,
                    packed=blob.size,
                    base=blob.digest in of_base,
                    diff_id=diff_ids[number] if diff_ids else "",
                    content=contents[number] if contents else None,
                )
                for number, blob in enumerate(manifest.layers)
            ),
        )

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The layers as in a manifest, lowest first."""
        return tuple(Blob(layer.digest, layer.packed, "") for layer in self.layers)

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(layer.digest for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLayers:
    """The two images of a cell."""

    current: ImageLayers
    changed: ImageLayers

    def to_json(self) -> bytes:
        """The artefact `layers.json`, for `Reading.artefacts`."""
        record = {"schema": SCHEMA, "current": _image_record(self.current), "changed": _image_record(self.changed)}
        return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, data: bytes, *, where: str = FILE) -> Self:
        """Raises StoreError if `data` is not such a record, or if a newer Tare wrote it."""
        try:
            record = orjson.loads(data)
            if record["schema"] > SCHEMA:
                raise StoreError(
                    f"its schema is {record['schema']}, this Tare reads up to {SCHEMA}",
                    where=where,
                    fix="Use a newer Tare.",
                )
            return cls(current=_image_of(record["current"]), changed=_image_of(record["changed"]))
        except (KeyError, TypeError, ValueError) as error:
            what = f"this is not a record of layers: {error!r}"
            raise StoreError(what, where=where, fix="`tox -e bench -- -m size` writes it.") from error


def _image_record(image: ImageLayers) -> dict[str, object]:
    layers = []
    for layer in image.layers:
        record: dict[str, object] = {"digest": layer.digest, "packed": layer.packed, "base": layer.base}
        if layer.diff_id:
            record["diff_id"] = layer.diff_id
        if layer.content is not None:
            record["content"] = layer.content
        layers.append(record)
    return {"config": image.config, "layers": layers}


def _image_of(record: Mapping[str, Any]) -> ImageLayers:
    layers = tuple(
        LayerSize(
            digest=str(layer["digest"]),
            packed=int(layer["packed"]),
            base=bool(layer["base"]),
            diff_id=str(layer.get("diff_id", "")),
            content=None if layer.get("content") is None else int(layer["content"]),
        )
        for layer in record["layers"]
    )
    return ImageLayers(config=int(record["config"]), layers=layers)


def profile_of(pull: Try, seconds: float, image: ImageLayers) -> PullProfile | None:
    """The profile of a pull from a stored try: its `seconds` and its phases.

    The profile has the layers that were fetched, in the image's order, so it describes a pull to a node with the other
    layers. None if a fetched layer does not belong to the image or has no `unpack` phase: then another image was
    pulled, or the engine was silent.
    """
    stored = _stored_pull(pull, seconds)
    known = all(any(is_layer(each.layer, layer.digest) for layer in image.layers) for each in stored.layers)
    if not (known and heard(stored)):
        return None
    return profile(stored, image.blobs, partial=True)


def _stored_pull(pull: Try, seconds: float) -> PullResult:
    """A pull as its engine reported it, from the phases of a try.

    Phases are named `download <layer>` and `unpack <layer>` by the first digits of the blob's digest, as engines print
    them; their times count from the pull's t0. harness/probes/pull.py writes them.
    """
    layers: dict[str, LayerPull] = {}
    for phase in pull.phases:
        kind, _, name = phase.name.partition(" ")
        known = layers.get(name, LayerPull(layer=name, reused=False))
        end = phase.start + phase.seconds
        if kind == "download":
            layers[name] = replace(known, download_start=phase.start, download_end=end)
        elif kind == "unpack":
            layers[name] = replace(known, extract_start=phase.start, complete=end)
    return PullResult(seconds=seconds, layers=tuple(layers.values()))
