"""Size: the bytes that are pulled, the bytes on disk, and the part that does not belong to the base."""

from __future__ import annotations

from typing import ClassVar

from harness.cell.inspect import inspected
from harness.cell.prepare import Prepared
from harness.image.manifest import base_layers
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import Direction, Metric, Unit
from harness.probes.base import ImageProbe, Probe, Reading, Visit
from harness.scenarios.layer_sizes import FILE as LAYERS
from harness.scenarios.layer_sizes import CellLayers, ImageLayers


class SizeProbe(ImageProbe):
    name = "size"
    activity = "sizes"
    rank = 10
    states = ("image",)
    reports: ClassVar = {"image": "size.transfer"}
    metrics = (
        Metric(
            name="size.transfer",
            unit=Unit.BYTES,
            deterministic=True,
            headline=True,
            help="bytes to fetch to an empty machine: the compressed layers and the config, by the manifest",
        ),
        Metric(
            name="size.unpacked",
            unit=Unit.BYTES,
            deterministic=True,
            headline=True,
            help="bytes of the files of the running image, without files that later layers delete or replace",
        ),
        Metric(
            name="size.unique",
            unit=Unit.BYTES,
            deterministic=True,
            headline=True,
            help="compressed bytes of the layers beyond the base: what a machine with the base fetches",
        ),
        Metric(
            name="size.base.transfer",
            unit=Unit.BYTES,
            deterministic=True,
            help="compressed bytes of the layers of the base",
        ),
        Metric(
            name="size.base.unpacked",
            unit=Unit.BYTES,
            deterministic=True,
            help="bytes of the files of the base alone, unpacked",
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
            help="bytes of files that a later layer deletes or replaces: stored but never visible",
        ),
    )

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        yield "image", lambda: self._measure(lab, state, cell)

    def _measure(self, lab: Lab, state: RunState, cell: Prepared) -> Reading:
        image = inspected(lab, state, cell)
        tree = image.account
        own = base_layers(cell.manifest, cell.base_manifest)
        of_base = {blob.digest: blob.size for blob in cell.manifest.layers[:own]}
        # a node that has the base has these blobs, even if the image repeats them, and fetches each other blob once
        beyond = {blob.digest: blob.size for blob in cell.manifest.layers[own:] if blob.digest not in of_base}
        current = ImageLayers.of(
            cell.manifest,
            cell.base_manifest,
            diff_ids=cell.diff_ids,
            contents=image.contents,
        )
        changed = ImageLayers.of(cell.changed_manifest, cell.base_manifest)
        return Reading(
            {
                "size.transfer": float(cell.manifest.transfer_bytes),
                "size.unpacked": float(tree.unpacked),
                "size.unique": float(sum(beyond.values())),
                "size.base.transfer": float(sum(of_base.values())),
                "size.base.unpacked": float(image.base_unpacked),
                "size.layers": float(len(cell.manifest.layers)),
                "size.files": float(tree.files),
                "size.waste": float(tree.wasted),
            },
            artefacts={LAYERS: CellLayers(current=current, changed=changed).to_json()},
        )


PROBES: tuple[Probe, ...] = (SizeProbe(),)
