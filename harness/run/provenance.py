"""What is kept with a run so that the causes of a change can be found: the bases, and the files of each app's build
context.

harness/nights/blame.py reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from harness.cell.prepare import context_of
from harness.errors import BaseUnavailable
from harness.lab.bases.bases import BaseImage
from harness.model import Cell


def source_record(cell: Cell) -> bytes:
    """`source.json`: a digest for each file of a cell's build context."""
    path = cell.app.path
    digests = {name: hashlib.sha256((path / name).read_bytes()).hexdigest()[:16] for name in context_of(cell).files()}
    return orjson.dumps(digests, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def bases_record(bases: Mapping[str, BaseImage | BaseUnavailable]) -> bytes:
    """`bases.json`: the image of each role that is available."""
    known = {
        role: {"name": base.name, "image": base.image_id, **base.provenance}
        for role, base in sorted(bases.items())
        if isinstance(base, BaseImage)
    }
    return orjson.dumps(known, option=orjson.OPT_INDENT_2)
