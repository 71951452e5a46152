"""Start: from the create call to the first valid answer, page cache warm and dropped; and the engine's floor.

The peak memory of the warm start's container is read as soon as it has answered: VmHWM (proc(5)), by a program of ours
in the container's process namespace. So it is the same on every engine and cgroup version, and without the page cache
that cgroup v1 includes.

The app joins the test bed's network namespace and is polled from before its start (lab/test_bed.py). All times are from
one monotonic clock; t0 is the create call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.cell.start import Door, Started, start_and_ask
from harness.cell.trial import as_it_is, with_program
from harness.engine.contract import ContainerSpec
from harness.errors import EngineError, TryFailed
from harness.lab.lab import Lab
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.lab.test_bed import FLOOR_PORT, PROGRAM, TOOL_IMAGE, tool_program
from harness.model import Exit, Metric, Phase, Request, Status, Unit
from harness.probes.base import CellProbe, EngineProbe, Probe, Reading, Visit, not_measured

# Warm starts in a visit to a cell that starts fast; their median is stored. The engine alone varies by about 8 ms, a
# tenth of a start of 80 ms. A cell counts as fast by its start during preparation, and never by a value that is being
# measured: if low values were repeated and high values kept, medians near the limit would shift.
STARTS = 3
FAST = 0.3  # s; the start during preparation was on a machine that may have been busy

_STATES = {"cold": "the page cache dropped", "warm": "the page cache warm"}
_QUANTITIES = {
    "create": "the create call",
    "start": "the start call",
    "ready": "from the start call to the first valid answer",
    "total": "from the create call to the first valid answer",
}
_REPEATED = f"; the median of {STARTS} starts if the app started within {1e3 * FAST:.0f} ms when it was prepared"
_PEAK = "tare-peak "  # how our program begins the line with a job's peak memory
FLOOR_READY = Request(path="/", equals="ok")


def reading(prefix: str, times: Started) -> Reading:
    """Values and phases of a start: `prefix`.create, .start, .ready, .total, in seconds."""
    create = times.created - times.called
    start = times.started - times.created
    total = times.total
    values = {"create": create, "start": start, "ready": times.ready - times.created, "total": total}
    answer = max(total - create - start, 0.0)  # an app may answer before the start call has returned
    phases = (Phase("create", 0.0, create), Phase("start", create, start), Phase("answer", create + start, answer))
    return Reading({f"{prefix}.{key}": value for key, value in values.items()}, phases)


def _metrics(probe: str) -> tuple[Metric, ...]:
    what = "a static program that answers at once (the engine's floor)" if probe == "floor" else "the app"
    return tuple(
        Metric(
            name=f"{probe}.{state}.{quantity}",
            state=state,
            phases=quantity == "total",
            unit=Unit.SECONDS,
            headline=quantity == "total",
            help=f"start of {what}, {cache}: {text}" + (_REPEATED if state == "warm" else ""),
        )
        for state, cache in _STATES.items()
        for quantity, text in _QUANTITIES.items()
    )


class StartProbe(CellProbe):
    name = "start"
    activity = "starts"
    rank = 30
    states = (*_STATES, "memory")
    reports: ClassVar = {**{state: f"start.{state}.total" for state in _STATES}, "memory": "memory.ready"}
    guess = 3.0
    metrics = (
        *_metrics("start"),
        Metric(
            name="memory.ready",
            unit=Unit.BYTES,
            headline=True,
            group="memory",
            state="memory",
            help="peak resident memory of all processes of the app at the first valid answer",
        ),
    )

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:
        return {
            **not_measured(reach.page_cache, _of(self.metrics, "cold")),
            **not_measured(reach.tool, _of(self.metrics, "memory")),
        }

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:  # noqa: ARG002 - as CellProbe has it
        app = cell.cell.app
        spec = as_it_is(lab, cell)
        door = Door.of(app, lab.test_bed.address, lab.test_bed.port(app.port))
        if isinstance(app.ready, Exit):
            yield from _visit(lab, self.name, spec, door, starts=1)
            yield "memory", lambda: _job_memory(lab, cell, spec, door)
            return
        peaks: list[str] = []
        reader = None if lab.no_tool else lambda container: peaks.append(_peak(lab, container))
        starts = STARTS if cell.started <= FAST else 1
        yield from _visit(lab, self.name, spec, door, starts=starts, look=reader)
        if peaks:
            yield "memory", lambda: _memory(peaks[0])


class FloorProbe(EngineProbe):
    """The same with a program that answers at once: no image can start faster on this engine."""

    name = "floor"
    activity = "starts"
    rank = 20
    states = tuple(_STATES)
    reports: ClassVar = {}
    guess = 2.0
    beside = "start"
    metrics = _metrics("floor")

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:
        return {
            **not_measured(reach.page_cache, _of(self.metrics, "cold")),
            **not_measured(reach.tool, self.metrics),
        }

    def visit_engine(self, lab: Lab, state: RunState) -> Visit:  # noqa: ARG002 - as EngineProbe has it
        spec = ContainerSpec(image=TOOL_IMAGE, network=lab.test_bed.network, limits=lab.limits)  # as apps have them
        door = Door(lab.test_bed.address, lab.test_bed.port(FLOOR_PORT), FLOOR_READY, 10.0)
        yield from _visit(lab, self.name, spec, door, starts=STARTS)


def _of(metrics: Iterable[Metric], state: str) -> list[Metric]:
    return [metric for metric in metrics if metric.state == state]


def _visit(
    lab: Lab, probe: str, spec: ContainerSpec, door: Door, *, starts: int, look: Callable[[str], None] | None = None
) -> Visit:
    """`starts` is the number of warm starts; `look` is called with the container of the first start, after it is
    timed.
    """

    def start(look: Callable[[str], None] | None = None) -> Started:
        times = start_and_ask(lab.engine, spec, door)
        try:
            if look:
                look(times.container)
        finally:
            lab.engine.remove(times.container)
        return times

    def warm() -> Reading:
        times = [start(look), *(start() for _ in range(starts - 1))]
        middle = reading(f"{probe}.warm", sorted(times, key=lambda one: one.total)[len(times) // 2])
        told = " ".join(f"{1e3 * one.total:.1f}" for one in times)
        return replace(middle, notes={"starts": f"{told} ms"}) if len(times) > 1 else middle

    # cold first: it leaves every page that the start needs in the cache, which is what warm means
    if lab.drop_page_cache():
        yield "cold", lambda: reading(f"{probe}.cold", start())
    else:
        start()
    yield "warm", warm


def _peak(lab: Lab, container: str) -> str:
    """The tool's output about a container's memory: B in digits, or why it could not be read."""
    engine, reader = lab.engine, ""
    try:
        beside = f"container:{container}"
        reader = engine.create(ContainerSpec(image=TOOL_IMAGE, command=["peak"], network="none", pid=beside))
        engine.start(reader)
        engine.wait(reader)
        return engine.logs(reader).strip()
    except EngineError as error:  # the start itself was good and is kept
        return str(error)
    finally:
        if reader:
            engine.remove(reader)


def _job_memory(lab: Lab, cell: Prepared, spec: ContainerSpec, door: Door) -> Reading:
    """Peak memory of a job's largest process: the job is run once more, by a program of ours that waits for it."""
    info = lab.engine.inspect(cell.image)
    config = info.config if info else {}
    command = [*_words(config.get("Entrypoint")), *_words(config.get("Cmd"))]
    if lab.no_tool or lab.unseen or not lab.engine.info.local:
        raise TryFailed(
            Status.ERROR, "peak memory cannot be read: no program of ours can be brought into the container"
        )
    spec = with_program(spec, tool_program(lab.engine, lab.settings.cache))
    ended = start_and_ask(lab.engine, replace(spec, entrypoint=[PROGRAM, "run", *command], command=[]), door)
    try:
        log = lab.engine.logs(ended.container)
    finally:
        lab.engine.remove(ended.container)
    return _memory(next((line.split()[1] for line in reversed(log.splitlines()) if line.startswith(_PEAK)), log))


def _words(value: object) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list | tuple) else []


def _memory(said: str) -> Reading:
    if not said.isdigit() or said == "0":
        raise TryFailed(Status.ERROR, "peak memory cannot be read: no process of the app answers", log=said)
    return Reading({"memory.ready": float(said)})


PROBES: tuple[Probe, ...] = (StartProbe(), FloorProbe())
