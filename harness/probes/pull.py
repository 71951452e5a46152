"""Pull: how long a node takes to pull the image from a registry beside it, in three named states of the node.

On the empty node the app is then started without a pause: pull, create, start and first valid answer are one measured
sequence, a deployment, and not a sum of separate measurements. It needs no second pull.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.cell.renewed import pullable
from harness.cell.start import Door, start_and_ask
from harness.engine.contract import ContainerSpec, PullResult
from harness.errors import TryFailed
from harness.image.manifest import ImageManifest
from harness.lab.lab import Lab
from harness.lab.node import Node
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.model import Metric, Phase, Status, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit, not_measured
from harness.scenarios.pull_model import heard, is_layer, profile

_STATES = {
    "empty": "an empty machine",
    "previous": "a machine that runs the version before a source change",
    "base": "a machine that has the layers of the base",
}


def _metrics() -> tuple[Metric, ...]:
    metrics = []
    for state, text in _STATES.items():
        metrics += [
            Metric(
                name=f"pull.{state}.total",
                state=state,
                phases=True,
                unit=Unit.SECONDS,
                headline=state == "empty",
                help=f"wall time of a pull to {text}, over a local link without a speed limit",
            ),
            Metric(
                name=f"pull.{state}.download",
                state=state,
                unit=Unit.SECONDS,
                help=f"the part until the last layer has arrived (pull to {text})",
            ),
            Metric(
                name=f"pull.{state}.unpack",
                state=state,
                unit=Unit.SECONDS,
                help=f"time spent unpacking, partly while other layers still arrive (pull to {text})",
            ),
            Metric(
                name=f"pull.{state}.fetched",
                state=state,
                unit=Unit.BYTES,
                help=f"compressed bytes of the layers that the machine did not have (pull to {text})",
            ),
        ]
    parts = {
        "total": "from the pull call on an empty machine to the first valid answer, over a local link without a speed"
        " limit",
        "pull": "the pull's part of deploy.total",
        "create": "the create call's part of deploy.total",
        "start": "the start call's part of deploy.total",
        "answer": "the part of deploy.total from the start call's end to the answer",
    }
    metrics += [
        Metric(
            name=f"deploy.{part}",
            group="deploy",
            state="empty",
            phases=part == "total",
            unit=Unit.SECONDS,
            headline=part == "total",
            help=text,
        )
        for part, text in parts.items()
    ]
    return tuple(metrics)


class PullProbe(CellProbe):
    name = "pull"
    activity = "pulls"
    rank = 50
    states = tuple(_STATES)
    reports: ClassVar = {**{state: f"pull.{state}.total" for state in _STATES}, "deploy": "deploy.total"}
    guess = 10.0
    metrics = _metrics()

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:
        names = [f"pull.{state}.{phase}" for state in _STATES for phase in ("download", "unpack")]
        phases = [metric for metric in self.metrics if metric.name in names]
        return {**not_measured(reach.phases, phases), **not_measured(reach.node, self.metrics)}

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        with lab.nodes.fresh() as node, pullable(lab, node, cell) as cell:
            yield "empty", lambda: self._deploy(lab, state, node, cell)
            yield "previous", lambda: self._pull(node, cell, "previous")
            self._leave_base(node, cell)
            yield "base", lambda: self._pull(node, cell, "base")

    def _leave_base(self, node: Node, cell: Prepared) -> None:
        """Remove all but the base's layers, so that the node is like a node after a pull of the base."""
        image = f"{node.registry}/{cell.repository}"
        if cell.base_manifest:
            node.engine.pull(f"{image}:base")
        for name in ("current", "changed"):
            node.engine.remove_image(f"{image}:{name}")

    def _pull(self, node: Node, cell: Prepared, state: str) -> Reading:
        name, manifest = ("changed", cell.changed_manifest) if state == "previous" else ("current", cell.manifest)
        result = node.engine.pull(f"{node.registry}/{cell.repository}:{name}")
        return reading(f"pull.{state}", result, manifest)

    def _deploy(self, lab: Lab, state: RunState, node: Node, cell: Prepared) -> Reading:
        app = cell.cell.app
        name = f"{node.registry}/{cell.repository}:current"
        on_test_bed = node.kind == "layers"  # then the node is the engine itself
        env = lab.services.env(cell.cell, on_node=not on_test_bed)
        network = lab.test_bed.network if on_test_bed else "host"
        spec = ContainerSpec(image=name, env=env, network=network, limits=lab.limits)
        address, port = (lab.test_bed.address, lab.test_bed.port(app.port)) if on_test_bed else (node.address, app.port)
        door = Door.of(app, address, port)
        began = time.monotonic()
        pulled = node.engine.pull(name)
        there = [layer.layer for layer in pulled.layers if layer.reused]
        if there and node.kind == "layers":  # any other node has nothing; an image may repeat a layer
            had = f"{len(there)} of {len(pulled.layers)} layers were there already"
            raise TryFailed(Status.ERROR, f"the machine was not empty: {had} ({node.note or node.kind})")
        times = start_and_ask(node.engine, spec, door)
        node.engine.remove(times.container)
        state.note_pull(cell.cell.id, profile(pulled, cell.manifest.layers))
        bounds = {
            "create": (times.called, times.created),
            "start": (times.created, times.started),
            "answer": (times.started, max(times.ready, times.started)),
        }
        pull = reading("pull.empty", pulled, cell.manifest)
        values = {**pull.values, "deploy.total": times.ready - began, "deploy.pull": times.called - began}
        values |= {f"deploy.{key}": end - start for key, (start, end) in bounds.items()}
        phases = tuple(Phase(key, start - began, end - start) for key, (start, end) in bounds.items())
        return Reading(values, (*pull.phases, *phases))


def reading(prefix: str, result: PullResult, manifest: ImageManifest) -> Reading:
    """Values and phases of a pull: `prefix`.total, .download, .unpack (s) and .fetched (B).

    .download and .unpack are absent if the engine did not say when each layer had arrived or was unpacked.
    """
    sizes = {layer.digest: layer.size for layer in manifest.layers}
    phases: list[Phase] = []
    download = unpack = fetched = 0.0
    for layer in result.layers:
        if layer.reused:
            continue
        fetched += next((size for digest, size in sizes.items() if is_layer(layer.layer, digest)), 0)
        if layer.download_end is not None:
            start = layer.download_start if layer.download_start is not None else layer.download_end
            phases.append(Phase(f"download {layer.layer}", start, layer.download_end - start))
            download = max(download, layer.download_end)
        if layer.complete is not None and layer.extract_start is not None:
            phases.append(Phase(f"unpack {layer.layer}", layer.extract_start, layer.complete - layer.extract_start))
            unpack += layer.complete - layer.extract_start
    values = {"total": result.seconds, "fetched": fetched}
    if heard(result):
        values |= {"download": download, "unpack": unpack}
    return Reading({f"{prefix}.{key}": value for key, value in values.items()}, tuple(phases))


PROBES: tuple[Probe, ...] = (PullProbe(),)
