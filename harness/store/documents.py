"""The names of the documents a run keeps beside its samples."""

from __future__ import annotations

BASES = "bases.json"  # of the run: role → what its base image is
SOURCE = "source.json"  # of a cell: file → digest
SURFACE = "surface.json"  # of a cell: its inventory and counts
STEPS = "steps.json"  # of a cell: its layers, each with the step that made it
CYCLONEDX = "sbom.cyclonedx.json"
SPDX = "sbom.spdx.json"
