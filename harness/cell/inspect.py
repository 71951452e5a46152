"""What is inside a prepared cell's image, read from the layers that the registry holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.host.collector import held_back
from harness.image.manifest import base_layers
from harness.image.read import read_layers
from harness.surface.examine import Examiner
from harness.surface.inspection import Inspection, inspection_of

if TYPE_CHECKING:
    from harness.cell.prepare import Prepared
    from harness.lab.registry import Registry
    from harness.lab.state import RunState


def inspected(registry: Registry, state: RunState, cell: Prepared) -> Inspection:
    """The inspection of a cell's image, which is walked once for all probes that ask.

    From the layers the registry holds: to save an image an engine writes all of it to its disk first.
    """
    return state.inspection(cell.cell.id, lambda: _inspect(registry, cell))


def _inspect(registry: Registry, cell: Prepared) -> Inspection:
    layers = cell.manifest.layers
    with held_back():
        contents = read_layers(
            registry.config(cell.repository, cell.manifest.digest),
            (registry.blob(cell.repository, layer.digest) for layer in layers),
            examine=Examiner(),
        )
        return inspection_of(
            contents,
            name=cell.cell.id,
            image=cell.id,
            packed=[layer.size for layer in layers],
            base=base_layers(cell.manifest, cell.base_manifest),
        )
