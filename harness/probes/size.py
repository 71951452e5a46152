"""Size: what travels, what lies on the disk, and what of it is not the base's."""

from __future__ import annotations

from typing import ClassVar

from harness.lab.lab import Lab
from harness.model import Direction, Metric, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit
from harness.surface.inspection import inspected
from harness.workshop import Prepared


class SizeProbe(CellProbe):
    name = "size"
    activity = "sizes"
    rank = 10
    states = ("image",)
    reports: ClassVar = {"image": "size.transfer"}
    blocks = 1
    guess = 2.0
    metrics = (
        Metric(
            name="size.transfer",
            unit=Unit.BYTES,
            deterministic=True,
            headline=True,
            help="bytes a node fetches that has nothing yet: the compressed layers and the config, by the manifest",
        ),
        Metric(
            name="size.unpacked",
            unit=Unit.BYTES,
            deterministic=True,
            headline=True,
            help="bytes of the files of the running image: what later layers delete or replace is not counted",
        ),
        Metric(
            name="size.unique",
            unit=Unit.BYTES,
            deterministic=True,
            headline=True,
            help="compressed bytes of the layers beyond the base: what a node fetches that has the base",
        ),
        Metric(
            name="size.layers",
            unit=Unit.COUNT,
            direction=Direction.NEITHER,
            deterministic=True,
            help="layers of the image",
        ),
        Metric(name="size.files", unit=Unit.COUNT, deterministic=True, help="files of the running image"),
        Metric(
            name="size.waste",
            unit=Unit.BYTES,
            deterministic=True,
            help="bytes of files that a later layer deletes or replaces: carried along, never seen",
        ),
    )

    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit:
        yield "image", lambda: self._measure(lab, cell)

    def _measure(self, lab: Lab, cell: Prepared) -> Reading:
        image = inspected(lab.engine, cell).account
        of_base = {layer.digest for layer in cell.base_manifest.layers} if cell.base_manifest else set()
        beyond = [layer for layer in cell.manifest.layers if layer.digest not in of_base]
        return Reading(
            {
                "size.transfer": float(cell.manifest.transfer_bytes),
                "size.unpacked": float(image.unpacked),
                "size.unique": float(sum(layer.size for layer in beyond)),
                "size.layers": float(len(cell.manifest.layers)),
                "size.files": float(image.files),
                "size.waste": float(image.wasted),
            }
        )


PROBES: tuple[Probe, ...] = (SizeProbe(),)
