"""What a cell was made of in a run, and the differences between two runs: bases, packages, layers, Dockerfile, source,
engine.

Read from the run folder: the manifest, and the documents kept with a cell (`Dockerfile`, `layers.json`, `steps.json`,
`surface.json`, `source.json`) and with the run (`bases.json`). If a run lacks a document, it is not compared. If a
document has several versions (in a resumed run), the last version counts, because it belongs to the images that were
measured last.
"""

from __future__ import annotations

import difflib
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from harness.errors import StoreError
from harness.model import differing
from harness.store.documents import BASES, SOURCE, newest
from harness.store.format import Manifest, read_manifest
from harness.store.run import Run

_MOST_NAMED = 6
_MOST_LINES = 8  # lines of a Dockerfile's difference


_Sides = tuple[tuple[Path, str], tuple[Path, str]]  # folder and cell, before and after


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """One thing that differs: `kind` groups (base, package, layer …), `text` is for people, `bytes` its weight."""

    kind: str
    text: str
    bytes: int = 0


def differences(before: Path, after: Path, cell: str, *, after_cell: str = "") -> tuple[RunDifference, ...]:
    """The differences between two run folders for a cell; for the engine itself (cell "") only the environment.

    `after_cell` is the name of the cell in the second folder, if it has another name there.

    Raises StoreError if a folder holds no run.
    """
    old, new = read_manifest(before), read_manifest(after)
    found = [*_environment(old, new)]
    if cell:
        sides = (before, cell), (after, after_cell or cell)
        found += _bases(sides)
        found += _dockerfile(sides)
        found += _source(sides, old, new)
        found += _packages(sides)
        found += _layers(sides)
    return tuple(found)


def slower_phase(before: Run, after: Run, cell: str, metric: str) -> str:
    """The phase (build step, layer, start call) that grew most between two runs, or ""."""
    old, new = (_phases(run, cell, metric) for run in (before, after))
    grown = {name: seconds - old.get(name, 0.0) for name, seconds in new.items()}
    if not grown:
        return ""
    name = max(grown, key=lambda item: grown[item])
    if grown[name] <= 0:
        return ""
    was = f"{old[name]:.3g} s" if name in old else "not there"
    return f"{name}: {was} → {new[name]:.3g} s"


def _phases(run: Run, cell: str, metric: str) -> dict[str, float]:
    """Median seconds by phase over the tries that yielded this metric."""
    seen: dict[str, list[float]] = {}
    for try_ in run.tries():
        if try_.cell == cell and metric in try_.values:
            for phase in try_.phases:
                seen.setdefault(phase.name, []).append(phase.seconds)
    return {name: statistics.median(values) for name, values in seen.items()}


def _environment(old: Manifest, new: Manifest) -> Iterator[RunDifference]:
    for kind, ours, theirs in (
        ("environment", old.environment.facts, new.environment.facts),
        ("versions", old.versions, new.versions),
    ):
        yield from (RunDifference(kind=kind, text=text) for text in differing(ours, theirs))


def _bases(sides: _Sides) -> Iterator[RunDifference]:
    old, new = (_json(folder, "run", BASES) for folder, _ in sides)
    dockerfile = _text(*sides[1], "Dockerfile") or ""
    for role in sorted(old.keys() & new.keys()):
        named = f"BASE_{role.upper().replace('-', '_')}" in dockerfile
        # in a gate's run each revision has bases of its own: os-slim of the cell go-slim.base is os-slim.base
        before = old.get(f"{role}.{sides[0][1].rpartition('.')[2]}", old[role])
        if named and _identity(before) != _identity(new[role]):
            yield RunDifference(kind="base", text=f"base {role}: {_identity(before)} → {_identity(new[role])}")


def _identity(base: Any) -> str:
    """The beginning of the digest, or of the digest at the end of its name."""
    if not isinstance(base, dict):
        return str(base)
    digest = str(base.get("digest", ""))
    return digest[: len("sha256:") + 12] or str(base.get("name"))


def _dockerfile(sides: _Sides) -> Iterator[RunDifference]:
    old, new = (_text(folder, cell, "Dockerfile") for folder, cell in sides)
    if old is None or new is None or old == new:
        return
    lines = [
        line
        for line in difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    more = f" … {len(lines) - _MOST_LINES} more lines" if len(lines) > _MOST_LINES else ""
    yield RunDifference(kind="Dockerfile", text="Dockerfile: " + "; ".join(lines[:_MOST_LINES]) + more)


def _source(sides: _Sides, old: Manifest, new: Manifest) -> Iterator[RunDifference]:
    ours, theirs = (_json(folder, cell, SOURCE) for folder, cell in sides)
    if ours and theirs:
        names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        if not names:
            return
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        revision = f" (git {old.git[:12]} → {new.git[:12]})" if old.git != new.git else ""
        yield RunDifference(kind="source", text=f"app source: {', '.join(names[:_MOST_NAMED])}{more}{revision}")
    elif old.git != new.git:
        yield RunDifference(kind="source", text=f"git: {old.git[:12] or 'none'} → {new.git[:12] or 'none'}")


def _packages(sides: _Sides) -> Iterator[RunDifference]:
    old, new = (_installed(folder, cell) for folder, cell in sides)
    if old is None or new is None:
        return
    for name in sorted(old.keys() | new.keys()):
        ours, theirs = old.get(name), new.get(name)
        if ours and theirs:
            if ours[0] != theirs[0]:
                grown = theirs[1] - ours[1]
                size = f", {_signed(grown)}" if grown else ""
                yield RunDifference(kind="package", text=f"{name}: {ours[0]} → {theirs[0]}{size}", bytes=grown)
        elif theirs:
            yield RunDifference(kind="package", text=f"{name} {theirs[0]} added, {_signed(theirs[1])}", bytes=theirs[1])
        elif ours:
            yield RunDifference(kind="package", text=f"{name} {ours[0]} removed, {_signed(-ours[1])}", bytes=-ours[1])


def _installed(folder: Path, cell: str) -> dict[str, tuple[str, int]] | None:
    """Versions and bytes of the image's packages, by ecosystem and name; None if nobody looked."""
    record = _json(folder, cell, "surface.json")
    if "packages" not in record:
        return None
    found: dict[str, tuple[list[str], int]] = {}
    for item in record["packages"]:
        package = item.get("package", item)
        key = f"{package.get('ecosystem', '')} {package['name']}".strip()
        versions, size = found.setdefault(key, ([], 0))
        versions.append(str(package.get("version", "")))
        found[key] = versions, size + int(item.get("size", 0))
    return {key: (" ".join(sorted(versions)), size) for key, (versions, size) in found.items()}


def _layers(sides: _Sides) -> Iterator[RunDifference]:
    """Layers by the step that made them if the image names it, otherwise by position."""
    old, new = (_steps(folder, cell) for folder, cell in sides)
    if old is None or new is None:
        return
    for name in dict.fromkeys((*old, *new)):
        ours, theirs = old.get(name), new.get(name)
        if ours is None and theirs is not None:
            yield RunDifference(kind="layer", text=f"{name} added, {_signed(theirs)}", bytes=theirs)
        elif theirs is None and ours is not None:
            yield RunDifference(kind="layer", text=f"{name} gone, {_signed(-ours)}", bytes=-ours)
        elif ours is not None and theirs is not None and ours != theirs:
            yield RunDifference(kind="layer", text=f"{name}: {_signed(theirs - ours)}", bytes=theirs - ours)


def _steps(folder: Path, cell: str) -> dict[str, int] | None:
    """Compressed bytes by layer."""
    told = _json(folder, cell, "steps.json").get("layers")
    parts = _json(folder, cell, "layers.json").get("current", {}).get("layers")
    if told:
        sizes = [layer.get("packed") or layer.get("content") or 0 for layer in told]
        names = [str(layer.get("step") or "") for layer in told]
    elif parts:
        sizes = [layer["packed"] for layer in parts]
        names = ["of the base" if layer.get("base") else "" for layer in parts]
    else:
        return None
    result: dict[str, int] = {}
    for number, (name, size) in enumerate(zip(names, sizes, strict=True), 1):
        short = " ".join(name.split())
        short = short if len(short) <= 70 else short[:69] + "…"
        # by its step, so that an additional layer does not rename the layers above it; equal steps are numbered
        label, again = (f"layer {short}" if short else f"layer {number}"), 2
        while label in result:
            label, again = f"layer {short or number} ({again})", again + 1
        result[label] = int(size)
    return result


def _signed(size: int) -> str:
    magnitude = abs(size)
    text = f"{magnitude / 1e6:.1f} MB" if magnitude >= 1e6 else f"{magnitude / 1e3:.1f} kB" if magnitude >= 1e3 else ""
    return f"{'−' if size < 0 else '+'}{text or f'{magnitude} B'}"


def _text(folder: Path, cell: str, name: str) -> str | None:
    path = newest(folder, cell, name)
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path else None
    except OSError:
        return None


def _json(folder: Path, cell: str, name: str) -> dict[str, Any]:
    """The document; empty if there is none. Raises StoreError if it is not a JSON object."""
    path = newest(folder, cell, name)
    if path is None:
        return {}
    try:
        record = orjson.loads(path.read_bytes())
    except OSError:
        return {}
    except ValueError as error:
        raise StoreError("this is not JSON", where=str(path)) from error
    if not isinstance(record, Mapping):
        raise StoreError("this is not a JSON object", where=str(path))
    return dict(record)
