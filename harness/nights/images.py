"""Images kept from night to night: tonight's, and of each cell the last one that was good.

    images/<history>/<track>/<cell>/<image id>.tar     a saved image
    images/<history>/<track>/<cell>/good               the id of the last good one

Two archives a cell at most. An image is good when its night ended without an alarm or a suspicion of its cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from harness.errors import StoreError


class SavedImages:
    """The kept images of one track. Raises StoreError where the disk does not take them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, cache: Path, results: Path, track: str) -> Self:
        """Those of the history in `results`: other projects share the cache, and their cells may be called alike."""
        history = hashlib.sha256(str(results.absolute()).encode()).hexdigest()[:12]
        return cls(cache / "images" / history / track)

    def put(self, cell: str, image: str, pieces: Iterable[bytes]) -> None:
        """Keep an image by its id; nothing is read where it is kept already."""
        path = self._path(cell, image)
        if path.exists():
            return
        temporary = path.with_suffix(".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.writelines(pieces)
            temporary.rename(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(
                f"the image cannot be kept: {error.strerror}", where=str(path), fix="Free some disk space."
            ) from error

    def good(self, cell: str) -> tuple[str, Path] | None:
        """Id and archive of the last good image; None where there is none."""
        mark = self._folder / cell / "good"
        if not mark.exists():
            return None
        image = mark.read_text(encoding="utf-8").strip()
        path = self._path(cell, image)
        return (image, path) if path.exists() else None

    def archive(self, cell: str, image: str) -> Path | None:
        path = self._path(cell, image)
        return path if path.exists() else None

    def promote(self, cell: str, image: str) -> None:
        """Tonight's image is good: it is what the next nights are compared with, and the only one kept."""
        if not self._path(cell, image).exists():
            return
        mark = self._folder / cell / "good"
        temporary = mark.with_suffix(".new")
        temporary.write_text(image + "\n", encoding="utf-8")
        temporary.rename(mark)
        self.prune(cell, {image})

    def prune(self, cell: str, wanted: set[str]) -> None:
        """Drop every archive of a cell but these and the good one."""
        good = self.good(cell)
        kept = {self._path(cell, image) for image in wanted | ({good[0]} if good else set())}
        for path in (self._folder / cell).glob("*.tar"):
            if path not in kept:
                path.unlink()

    def _path(self, cell: str, image: str) -> Path:
        return self._folder / cell / f"{image.removeprefix('sha256:')[:24]}.tar"
