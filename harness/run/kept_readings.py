"""Readings kept with a kept image: a reading that depends on the image alone is not taken again while the image is
kept.

It holds only for the same code: a reading is kept under a digest of the harness's own sources.
"""

from __future__ import annotations

import base64
import hashlib
import time
from functools import cache
from pathlib import Path

import orjson

import harness
from harness.cell.prepare import Prepared
from harness.lab.kept_images import Shelf
from harness.probes.base import ImageProbe, Probe, Reading

NOTE = "kept"  # field of a reading: when it was taken


def recall(shelf: Shelf | None, cell: Prepared, probe: Probe, state: str) -> Reading | None:
    """The reading kept with the cell's image; None if it has to be taken."""
    if not (shelf and cell.key and isinstance(probe, ImageProbe)):
        return None
    try:
        record = orjson.loads(shelf.note(cell.key, _name(probe, state)) or b"")
        artefacts = {name: base64.b64decode(data, validate=True) for name, data in record["artefacts"].items()}
        notes = {**record["notes"], NOTE: f"read {time.ctime(record['at'])}, kept with the image"}
        return Reading(record["values"], notes=notes, artefacts=artefacts)
    except (ValueError, KeyError, TypeError, AttributeError):  # missing or damaged
        return None


def keep(shelf: Shelf | None, cell: Prepared, probe: Probe, state: str, reading: Reading) -> None:
    """Keep a reading with the cell's image, if the image is kept and nothing was missing."""
    if (
        not (shelf and cell.key and isinstance(probe, ImageProbe))
        or {metric.name for metric in probe.metrics} - reading.values.keys()
    ):
        return
    artefacts = {name: base64.b64encode(data).decode() for name, data in reading.artefacts.items()}
    record = {"at": time.time(), "values": reading.values, "notes": reading.notes, "artefacts": artefacts}
    shelf.add(cell.key, _name(probe, state), orjson.dumps(record))


def _name(probe: Probe, state: str) -> str:
    return f"{probe.name} {state} {_code()}"


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(harness.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
