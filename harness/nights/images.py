"""Images kept from night to night: tonight's, and the last good image of each cell.

    images/<history>/<track>/<cell>/<image id>.tar     a saved image
    images/<history>/<track>/<cell>/good               which one is good, since when and why, as JSON

Two archives of each cell are kept, and last night's archive until tonight is judged. The good image stays good until
its successor is proved (harness/nights/nightly.py says how), so that the reference does not creep along with a slow
change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import orjson

from harness.errors import StoreError
from harness.host.files import replace_file


class Good(NamedTuple):
    """The good image of a cell."""

    image: str
    night: str = ""  # run id of the night in which it was built; "" is not known
    at: float = 0.0  # Unix time since which it is good, s
    why: str = ""


class ImageShelf(Protocol):
    """The kept images of one track: `SavedImages` has them on disk, a simulation in memory."""

    def good(self, cell: str) -> Good | None: ...
    def has(self, cell: str, image: str) -> bool: ...
    def promote(self, cell: str, good: Good) -> None: ...
    def prune(self, cell: str, wanted: set[str]) -> None: ...


class SavedImages:
    """The kept images of one track. Raises StoreError if they cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, cache: Path, results: Path, track: str) -> Self:
        """The images of the history in `results`: other projects share the cache, and their cells may have the same
        names.
        """
        history = hashlib.sha256(str(results.absolute()).encode()).hexdigest()[:12]
        return cls(cache / "images" / history / track)

    def put(self, cell: str, image: str, pieces: Iterable[bytes]) -> None:
        """Save an image by its id; nothing is read if it is kept already."""
        path = self._path(cell, image)
        if path.exists():
            return
        try:
            replace_file(path, pieces)
        except OSError as error:
            raise StoreError(
                f"the image cannot be kept: {error.strerror}", where=str(path), fix="Free some disk space."
            ) from error

    def good(self, cell: str) -> Good | None:
        """The last good image; None if there is none, or its archive is gone."""
        try:
            text = (self._folder / cell / "good").read_text(encoding="utf-8").strip()
            record: dict[str, Any] = (
                orjson.loads(text) if text.startswith("{") else {"image": text}
            )  # older nights wrote the id alone
            good = Good(
                image=str(record["image"]),
                night=str(record.get("night", "")),
                at=float(record.get("at", 0.0)),
                why=str(record.get("why", "")),
            )
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            return None  # the mark is torn: the next night writes another
        return good if self.has(cell, good.image) else None

    def has(self, cell: str, image: str) -> bool:
        return bool(image) and self._path(cell, image).exists()

    def archive(self, cell: str, image: str) -> Path | None:
        return self._path(cell, image) if self.has(cell, image) else None

    def promote(self, cell: str, good: Good) -> None:
        """Make this image the good image from now on. Nothing happens if its archive is not kept."""
        if not self.has(cell, good.image):
            return
        mark = self._folder / cell / "good"
        replace_file(mark, orjson.dumps(good._asdict()) + b"\n")

    def prune(self, cell: str, wanted: set[str]) -> None:
        """Remove every archive of a cell except these and the good image."""
        good = self.good(cell)
        kept = {self._path(cell, image) for image in wanted | ({good.image} if good else set())}
        for path in (self._folder / cell).glob("*.tar"):
            if path not in kept:
                path.unlink()

    def _path(self, cell: str, image: str) -> Path:
        return self._folder / cell / f"{image.removeprefix('sha256:')[:24]}.tar"
