"""OCI image layouts: a folder, or a tar of one, that holds an image as a registry would serve it.

The format is that of the OCI image specification, image-layout.md: `oci-layout`, `index.json` and `blobs/sha256/HEX`.
A tar with a `manifest.json` is a docker archive, which every engine loads by itself (also if it has an `index.json`).
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError

INDEX, DOCKER = "index.json", "manifest.json"
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ATTESTATION = "vnd.docker.reference.type"
_AGAIN = "Export the image again."
_DEPTH = 4  # of indexes in indexes


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutImage:
    """One image of a layout. `blobs` are its config and layers: digest and file."""

    manifest: bytes
    media_type: str
    blobs: tuple[tuple[str, Path], ...]
    config: Path


def is_layout(path: Path) -> bool:
    """Whether this is an OCI layout, folder or tar, and not a docker archive. Raises UsageError for any other file."""
    if path.is_dir():
        if (path / INDEX).is_file():
            return True
        raise UsageError("no OCI image layout: it has no index.json", where=str(path), fix="Name a folder that has.")
    names = set()
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                names.add(member.name.removeprefix("./"))
                if DOCKER in names:
                    return False
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(
            f"not an image archive: {_first_line(error)}", where=str(path), fix="Use `docker save -o FILE IMAGE`."
        ) from error
    if INDEX in names:
        return True
    fix = "Use `docker save -o FILE IMAGE`, or a tar of an OCI layout."
    raise UsageError("not an image archive: it has neither manifest.json nor index.json", where=str(path), fix=fix)


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of a tarred layout into `folder`. Raises UsageError."""
    try:
        with tarfile.open(archive) as members:
            members.extractall(folder, filter="data")
    except (OSError, tarfile.TarError, EOFError) as error:
        what = f"cannot be unpacked: {_first_line(error)}"
        raise UsageError(what, where=str(archive), fix=_AGAIN) from error


def read_layout(folder: Path, architecture: str) -> LayoutImage:
    """The image of a layout for linux and `architecture` (as OCI names it). Raises UsageError unless it has one."""
    path, document = folder / INDEX, _json(folder / INDEX, folder)
    for _ in range(_DEPTH):
        chosen = _choose(document, architecture, folder)
        path = _blob(folder, chosen)
        media_type = str(chosen.get("mediaType") or _MANIFEST)
        document = _json(path, folder)
        if not isinstance(document, dict):
            raise UsageError("neither an OCI index nor an OCI manifest", where=str(path), fix=_AGAIN)
        if media_type not in _INDEXES and "manifests" not in document:
            break
    else:
        raise UsageError(f"more than {_DEPTH} indexes in each other", where=str(folder / INDEX), fix=_AGAIN)
    try:
        parts = [document["config"], *document["layers"]]
    except (KeyError, TypeError):
        raise UsageError("neither an OCI index nor an OCI manifest", where=str(path), fix=_AGAIN) from None
    files = [_blob(folder, part) for part in parts]
    blobs = dict.fromkeys((str(part["digest"]), file) for part, file in zip(parts, files, strict=True))
    return LayoutImage(
        manifest=path.read_bytes(), media_type=media_type, blobs=tuple(blobs), config=_blob(folder, parts[0])
    )


def _choose(index: Any, architecture: str, folder: Path) -> dict[str, Any]:
    """The one entry of an index that is an image for this machine."""
    entries = [
        entry
        for entry in _list(index, "manifests")
        if isinstance(entry, dict) and _ATTESTATION not in _table(entry, "annotations")
    ]
    fitting = [
        entry
        for entry in entries
        if _table(entry, "platform").get("architecture", architecture) == architecture
        and _table(entry, "platform").get("os", "linux") == "linux"
    ]
    if len(fitting) == 1:
        return dict(fitting[0])
    what = f"{len(fitting) or 'no'} images for linux/{architecture} in the layout"
    raise UsageError(what, where=str(folder), fix="Export one image, for example with `skopeo copy`.")


def _first_line(error: Exception) -> str:
    """tarfile lists every form that it has tried, a line each."""
    return str(error).partition("\n")[0].rstrip(":")


def _list(document: Any, key: str) -> list[Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, list) else []


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _blob(folder: Path, descriptor: Any) -> Path:
    try:
        algorithm, _, digest = str(descriptor["digest"]).partition(":")
    except (KeyError, TypeError):
        raise UsageError("a descriptor has no digest", where=str(folder), fix=_AGAIN) from None
    path = folder / "blobs" / algorithm / digest
    if "/" in algorithm + digest or "\0" in algorithm + digest or ".." in (algorithm, digest) or not _is_file(path):
        raise UsageError(f"the blob {algorithm}:{digest} is missing", where=str(folder), fix=_AGAIN)
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _json(path: Path, folder: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}", where=str(folder), fix=_AGAIN) from error
    except ValueError:
        raise UsageError(f"{path.relative_to(folder)} is not JSON", where=str(folder), fix=_AGAIN) from None
