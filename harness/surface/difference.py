"""Why one image is larger than another, and what only one of them contains. Pure.

Layers are the same if their digests are. Packages are paired by ecosystem and name, and counted by the bytes of their
files. The largest files without a package are paired by path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.surface.stored import StoredImage
from harness.surface.tools import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentChange:
    """One thing in two images. Versions and bytes are None if it is missing."""

    name: str
    kind: str  # ecosystem of a package, "file" for a file without a package
    before: int | None  # B
    after: int | None  # B
    versions: tuple[str, str] = ("", "")

    @property
    def grows(self) -> int:
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDifference:
    """From image A (before) to image B (after)."""

    shared: tuple[Mapping[str, Any], ...]  # layers that both have
    only_before: tuple[Mapping[str, Any], ...]
    only_after: tuple[Mapping[str, Any], ...]
    packages: tuple[ContentChange, ...]  # largest change of bytes first; unchanged ones are left out
    files: tuple[ContentChange, ...]  # the same
    unnamed: int  # difference in B of the files that are not listed by name
    counts: tuple[tuple[str, int | None, int | None], ...]  # metrics of the surface probe that differ; None: not known
    tools: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]  # kind, names only before, only after

    @property
    def grows(self) -> int:
        """Bytes of files by which B is larger."""
        return sum(change.grows for change in (*self.packages, *self.files)) + self.unnamed


def difference(before: StoredImage, after: StoredImage) -> ImageDifference:
    digests = [{layer["diff_id"] for layer in image.steps["layers"]} for image in (before, after)]
    both = digests[0] & digests[1]
    packages = _packages(before.surface), _packages(after.surface)
    files, others = _files(before.surface), _files(after.surface)
    counts = before.surface["counts"], after.surface["counts"]
    return ImageDifference(
        shared=tuple(layer for layer in after.steps["layers"] if layer["diff_id"] in both),
        only_before=tuple(layer for layer in before.steps["layers"] if layer["diff_id"] not in both),
        only_after=tuple(layer for layer in after.steps["layers"] if layer["diff_id"] not in both),
        packages=_changes(*packages),
        files=_changes(files[0], others[0]),
        unnamed=others[1] - files[1],
        counts=tuple(
            (name, counts[0].get(name), counts[1].get(name))
            for name in dict.fromkeys((*counts[0], *counts[1]))
            if counts[0].get(name) != counts[1].get(name)
        ),
        tools=tuple(_tools(before.surface["tools"], after.surface["tools"])),
    )


_Things = dict[tuple[str, str], tuple[int, str]]  # kind and name: bytes and version


def _packages(surface: Mapping[str, Any]) -> _Things:
    """The bytes and versions of all packages of one name."""
    found: dict[tuple[str, str], tuple[int, set[str]]] = {}
    for item in surface["packages"]:
        package = item["package"]
        name = f"{package['group']}/{package['name']}" if package["group"] else package["name"]
        size, versions = found.get((package["ecosystem"], name), (0, set()))
        found[package["ecosystem"], name] = size + item["size"], versions | {package["version"]}
    return {key: (size, ", ".join(sorted(versions))) for key, (size, versions) in found.items()}


def _files(surface: Mapping[str, Any]) -> tuple[_Things, int]:
    """The largest files that belong to no package, and the bytes of the files listed neither by name nor by package."""
    named = {("file", file["path"]): (file["size"], "") for file in surface["files"] if file["owner"] < 0}
    told = sum(file["size"] for file in surface["files"]) + surface["rest"][1]
    owned = sum(item["size"] for item in surface["packages"])
    return named, told - owned - sum(size for size, _ in named.values())


def _changes(before: _Things, after: _Things) -> tuple[ContentChange, ...]:
    changes = []
    for kind, name in dict.fromkeys((*before, *after)):
        old, new = before.get((kind, name)), after.get((kind, name))
        if old != new:
            changes.append(
                ContentChange(
                    name=name,
                    kind=kind,
                    before=old[0] if old else None,
                    after=new[0] if new else None,
                    versions=(old[1] if old else "", new[1] if new else ""),
                )
            )
    return tuple(sorted(changes, key=lambda change: (-abs(change.grows), change.kind, change.name)))


def _tools(
    before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    for kind in KINDS:
        old, new = set(before.get(kind, ())), set(after.get(kind, ()))
        if old != new:
            yield kind, tuple(sorted(old - new)), tuple(sorted(new - old))
