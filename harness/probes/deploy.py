"""Deploy: pull, create, start and first valid answer on an empty node, as one measured sequence and not a sum."""

from __future__ import annotations

import time
from typing import ClassVar

from harness.engine.contract import ContainerSpec
from harness.lab.lab import Lab
from harness.lab.node import Node
from harness.model import Metric, Phase, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit
from harness.startup import Door, start_and_ask
from harness.workshop import Prepared


class DeployProbe(CellProbe):
    name = "deploy"
    activity = "pulls"
    rank = 60
    states = ("empty",)
    reports: ClassVar = {"empty": "deploy.total"}
    guess = 8.0
    metrics = (
        Metric(
            name="deploy.total",
            unit=Unit.SECONDS,
            headline=True,
            help="from the pull call on an empty node to the first valid answer, over an unshaped local link",
        ),
        Metric(name="deploy.pull", unit=Unit.SECONDS, help="of that, the pull"),
        Metric(name="deploy.create", unit=Unit.SECONDS, help="of that, the create call"),
        Metric(name="deploy.start", unit=Unit.SECONDS, help="of that, the start call"),
        Metric(name="deploy.answer", unit=Unit.SECONDS, help="of that, from the start call's end to the answer"),
    )

    def impossible(self, lab: Lab) -> str:
        return lab.nodes.impossible

    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit:
        with lab.nodes.fresh() as node:
            yield "empty", lambda: self._measure(lab, node, cell)

    def _measure(self, lab: Lab, node: Node, cell: Prepared) -> Reading:
        app = cell.cell.app
        name = f"{node.registry}/{cell.repository}:current"
        on_stage = node.kind == "layers"  # then the node is the engine itself
        spec = ContainerSpec(image=name, env=lab.services.env(cell.cell, on_node=not on_stage), network=lab.stage.network if on_stage else "host")
        address, port = (lab.stage.address, lab.stage.port(app.port)) if on_stage else (node.address, app.port)
        door = Door.of(app, address, port)
        began = time.monotonic()
        node.engine.pull(name)
        times = start_and_ask(node.engine, spec, door)
        node.engine.remove(times.container)
        bounds = {
            "pull": (began, times.called),
            "create": (times.called, times.created),
            "start": (times.created, times.started),
            "answer": (times.started, max(times.ready, times.started)),
        }
        values = {f"deploy.{key}": end - start for key, (start, end) in bounds.items()}
        values["deploy.total"] = times.ready - began
        return Reading(values, tuple(Phase(key, start - began, end - start) for key, (start, end) in bounds.items()))


PROBES: tuple[Probe, ...] = (DeployProbe(),)
