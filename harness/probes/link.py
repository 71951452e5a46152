"""Link: one pull over a shaped link, beside what the pull model says of it; other speeds come from the model."""

from __future__ import annotations

from typing import ClassVar

from harness.engine.contract import Engine
from harness.lab.lab import Lab
from harness.lab.link import Link
from harness.model import Direction, Metric, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit
from harness.probes.pull import reading
from harness.pullmodel import predict, profile
from harness.workshop import Prepared

MEASURED = 100  # Mbit/s
MODELLED = (20, 300, 1000)  # Mbit/s


class LinkProbe(CellProbe):
    name = "link"
    activity = "pulls"
    rank = 70
    states = (f"{MEASURED}mbit",)
    reports: ClassVar = {f"{MEASURED}mbit": "link.total"}
    blocks = 1
    guess = 12.0
    metrics = (
        Metric(
            name="link.total",
            unit=Unit.SECONDS,
            headline=True,
            help=f"wall time of a pull to an empty node over a link of {MEASURED} Mbit/s",
        ),
        Metric(
            name="link.predicted",
            unit=Unit.SECONDS,
            help=f"what the pull model says for {MEASURED} Mbit/s, from layer sizes and one unshaped pull",
        ),
        Metric(
            name="link.error",
            unit=Unit.RATIO,
            direction=Direction.NEITHER,
            headline=True,
            help="the model's prediction over the measurement, less one",
        ),
        *(
            Metric(
                name=f"link.model{speed}",
                unit=Unit.SECONDS,
                help=f"a pull to an empty node over {speed} Mbit/s, by the pull model",
            )
            for speed in MODELLED
        ),
    )

    def impossible(self, lab: Lab) -> str:
        return lab.nodes.impossible

    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit:
        if not cell.profiles:
            with lab.nodes.fresh() as node:
                pulled = node.engine.pull(f"{node.registry}/{cell.repository}:current")
                cell.profiles.append(profile(pulled, cell.manifest))
        with lab.nodes.fresh() as node, Link(lab.keeper, node.registry, lab.bind, megabits=MEASURED) as link:
            yield self.states[0], lambda: self._measure(node.engine, link.address, cell)

    def _measure(self, engine: Engine, address: str, cell: Prepared) -> Reading:
        known = cell.profiles[-1]
        pulled = reading("link", engine.pull(f"{address}/{cell.repository}:current"), cell.manifest)
        total = pulled.values["link.total"]
        predicted = {speed: predict(known, bits_per_second=speed * 1e6).seconds for speed in (MEASURED, *MODELLED)}
        values = {
            "link.total": total,
            "link.predicted": predicted[MEASURED],
            "link.error": predicted[MEASURED] / total - 1,
            **{f"link.model{speed}": predicted[speed] for speed in MODELLED},
        }
        return Reading(values, pulled.phases)


PROBES: tuple[Probe, ...] = (LinkProbe(),)
