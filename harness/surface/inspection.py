"""One walk of a saved image, and everything it tells: the numbers of the tree, the inventory, the layers, the SBOMs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from harness.layers import Account, Tree, account, read_image
from harness.records import encode
from harness.surface import layerreport, sbom
from harness.surface.examine import Examiner
from harness.surface.inventory import Inventory, take

if TYPE_CHECKING:
    from harness.engine.contract import Engine
    from harness.workshop import Prepared

SURFACE = "surface.json"
LAYERS = "layers.json"
CYCLONEDX = "sbom.cyclonedx.json"
SPDX = "sbom.spdx.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is kept of an image when its entries are forgotten."""

    account: Account
    inventory: Inventory
    documents: Mapping[str, bytes]  # by the file names above


def inspected(engine: Engine, cell: Prepared) -> Inspection:
    """The inspection of a cell's image, which is saved and walked once for all probes that ask."""
    if not cell.inspections:
        packed = [layer.size for layer in cell.manifest.layers]
        cell.inspections.append(inspect(engine.save(cell.image), name=cell.cell.id, image=cell.id, packed=packed))
    return cell.inspections[0]


def inspect(stream: Iterable[bytes], *, name: str, image: str, packed: Sequence[int] = ()) -> Inspection:
    """Walk an image's saved stream once.

    `name` and `image` (its id) are what the documents call it, `packed` are the compressed sizes of its layers (B).
    Raises LayerError for an image that is broken or hostile.
    """
    contents = read_image(stream, examine=Examiner())
    tree = Tree(contents)
    numbers = account(contents, tree)
    inventory = take(contents, tree)
    created = str(contents.config.get("created") or "")
    subject = sbom.Subject(name=name, image=image, created=created, version=version("tare"))
    layers = {
        "schema": 1,
        "image": image,
        "efficiency": layerreport.efficiency(contents),
        "layers": [asdict(layer) for layer in layerreport.report(contents, numbers, packed)],
    }
    surface = {"schema": 1, "image": image, "counts": inventory.counts(), **asdict(inventory)}
    documents = {
        SURFACE: encode(surface),
        LAYERS: encode(layers),
        CYCLONEDX: sbom.cyclonedx(inventory, subject),
        SPDX: sbom.spdx(inventory, subject),
    }
    return Inspection(account=numbers, inventory=inventory, documents=documents)
