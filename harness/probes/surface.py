"""Surface: what is inside an image and what an intruder could use, read from the layers without running the image.

The same walk of the saved image serves the size probe (harness/surface/inspection.py). Everything found is kept with
the cell: surface.json, steps.json (what made each layer), and the packages as CycloneDX and SPDX.
"""

from __future__ import annotations

from typing import ClassVar

from harness.cell.inspect import inspected
from harness.cell.prepare import Prepared
from harness.errors import LabError
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import Metric, Unit
from harness.probes.base import ImageProbe, Probe, Reading, Visit
from harness.store.format import encode
from harness.surface.inventory import Inventory
from harness.surface.pending import Index, Pending, pending

PENDING = "pending.json"
_HEADLINES = ("components", "shells")
_COUNTS = {
    "components": "packages and libraries in the image, declared by it or recognised by their files",
    "hidden": "components that nothing in the image declares, so that a scanner of the image does not see them",
    "packages": "packages of the distribution that the image declares (dpkg, apk, rpm, pacman, chisel)",
    "libraries": "language packages that the image declares and no distribution package brought, each version once",
    "executables": "files with an execute bit that are programs or scripts",
    "shells": "names of shells that can be started",
    "managers": "names of package managers that can be started",
    "compilers": "names of compilers that can be started",
    "downloaders": "names of programs that fetch from other machines (curl, wget …) and can be started",
    "setuid": "programs that run with the rights of their owner or group, whoever starts them",
    "writable": "paths that everybody may write to, without folders with the sticky bit such as /tmp",
    "capabilities": "files with capabilities, which may do things that only root may do",
    "secrets": "private keys and credentials in layers (also in deleted files), in the environment or in the history",
}


class SurfaceProbe(ImageProbe):
    name = "surface"
    activity = "sizes"
    rank = 12
    states = ("image",)
    reports: ClassVar = {"image": "surface.components"}
    metrics = (
        *(
            Metric(
                name=f"surface.{name}",
                unit=Unit.COUNT,
                deterministic=True,
                headline=name in _HEADLINES,
                help=text,
            )
            for name, text in _COUNTS.items()
        ),
        Metric(
            name="surface.unexplained",
            unit=Unit.BYTES,
            deterministic=True,
            help="bytes of files that belong to nothing that is known: no component, not the app's folder, not a base",
        ),
        Metric(
            name="surface.pending",
            unit=Unit.COUNT,
            help="components with a pending security update, declared or recognised, by the index of that day",
        ),
        Metric(name="surface.root", unit=Unit.BOOLEAN, deterministic=True, help="1 if the app runs as root"),
    )

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        yield "image", lambda: self._measure(lab, state, cell)

    def _measure(self, lab: Lab, state: RunState, cell: Prepared) -> Reading:
        found = inspected(lab, state, cell)
        values = {f"surface.{name}": float(count) for name, count in found.inventory.counts().items()}
        notes = {"user": found.inventory.user or "root", "unread": str(len(found.inventory.unread))}
        if unknown := found.inventory.unknown:
            unread = ", ".join(sorted(found.inventory.unread)[:3])
            notes["not measured"] = f"{', '.join(sorted(unknown))}: {unread} could not be read"
        documents = found.documents()
        try:
            waiting, index = self._pending(lab, found.inventory)
        except LabError as error:
            notes["pending"] = f"not measured: {error}"
        else:
            values["surface.pending"] = float(len(waiting))
            notes["pending"] = f"{index.suite} of {index.dated}" if index else "no package of a distribution"
            if index:
                record = {"schema": 1, "suite": index.suite, "dated": index.dated, "packages": waiting}
                documents[PENDING] = encode(record)
        return Reading(values, notes=notes, artefacts=documents)

    @staticmethod
    def _pending(lab: Lab, inventory: Inventory) -> tuple[tuple[Pending, ...], Index | None]:
        """Raises LabError if not all packages are known, or if the index cannot be fetched or belongs to another
        distribution.
        """
        if "components" in inventory.unknown:
            raise LabError(f"{', '.join(sorted(inventory.unread)[:3])} could not be read")
        if not any(item.is_distribution for item in inventory.packages):
            return (), None
        index = lab.security.index()
        image = f"{inventory.system.get('ID', '')} {inventory.system.get('VERSION_CODENAME', '')}-security"
        if image != f"{index.distribution} {index.suite}":
            here = f"{index.distribution} {index.suite}"
            raise LabError(f"the image needs the index of {image}, this machine has the index of {here}")
        return pending(inventory.packages, index), index


PROBES: tuple[Probe, ...] = (SurfaceProbe(),)
