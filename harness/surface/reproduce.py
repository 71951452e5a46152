"""Which files make two builds of the same Dockerfile differ: layer by layer, entry by entry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from harness.image.read import ImageContents, Layer, read_image
from harness.image.tar import Entry, Source
from harness.store.format import encode

FILE = "reproducible.json"
_TOLD = 50  # files of a layer that are listed by name
_SUMMED = 3  # … and in a summary


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlikeFile:
    path: str
    how: str  # content | time | mode | owner | kind | link | capabilities; only first, only second


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlikeLayer:
    """A layer whose digest differs. No file is listed if only the order of entries differs."""

    number: int  # from 0
    count: int  # files that differ
    files: tuple[UnlikeFile, ...]  # files with other content come first


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    layers: tuple[UnlikeLayer, ...]

    def summary(self) -> str:
        """One line: how many files, and the first of them."""
        files = [file for layer in self.layers for file in layer.files]
        first = ", ".join(f"{file.path} ({file.how})" for file in files[:_SUMMED])
        return f"{sum(layer.count for layer in self.layers)} files differ: {first}" if first else "order of entries"

    def document(self) -> bytes:
        return encode({"schema": 1, **asdict(self)})


def unlike(first: Iterable[bytes], second: Iterable[bytes]) -> Unlike:
    """How the images of two saved streams differ. Raises LayerError if a stream cannot be read.

    If an image has more layers than the other, all files of these layers differ.
    """
    # hashing, and waiting for the engine, leave the interpreter to the other thread
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda stream: read_image(stream, digests=True, examine=_digest), (first, second))
    return Unlike(layers=tuple(_layers(one, other)))


def _digest(entry: Entry, stored: int, source: Source) -> bytes:  # noqa: ARG001 - as Examine is called
    hashed = hashlib.sha256()
    for piece in source.take(stored):
        hashed.update(piece)
    return hashed.digest()


def _layers(one: ImageContents, other: ImageContents) -> Iterator[UnlikeLayer]:
    for number in range(max(len(one.layers), len(other.layers))):
        pair = [image.layers[number] if number < len(image.layers) else None for image in (one, other)]
        if pair[0] and pair[1] and pair[0].diff_id == pair[1].diff_id:
            continue
        files = sorted(_files(pair[0], pair[1]), key=lambda file: (file.how == "time", file.path))
        yield UnlikeLayer(number=number, count=len(files), files=tuple(files[:_TOLD]))


def _files(one: Layer | None, other: Layer | None) -> Iterator[UnlikeFile]:
    entries = [{entry.path: entry for entry in layer.entries} if layer else {} for layer in (one, other)]
    for path in entries[0].keys() | entries[1].keys():
        mine, theirs = entries[0].get(path), entries[1].get(path)
        if mine is None or theirs is None:
            yield UnlikeFile(path=path, how="only second" if mine is None else "only first")
        elif how := _how(mine, theirs, one, other):
            yield UnlikeFile(path=path, how=how)


def _how(mine: Entry, theirs: Entry, one: Layer | None, other: Layer | None) -> str:
    """The most important difference."""
    path = mine.path
    contents = [layer.findings.get(path) if layer else None for layer in (one, other)]
    if mine.kind is not theirs.kind:
        return "kind"
    if contents[0] != contents[1]:
        return "content"
    differ = {
        "link": mine.link != theirs.link,
        "mode": mine.mode != theirs.mode,
        "owner": (mine.uid, mine.gid) != (theirs.uid, theirs.gid),
        "capabilities": mine.capability != theirs.capability,
        "time": mine.modified != theirs.modified,
    }
    return next((how for how, differs in differ.items() if differs), "")
