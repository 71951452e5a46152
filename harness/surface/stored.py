"""Reads what a run has stored of a cell's image: its inventory and its layers.

A resumed run builds its images anew, so a cell may have several documents of a name; the newest counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from harness.errors import StoreError, UsageError
from harness.store.documents import STEPS, SURFACE, newest
from harness.store.run import Run
from harness.tomlfile import suggest

_MEASURE = "`tox -e bench -- -m surface` measures it."


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    cell: str
    surface: Mapping[str, Any]  # the fields of harness/surface/inventory.py's Inventory, by name
    steps: Mapping[str, Any]  # image, efficiency, and layers: the fields of LayerReport, by name


def stored_image(run: Run, cell: str) -> StoredImage:
    """Raises UsageError if the run has no such cell, StoreError if its image was not examined."""
    cells = [known.id for known in run.manifest.cells]
    if cell not in cells:
        raise UsageError("this run has no cell of this name", where=cell, fix=suggest(cell, cells, "Cells:"))
    return StoredImage(cell=cell, surface=_newest(run, cell, SURFACE), steps=_newest(run, cell, STEPS))


def _newest(run: Run, cell: str, name: str) -> Mapping[str, Any]:
    path = newest(run.folder, cell, name)
    if path is None:
        raise StoreError(f"{name} is not stored for {cell}", where=str(run.folder), fix=_MEASURE)
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise StoreError(
            "this is not a document of this kind, or a newer Tare wrote it", where=str(path), fix="Use a newer Tare."
        )
    return document
