"""Each layer of an image: the step that made it, its bytes, the wasted bytes, and the largest folders.

Efficiency is dive's (https://github.com/wagoodman/dive, dive/filetree/efficiency.go), so that both tools report the
same number for an image: over all paths that are leaves of any layer, the sum of the smallest size a path has in any
layer over the sum of all its sizes. A file that is deleted has the smallest size 0. A deleted folder counts as one
path, whose size is the size of its content, so it adds the same to both sums. Paths are taken as they are written; hard
links, symlinks and folders have no size.

If a whiteout names nothing, dive stops counting the layer; here the whiteout counts 0.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from harness.image.read import ImageContents, Layer, is_whiteout
from harness.image.tree import Account, Kind

_DIRECTORY = Kind.DIRECTORY
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh."  # prefix of other names that dive skips
_FOLDERS = 8  # folders that are listed for each layer
_SAME = 0.9  # share of a folder's bytes in one folder below it: then the folder below is listed instead


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One layer, lowest first in a list of them. Bytes."""

    number: int  # from 0
    diff_id: str
    step: str  # the instruction that made it, from the image's history; "" if unknown
    packed: int | None  # compressed, from the registry's manifest; None if it was not asked
    content: int  # B of its regular files
    waste: int  # B of them that later layers overwrite or delete
    files: int
    deleted: int  # whiteouts
    folders: tuple[tuple[str, int], ...]  # the largest folders: path and bytes below it


def report(image: ImageContents, account: Account, packed: Sequence[int] = ()) -> tuple[LayerReport, ...]:
    """`packed` are the compressed sizes of the layers, if they are known."""
    steps = _steps(image.config, len(image.layers))
    sizes: Sequence[int | None] = packed if len(packed) == len(image.layers) else [None] * len(image.layers)
    return tuple(
        LayerReport(
            number=number,
            diff_id=layer.diff_id,
            step=steps[number],
            packed=sizes[number],
            content=layer.content,
            waste=account.hidden[number],
            files=layer.files,
            deleted=layer.whiteouts,
            folders=largest_folders(layer),
        )
        for number, layer in enumerate(image.layers)
    )


def largest_folders(layer: Layer, count: int = _FOLDERS) -> tuple[tuple[str, int], ...]:
    """The folders with the most bytes below them; without folders whose bytes nearly all lie in a single folder
    below.
    """
    sizes: dict[str, int] = {}
    for entry in layer.entries:
        if entry.size and not (layer.whiteouts and is_whiteout(entry)):
            folder = entry.path.rpartition("/")[0]
            sizes[folder] = sizes.get(folder, 0) + entry.size
    inner: dict[str, int] = {}  # by folder: bytes of the largest folder in it
    # the deepest first: each adds its bytes to its parent, which may be new
    pending = sorted(sizes, key=_depth)
    while pending:
        folder = pending.pop()
        if folder:
            above = folder.rpartition("/")[0]
            if above not in sizes:
                insort(pending, above, key=_depth)
                sizes[above] = 0
            sizes[above] += sizes[folder]
            inner[above] = max(inner.get(above, 0), sizes[folder])
    telling = [(folder, size) for folder, size in sizes.items() if inner.get(folder, 0) < _SAME * size]
    return tuple(sorted(telling, key=lambda item: (-item[1], item[0]))[:count])


def efficiency(image: ImageContents) -> float:
    """dive's figure, 0 … 1; the module's docstring defines it."""
    smallest: dict[str, int] = {}
    total = 0
    stacked: dict[str, int] = {}  # sizes by path, of the layers below
    folders: set[str] = set()  # the paths among them that have an entry of their own
    for layer in image.layers:
        parents = {entry.path.rpartition("/")[0] for entry in layer.entries}
        sizes: dict[str, int] = {}
        below = _Below(stacked, folders)
        gone = []
        for entry in layer.entries:
            path = entry.path
            if layer.whiteouts and is_whiteout(entry):
                folder, _, name = path.rpartition("/")
                if not name.startswith(_OPAQUE):
                    path = f"{folder}/{name.removeprefix(_WHITEOUT)}".removeprefix("/")
                    gone.append(path)
                    sizes[path] = below.size(path)
            elif entry.kind is not _DIRECTORY or path not in parents:
                sizes[path] = entry.size
        for path, size in sizes.items():
            total += size
            smallest[path] = min(size, smallest.get(path, size))
        below.remove(gone)
        for entry in layer.entries:
            if not (layer.whiteouts and is_whiteout(entry)):
                stacked[entry.path] = entry.size
                if entry.kind is _DIRECTORY:
                    folders.add(entry.path)
    return sum(smallest.values()) / total if total else 1.0


class _Below:
    """The stack of the lower layers, in which a folder's bytes are found by bisection: a layer may delete thousands."""

    def __init__(self, stacked: dict[str, int], folders: set[str]) -> None:
        self._stacked = stacked
        self._folders = folders
        self._paths: list[str] | None = None
        self._sums: list[int] = []

    def size(self, path: str) -> int:
        """Bytes in the folder at `path`; 0 if it is not a folder."""
        if path not in self._folders:
            return 0
        start, end = self._range(path)
        return self._sums[end] - self._sums[start]

    def remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            start, end = self._range(path)
            assert self._paths is not None
            for gone in (path, *self._paths[start:end]):
                self._stacked.pop(gone, None)
                self._folders.discard(gone)

    def _range(self, path: str) -> tuple[int, int]:
        if self._paths is None:
            self._paths = sorted(self._stacked)
            self._sums = [0, *accumulate(self._stacked[name] for name in self._paths)]
        return bisect_left(self._paths, path + "/"), bisect_left(self._paths, path + "0")  # "0" follows "/"


def _depth(path: str) -> int:
    return path.count("/") + bool(path)


def _steps(config: Mapping[str, Any], layers: int) -> list[str]:
    """The instruction of each layer, from the history's entries that are not empty; "" if their number differs."""
    history = config.get("history")
    made = [step for step in history if isinstance(step, Mapping)] if isinstance(history, list) else []
    steps = [
        _instruction(str(step.get("created_by") or step.get("comment") or ""))
        for step in made
        if not step.get("empty_layer")
    ]
    return steps if len(steps) == layers else [""] * layers


def _instruction(text: str) -> str:
    """The author's instruction without the builder's additions."""
    text = " ".join(text.split()).removesuffix(" # buildkit")
    text = re.sub(r"^(RUN )?\|\d+ (?:\w+=\S* )*(?=/bin/)", "RUN ", text)  # build arguments
    if match := re.match(r"(?:RUN )?/bin/sh -c (?:#\(nop\) +)?(.*)", text):
        text = match[1] if "#(nop)" in text else f"RUN {match[1]}"
    return re.sub(r"--mount=type=secret,id=tare-\S+ ", "", text)
