"""Link: how long a pull takes over wires of given speed, by the pull model, and the model checked by real pulls.

The model needs layer sizes and one unshaped pull (harness/scenarios/pull_model.py). The model is checked in every run:
three cells of the smaller two thirds, whose pulls take seconds, are also pulled over a shaped link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.cell.renewed import pullable
from harness.engine.contract import Engine
from harness.lab.lab import Lab
from harness.lab.link import Link
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.model import Direction, Metric, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit, not_measured
from harness.probes.pull import reading
from harness.scenarios.pull_model import PullProfile, predict, profile

MEASURED = 100  # Mbit/s
MODELLED = (20, MEASURED, 300, 1000)  # Mbit/s
_CHECKED = (1 / 6, 1 / 3, 2 / 3)  # positions among the cells, ordered by size


class LinkProbe(CellProbe):
    name = "link"
    activity = "pulls"
    rank = 70
    states = (f"{MEASURED}mbit",)
    reports: ClassVar = {f"{MEASURED}mbit": f"link.model{MEASURED}"}
    blocks = 1
    guess = 2.0
    metrics = (
        *(
            Metric(
                name=f"link.model{speed}",
                unit=Unit.SECONDS,
                headline=speed == MEASURED,
                help=f"a pull to an empty machine over {speed} Mbit/s, computed by the pull model from one pull"
                " without a speed limit",
            )
            for speed in MODELLED
        ),
        Metric(
            name="link.total",
            phases=True,
            unit=Unit.SECONDS,
            help=f"wall time of a pull to an empty machine over a link of {MEASURED} Mbit/s; for three cells of a run",
        ),
        Metric(
            name="link.error",
            unit=Unit.RATIO,
            direction=Direction.NEITHER,
            help="the model's prediction divided by the measured link.total, minus 1",
        ),
    )

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:
        shaped = [metric for metric in self.metrics if metric.name in ("link.total", "link.error")]
        return {**not_measured(reach.wire, shaped), **not_measured(reach.node, self.metrics)}

    def begin(self, state: RunState, cells: Sequence[Prepared]) -> None:
        if len(state.shaped) >= len(_CHECKED):  # a run checks its first cells; the cells of later apps are modelled
            return
        by_size = sorted(cells, key=lambda cell: (cell.manifest.transfer_bytes, cell.cell.id))
        state.shape(*(by_size[int(place * len(by_size))].cell.id for place in _CHECKED if by_size))

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        known = state.pull_profile(cell.cell.id)
        if known is None:
            with lab.nodes.fresh() as node, pullable(lab, node, cell) as fresh:
                pulled = node.engine.pull(f"{node.registry}/{fresh.repository}:current")
                known = profile(pulled, fresh.manifest.layers)
                state.note_pull(cell.cell.id, known)
        modelled = _modelled(known)
        if cell.cell.id not in state.shaped or lab.reach.wire:
            yield self.states[0], lambda: Reading(modelled)
            return
        with (
            lab.nodes.fresh() as node,
            pullable(lab, node, cell) as fresh,
            Link(lab.reaper, node.registry, lab.bind, megabits=MEASURED) as link,
        ):
            yield self.states[0], lambda: self._measure(node.engine, link.address, fresh, modelled)

    def _measure(self, engine: Engine, address: str, cell: Prepared, modelled: Mapping[str, float]) -> Reading:
        pulled = reading("link", engine.pull(f"{address}/{cell.repository}:current"), cell.manifest)
        total = pulled.values["link.total"]
        error = modelled[f"link.model{MEASURED}"] / total - 1
        return Reading({**modelled, "link.total": total, "link.error": error}, pulled.phases)


def _modelled(known: PullProfile) -> dict[str, float]:
    """A pull to an empty node at each speed, s."""
    return {f"link.model{speed}": predict(known, bits_per_second=speed * 1e6).seconds for speed in MODELLED}


PROBES: tuple[Probe, ...] = (LinkProbe(),)
