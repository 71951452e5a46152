"""Images of the fake engine: real config JSON, real layers, real archives, all in memory."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class FakeImage:
    """An image's config, as the JSON that its id is the digest of, and its layers, not compressed."""

    config: bytes
    layers: tuple[bytes, ...]

    @classmethod
    def of(cls, layers: tuple[bytes, ...], runtime: Mapping[str, object], architecture: str) -> Self:
        """An image of these layers; `runtime` is the "config" object of the OCI image config."""
        said = {
            "architecture": architecture,
            "os": "linux",
            "config": dict(runtime),
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
        return cls(json.dumps(said, sort_keys=True).encode(), layers)

    @classmethod
    def from_archive(cls, archive: bytes) -> Self:
        """The one image of a docker-archive. Raises ValueError for anything else."""
        files = files_of(archive)
        try:
            (entry,) = json.loads(files["manifest.json"])
            return cls(files[entry["Config"]], tuple(files[name] for name in entry["Layers"]))
        except KeyError as missing:
            raise ValueError(f"no docker-archive: {missing} is not in it") from missing

    def archive(self, names: Iterable[str]) -> bytes:
        """As a docker-archive that carries `names`."""
        layers = {f"{digest_of(layer)[7:]}/layer.tar": layer for layer in self.layers}
        paths = [f"{digest_of(layer)[7:]}/layer.tar" for layer in self.layers]
        config = f"{self.id[7:]}.json"
        manifest = json.dumps([{"Config": config, "RepoTags": list(names), "Layers": paths}]).encode()
        return tar({config: self.config, **layers, "manifest.json": manifest})

    @property
    def id(self) -> str:
        return digest_of(self.config)

    @property
    def manifest_digest(self) -> str:
        """The digest that a registry would give it: the digest of a manifest that is never written."""
        return digest_of(b"manifest of " + self.config)

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(json.loads(self.config)["rootfs"]["diff_ids"])

    @property
    def runtime(self) -> dict[str, Any]:
        return dict(json.loads(self.config)["config"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.runtime.get("Labels") or {})


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of executable `files`, the same for the same content; it can serve as a build context."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def files_of(archive: bytes) -> dict[str, bytes]:
    """The regular files of a tar archive, by name. Raises ValueError if it is not a tar archive."""
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as entries:
            for entry in entries:
                if content := entries.extractfile(entry):
                    files[entry.name.removeprefix("./")] = content.read()
    except (tarfile.TarError, KeyError) as error:
        raise ValueError(f"no tar archive: {error}") from error
    return files


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
