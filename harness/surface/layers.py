"""The layers of images, each read once for all images of a run that have it: cells of one strategy share their base.

Some files have to be traced by their content. Nearly all files of an image without a database of packages are among
them, so its layers are hashed as they are read: a second reading would inflate them again. In another image they are
few and mostly small. So the small files above its base are hashed as they are read, and only a layer that holds a
large one is read a second time, up to the last of them.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.image.read import MAX_ENTRIES, ImageContents, Layer, image_of, read_layer
from harness.image.tar import LayerError
from harness.surface.examine import MOST_BYTES, Examiner, is_package_document
from harness.surface.jars import Jars
from harness.surface.origins import AllFound, Wanted

_SMALL = 64 << 10  # B; hashing files of this size takes less time than reading a layer again
_MOST_ENTRIES = 400_000  # of layers that are kept in memory: about 150 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """A layer as a registry holds it. `open` gives its tar, compressed or not, from the beginning."""

    digest: str
    open: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLayer:
    """A layer that was read with an `Examiner`."""

    layer: Layer
    hashed: int  # B; every file up to this size was hashed
    md5: Mapping[str, bytes]  # of these files, by path
    used: int  # B of documents and packages that are kept of it
    short: bool  # whether something is missing because a limit was reached


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenImage:
    """An image that was read, and the checksums of its files."""

    contents: ImageContents
    stored: Sequence[StoredLayer]
    seen: Sequence[SeenLayer]

    def md5(self, wanted: Mapping[int, frozenset[str]]) -> Mapping[tuple[int, str], bytes]:
        """As `Origins.md5`."""
        found: dict[tuple[int, str], bytes] = {}
        for number, paths in wanted.items():
            seen = self.seen[number]
            known = seen.md5
            large = [entry.path for entry in seen.layer.entries if entry.size > seen.hashed and entry.path in paths]
            if large:
                look = Wanted(frozenset(large), len(large))
                with suppress(AllFound):
                    read_layer(self.stored[number].open(), examine=look)
                known = {**known, **look.found}
            found |= {(number, path): known[path] for path in paths if path in known}
        return found


class SeenLayers:
    """The layers that were read. Several threads may use it; what it keeps is bounded."""

    def __init__(self, most: int = _MOST_ENTRIES) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._reading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._kept: OrderedDict[str, SeenLayer] = OrderedDict()  # by digest, the least recently used first

    def read(self, config: Mapping[str, Any], stored: Sequence[StoredLayer], *, base: int = 0) -> SeenImage:
        """An image by its config and its layers, lowest first, of which the lowest `base` are of its base.

        Raises LayerError.
        """
        seen: list[SeenLayer] = []
        limits = Jars()
        room, entries = MOST_BYTES, MAX_ENTRIES
        declared = False  # whether a layer below has a database of packages
        for number, layer in enumerate(stored):
            hashed = 0 if number < base else _SMALL if declared else sys.maxsize
            try:
                one = self._seen(layer, hashed, room, entries, limits)
            except LayerError as error:
                raise LayerError(error.what, where=f"layer {number}", fix=error.fix) from None
            room -= one.used
            entries -= len(one.layer.entries)
            declared = declared or any(map(is_package_document, one.layer.findings))
            seen.append(one)
        contents = image_of(config, [one.layer for one in seen])
        return SeenImage(contents=contents, stored=tuple(stored), seen=tuple(seen))

    def forget(self) -> None:
        """Free the memory."""
        with self._guard:
            self._kept.clear()

    def _seen(self, stored: StoredLayer, hashed: int, room: int, entries: int, limits: Jars) -> SeenLayer:
        with self._guard:
            reading = self._reading[stored.digest]
        with reading:  # another image may be about to read the same layer
            with self._guard:
                known = self._kept.get(stored.digest)
                fits = known and known.used <= room and len(known.layer.entries) <= entries
                if known and fits and hashed <= known.hashed:
                    self._kept.move_to_end(stored.digest)
                    return known
            examiner = Examiner(room, limits, hashed=hashed)
            layer = read_layer(stored.open(), examine=examiner, limit=entries)
            used = room - examiner.room
            seen = SeenLayer(layer=layer, hashed=hashed, md5=examiner.md5, used=used, short=examiner.short)
            if not seen.short:
                self._keep(stored.digest, seen)
            return seen

    def _keep(self, digest: str, seen: SeenLayer) -> None:
        with self._guard:
            self._kept[digest] = seen
            self._kept.move_to_end(digest)
            while sum(len(one.layer.entries) for one in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
