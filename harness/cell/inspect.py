"""What is inside a prepared cell's image, read from the layers that the registry holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.host.collector import held_back
from harness.image.manifest import base_layers
from harness.image.read import read_layer, read_layers
from harness.lab.bases.bases import BaseImage
from harness.lab.origins import CellOrigins
from harness.surface.examine import Examiner
from harness.surface.inspection import Inspection, inspection_of
from harness.surface.origins import Wanted

if TYPE_CHECKING:
    from harness.cell.prepare import Prepared
    from harness.lab.lab import Lab
    from harness.lab.state import RunState


def inspected(lab: Lab, state: RunState, cell: Prepared) -> Inspection:
    """The inspection of a cell's image, which is walked once for all probes that ask.

    It reads the layers from the registry, because an engine that saves an image writes all of it to its disk first.
    """
    return state.inspection(cell.cell.id, lambda: _inspect(lab, cell))


def _inspect(lab: Lab, cell: Prepared) -> Inspection:
    layers = cell.manifest.layers
    with held_back():
        contents = read_layers(
            lab.registry.config(cell.repository, cell.manifest.digest),
            (lab.registry.blob(cell.repository, layer.digest) for layer in layers),
            examine=Examiner(),
        )
        return inspection_of(
            contents,
            name=cell.cell.id,
            image=cell.id,
            packed=[layer.size for layer in layers],
            base=base_layers(cell.manifest, cell.base_manifest),
            origins=_origins(lab, cell),
        )


def _origins(lab: Lab, cell: Prepared) -> CellOrigins:
    """Where the files may come from: the bases of all stages, the available packages, the app's folder."""
    bases = [base for role in cell.cell.bases if isinstance(base := lab.bases[role], BaseImage)]

    def md5(wanted: Mapping[int, frozenset[str]]) -> Mapping[tuple[int, str], bytes]:
        """A second reading of the layers with such files, because only the first reading shows what to look up."""
        found: dict[tuple[int, str], bytes] = {}
        for number, paths in wanted.items():
            look = Wanted(paths)
            read_layer(lab.registry.blob(cell.repository, cell.manifest.layers[number].digest), examine=look)
            found |= {(number, path): digest for path, digest in look.found.items()}
        return found

    return CellOrigins(
        lists=lab.files.ensure(bases),
        own=frozenset(f"base {base.role}" for base in bases),
        app=lab.files.of_app(cell.cell.app.path),
        md5=md5,
    )
