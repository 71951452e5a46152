"""One walk of an image, and everything it tells: the numbers of the tree, the inventory, the layers, the SBOMs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from harness.collector import held_back
from harness.imageread import ImageContents, read_image, read_layers
from harness.layers import Account, Tree, account, unpacked
from harness.records import encode
from harness.surface import layerreport, sbom
from harness.surface.examine import Examiner
from harness.surface.inventory import Inventory, take
from harness.surface.layerreport import LayerReport

if TYPE_CHECKING:
    from harness.lab.registry import Registry
    from harness.workshop import Prepared

SURFACE = "surface.json"
STEPS = "steps.json"
CYCLONEDX = "sbom.cyclonedx.json"
SPDX = "sbom.spdx.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is kept of an image when its entries are forgotten."""

    subject: sbom.Subject
    account: Account
    contents: tuple[int, ...]  # B of the regular files of each layer, lowest first
    base_unpacked: int  # B of the tree that the layers of the base make alone
    inventory: Inventory
    layers: tuple[LayerReport, ...]
    efficiency: float  # dive's, 0 … 1

    def documents(self) -> dict[str, bytes]:
        """What is worth keeping with the cell, by the file names above."""
        image = self.subject.image
        surface = {"schema": 1, "image": image, "counts": self.inventory.counts(), **asdict(self.inventory)}
        layers = [asdict(layer) for layer in self.layers]
        return {
            SURFACE: encode(surface),
            STEPS: encode({"schema": 1, "image": image, "efficiency": self.efficiency, "layers": layers}),
            CYCLONEDX: sbom.cyclonedx(self.inventory, self.subject),
            SPDX: sbom.spdx(self.inventory, self.subject),
        }


def inspected(registry: Registry, cell: Prepared) -> Inspection:
    """The inspection of a cell's image, which is walked once for all probes that ask.

    From the layers the registry holds: to save an image an engine writes all of it to its disk first.
    """
    if not cell.inspections:
        layers = cell.manifest.layers
        of_base = {layer.digest for layer in cell.base_manifest.layers} if cell.base_manifest else set()
        with held_back():
            contents = read_layers(
                registry.config(cell.repository, cell.manifest.digest),
                (registry.blob(cell.repository, layer.digest) for layer in layers),
                examine=Examiner(),
            )
            found = _inspection(
                contents,
                name=cell.cell.id,
                image=cell.id,
                packed=[layer.size for layer in layers],
                base=sum(layer.digest in of_base for layer in layers),
            )
        cell.inspections.append(found)
    return cell.inspections[0]


def inspect(stream: Iterable[bytes], *, name: str, image: str, packed: Sequence[int] = (), base: int = 0) -> Inspection:
    """Walk an image's saved stream once.

    `name` and `image` (its id) are what the documents call it, `packed` are the compressed sizes of its layers (B),
    the lowest `base` of which are those of the base it stands on. Raises LayerError for what is broken or hostile.
    """
    with held_back():
        contents = read_image(stream, examine=Examiner())
        return _inspection(contents, name=name, image=image, packed=packed, base=base)


def _inspection(contents: ImageContents, *, name: str, image: str, packed: Sequence[int], base: int) -> Inspection:
    tree = Tree(contents)
    numbers = account(contents, tree)
    created = str(contents.config.get("created") or "")
    return Inspection(
        subject=sbom.Subject(name=name, image=image, created=created, version=version("tare")),
        account=numbers,
        contents=tuple(layer.content for layer in contents.layers),
        base_unpacked=unpacked(replace(contents, layers=contents.layers[:base])) if base else 0,
        inventory=take(contents, tree),
        layers=layerreport.report(contents, numbers, packed),
        efficiency=layerreport.efficiency(contents),
    )
