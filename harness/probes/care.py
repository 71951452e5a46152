"""Care: the work that an image makes for its team, beside bytes and time.

Components that a team must collect again by hand to patch them are counted by `surface.hidden`: they are in no base,
and no package manager knows them. `build.reproducible` shows whether two builds give the same image.
"""

from __future__ import annotations

from typing import ClassVar

from harness.cell.inspect import inspected
from harness.cell.prepare import Prepared
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import Direction, Metric, Unit
from harness.probes.base import ImageProbe, Probe, Reading, Visit

_THERE = {
    "zones": "1 if the image has time zones",
    "certificates": "1 if the image has certificate authorities",
    "users": "1 if /etc/passwd has the user that the app runs as",
    "locale": "1 if the image has a locale of the C library",
    "shell": "1 if the image has a shell, so that somebody can look around in a running container",
}


class CareProbe(ImageProbe):
    name = "care"
    activity = "sizes"
    rank = 13
    states = ("image",)
    reports: ClassVar = {"image": "care.missing"}
    metrics = (
        Metric(
            name="care.lines",
            unit=Unit.COUNT,
            deterministic=True,
            help="lines of the Dockerfile that the team maintains, without comments and blank lines",
        ),
        Metric(
            name="care.missing",
            unit=Unit.COUNT,
            deterministic=True,
            help="what the image lacks of time zones, certificates, the app's user, a locale and a shell",
        ),
        *(
            Metric(
                name=f"care.{name}", unit=Unit.BOOLEAN, direction=Direction.LARGER, deterministic=True, help=help_text
            )
            for name, help_text in _THERE.items()
        ),
    )

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        yield "image", lambda: self._measure(lab, state, cell)

    @staticmethod
    def _measure(lab: Lab, state: RunState, cell: Prepared) -> Reading:
        found = inspected(lab, state, cell).inventory
        there = {**found.furnished, "shell": bool(found.tools["shells"])}
        values = {f"care.{name}": float(has) for name, has in there.items()}
        values["care.missing"] = float(sum(not has for has in there.values()))
        if cell.cell.is_built:  # an image that is measured as it is has no Dockerfile
            values["care.lines"] = float(lines(cell.cell.dockerfile.read_text(encoding="utf-8")))
        return Reading(values)


def lines(dockerfile: str) -> int:
    """The lines of a Dockerfile without comments and blank lines."""
    stripped = (line.strip() for line in dockerfile.splitlines())
    return sum(1 for line in stripped if line and not line.startswith("#"))


PROBES: tuple[Probe, ...] = (CareProbe(),)
