"""Memory: peak resident memory of the app's processes when the first valid answer is there."""

from __future__ import annotations

from typing import ClassVar

from harness.engine.contract import ContainerSpec
from harness.errors import EngineError, TryFailed
from harness.lab.lab import Lab
from harness.lab.stage import TOOL_IMAGE
from harness.model import Metric, Status, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit
from harness.startup import Door, start_and_ask
from harness.workshop import Prepared


class MemoryProbe(CellProbe):
    """Read by a program of ours from inside the container's process namespace (VmHWM, proc(5)): the same on every
    engine and cgroup version, and without the page cache that cgroup v1 counts in."""

    name = "memory"
    activity = "starts"
    rank = 40
    states = ("ready",)
    reports: ClassVar = {"ready": "memory.ready"}
    guess = 1.0
    metrics = (
        Metric(
            name="memory.ready",
            unit=Unit.BYTES,
            headline=True,
            help="peak resident memory of all processes of the app at the first valid answer",
        ),
    )

    def impossible(self, lab: Lab) -> str:
        return lab.no_tool

    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit:
        yield "ready", lambda: self._measure(lab, cell)

    def _measure(self, lab: Lab, cell: Prepared) -> Reading:
        engine, app = lab.engine, cell.cell.app
        spec = ContainerSpec(image=cell.image, env=lab.services.env(cell.cell), network=lab.stage.network)
        container = start_and_ask(engine, spec, Door.of(app, lab.stage.address, lab.stage.port(app.port))).container
        reader = ""
        try:
            beside = f"container:{container}"
            reader = engine.create(ContainerSpec(image=TOOL_IMAGE, command=["peak"], network="none", pid=beside))
            engine.start(reader)
            engine.wait(reader)
            text = engine.logs(reader).strip()
            if not text.isdigit() or text == "0":
                raise TryFailed(Status.ERROR, "no process of the app could be read", log=text)
            return Reading({"memory.ready": float(text)})
        except EngineError as error:
            raise TryFailed(Status.ERROR, f"peak memory cannot be read: {error}") from error
        finally:
            if reader:
                engine.remove(reader)
            engine.remove(container)


PROBES: tuple[Probe, ...] = (MemoryProbe(),)
