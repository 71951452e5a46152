"""One walk of an image, and everything that it yields: the numbers of the tree, the inventory, the layers, the
SBOMs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

from harness.host.collector import held_back
from harness.image.read import ImageContents, read_image
from harness.image.tree import Account, Tree, account
from harness.store.documents import CYCLONEDX, SPDX, STEPS, SURFACE
from harness.store.format import encode
from harness.surface import layerreport, sbom
from harness.surface.examine import Examiner
from harness.surface.inventory import Inventory, take
from harness.surface.layerreport import LayerReport
from harness.surface.origins import Origins


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is kept of an image after the walk."""

    subject: sbom.Subject
    account: Account
    contents: tuple[int, ...]  # B of the regular files of each layer, lowest first
    base_unpacked: int  # B of the tree of the base's layers alone
    inventory: Inventory
    layers: tuple[LayerReport, ...]
    efficiency: float  # as in dive, 0 … 1

    def documents(self) -> dict[str, bytes]:
        """The documents to keep with the cell, by the file names above."""
        image = self.subject.image
        surface = {"schema": 1, "image": image, "counts": self.inventory.counts(), **asdict(self.inventory)}
        layers = [asdict(layer) for layer in self.layers]
        return {
            SURFACE: encode(surface),
            STEPS: encode({"schema": 1, "image": image, "efficiency": self.efficiency, "layers": layers}),
            CYCLONEDX: sbom.cyclonedx(self.inventory, self.subject),
            SPDX: sbom.spdx(self.inventory, self.subject),
        }


def inspect(stream: Iterable[bytes], *, name: str, image: str, packed: Sequence[int] = (), base: int = 0) -> Inspection:
    """Walk an image's saved stream once.

    The documents call the image `name` and `image` (its id). `packed` are the compressed sizes of its layers (B); the
    lowest `base` layers belong to its base. Raises LayerError for broken or hostile input.
    """
    with held_back():
        contents = read_image(stream, examine=Examiner())
        return inspection_of(contents, name=name, image=image, packed=packed, base=base)


def inspection_of(
    contents: ImageContents, *, name: str, image: str, packed: Sequence[int], base: int, origins: Origins | None = None
) -> Inspection:
    """Everything from walked contents; the parameters are the parameters of `inspect`, and where files may come
    from.
    """
    lowest = replace(contents, layers=contents.layers[:base])
    tree = Tree(lowest)
    base_unpacked = account(lowest, tree).unpacked if base else 0
    tree.add(contents.layers[base:])
    numbers = account(contents, tree)
    created = str(contents.config.get("created") or "")
    return Inspection(
        subject=sbom.Subject(name=name, image=image, created=created, version=version("tare")),
        account=numbers,
        contents=tuple(layer.content for layer in contents.layers),
        base_unpacked=base_unpacked,
        inventory=take(contents, tree, origins, base),
        layers=layerreport.report(contents, numbers, packed),
        efficiency=layerreport.efficiency(contents),
    )
