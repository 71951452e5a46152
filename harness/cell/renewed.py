"""The images of a cell with layers that no engine can have yet, for pulls to an engine that cannot be emptied.

A user's engine keeps the layers that its build cache and the images of others hold, and a pull that finds them is no
pull to an empty node. So the images go into the registry once more before each visit, and every layer gets a few more
bytes: a gzip member (RFC 1952, 2.2: members follow each other) with a random block behind the end of the tar, which
whoever unpacks it skips. It is another blob then, with another content and the same files, and some 50 bytes larger.
Layers that two images of the cell share are shared still.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from harness.cell.prepare import Prepared
from harness.engine.contract import Engine
from harness.errors import EngineError, LabError
from harness.image.compression import inflate
from harness.image.manifest import Blob, ImageManifest
from harness.lab.lab import Lab
from harness.lab.node import Node
from harness.lab.registry import RegistryReader
from harness.lab.upload import Packed, Uploader

_GZIP = 16 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"
_BLOCK = 512  # B of a tar's blocks
_RANDOM = 16  # B, in the block
_NAMES = ("current", "changed", "base")


@contextmanager
def pullable(lab: Lab, node: Node, cell: Prepared) -> Iterator[Prepared]:
    """The cell as the node can pull it from nothing: with renewed images if the node is a user's engine itself.

    What was pulled of them goes at the end. Raises LabError if a layer is not gzip.
    """
    if node.engine is not lab.engine or lab.engine.info.origin == "private":
        yield cell
        return
    renewed = _renewed(lab.registry, cell)
    try:
        yield renewed
    finally:
        for name in _NAMES:
            _forget(node.engine, f"{node.registry}/{renewed.repository}:{name}")


def _forget(engine: Engine, image: str) -> None:
    with suppress(EngineError):  # something may still stand on it
        engine.remove_image(image)


def _renewed(registry: RegistryReader, cell: Prepared) -> Prepared:
    repository, uploader = f"{cell.repository}-{secrets.token_hex(4)}", Uploader(registry.push)
    block = secrets.token_bytes(_RANDOM).ljust(_BLOCK, b"\0")
    with tempfile.TemporaryDirectory() as folder:
        layers: dict[str, tuple[Packed, str]] = {}  # by the digest that a layer had: the new blob, and its diff id

        def upload(manifest: ImageManifest, name: str) -> ImageManifest:
            for blob in manifest.layers:
                if blob.digest not in layers:
                    layers[blob.digest] = _layer(registry, cell.repository, blob, block, Path(folder))
            document = dict(registry.config(cell.repository, manifest.digest))
            diff_ids = [layers[blob.digest][1] for blob in manifest.layers]
            document["rootfs"] = {**document["rootfs"], "diff_ids": diff_ids}
            packed = [layers[blob.digest][0] for blob in manifest.layers]
            return uploader.image(repository, name, config=json.dumps(document).encode(), layers=packed)

        return replace(
            cell,
            repository=repository,
            manifest=upload(cell.manifest, "current"),
            changed_manifest=upload(cell.changed_manifest, "changed"),
            base_manifest=upload(cell.base_manifest, "base") if cell.base_manifest else None,
        )


def _layer(registry: RegistryReader, repository: str, blob: Blob, block: bytes, folder: Path) -> tuple[Packed, str]:
    """The renewed layer in a file of `folder`, and its diff id."""
    path = folder / blob.digest.removeprefix("sha256:")
    digest, content = hashlib.sha256(), hashlib.sha256()
    pack = zlib.compressobj(wbits=_GZIP)
    member = pack.compress(block) + pack.flush()
    with path.open("wb") as file:
        for piece in chain(registry.blob(repository, blob.digest), (member,)):
            digest.update(piece)
            file.write(piece)
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
        if head != _MAGIC:
            raise LabError(
                "a layer is not gzip, so it cannot be made one that the engine does not have", where=blob.digest
            )
        file.seek(0)
        for piece in inflate(head + b"\x08", (memoryview(piece) for piece in iter(lambda: file.read(1 << 20), b""))):
            content.update(piece)
    return Packed(path, f"sha256:{digest.hexdigest()}", path.stat().st_size), f"sha256:{content.hexdigest()}"
