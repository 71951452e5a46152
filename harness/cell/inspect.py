"""What is inside a prepared cell's image, read from the layers that the registry holds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness.host.collector import held_back
from harness.image.manifest import base_layers
from harness.lab.bases.bases import BaseImage
from harness.lab.origins import CellOrigins
from harness.surface.inspection import Inspection, inspection_of
from harness.surface.layers import SeenImage, StoredLayer

if TYPE_CHECKING:
    from harness.cell.prepare import Prepared
    from harness.lab.lab import Lab
    from harness.lab.state import RunState


def inspected(lab: Lab, state: RunState, cell: Prepared) -> Inspection:
    """The inspection of a cell's image, which is walked once for all probes that ask.

    It reads the layers from the registry, because an engine that saves an image writes all of it to its disk first.
    """
    return state.inspection(cell.cell.id, lambda: _inspect(lab, state, cell))


def _inspect(lab: Lab, state: RunState, cell: Prepared) -> Inspection:
    layers = cell.manifest.layers
    base = base_layers(cell.manifest, cell.base_manifest)
    with held_back():
        seen = state.layers.read(
            lab.registry.config(cell.repository, cell.manifest.digest),
            [
                StoredLayer(digest=layer.digest, open=partial(lab.registry.blob, cell.repository, layer.digest))
                for layer in layers
            ],
            base=base,
        )
        return inspection_of(
            seen.contents,
            name=cell.cell.id,
            image=cell.id,
            packed=[layer.size for layer in layers],
            base=base,
            origins=_origins(lab, cell, seen),
        )


def _origins(lab: Lab, cell: Prepared, seen: SeenImage) -> CellOrigins:
    """Where the files may come from: the bases of all stages, the available packages, the app's folder."""
    bases = [base for role in cell.cell.bases if isinstance(base := lab.bases[role], BaseImage)]
    return CellOrigins(
        lists=lab.files.ensure(bases),
        own=frozenset(f"base {base.role}" for base in bases),
        app=lab.files.of_app(cell.cell.app.path),
        md5=seen.md5,
    )
