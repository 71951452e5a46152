"""The documents that a run keeps beside its samples: their names and versions.

A resumed run builds its images anew. If a document of a cell has changed then, it is stored as `<name>.1`,
`<name>.2` … beside the first. The newest version belongs to the present image of the cell.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = "artefacts"  # of a run: holds a folder for each cell

BASES = "bases.json"  # of the run: role → what its base image is
SOURCE = "source.json"  # of a cell: file → digest
SURFACE = "surface.json"  # of a cell: its inventory and counts
STEPS = "steps.json"  # of a cell: its layers, each with the step that made it
CYCLONEDX = "sbom.cyclonedx.json"
SPDX = "sbom.spdx.json"


def versions(run: Path, cell: str, name: str) -> list[Path]:
    """Every version of a cell's document in a run's folder, oldest first."""
    folder = run / FOLDER / cell
    numbered = re.compile(re.escape(name) + r"(?:\.([0-9]+))?")
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := numbered.fullmatch(path.name):
            found[int(match[1] or 0)] = path
    return [found[number] for number in sorted(found)]


def newest(run: Path, cell: str, name: str) -> Path | None:
    """The version of a cell's document that belongs to its present image; None if there is none."""
    return next(reversed(versions(run, cell, name)), None)
