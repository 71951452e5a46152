"""Intruder: what a person can do who can run commands in a running container of the app, found by trying.

Commands run through the engine's exec, as the user that the app runs as. A command has run if the engine could start
it, whatever its exit code; engines and shells report with 126 and 127 that they could not. The last command is a static
program of ours that is copied in: an image without a shell does not prevent that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.cell.trial import as_it_is, peak, running, with_program
from harness.engine.contract import ExecResult
from harness.errors import EngineError, LabError, TryFailed
from harness.lab.lab import Lab
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.lab.test_bed import PROGRAM, tool_program
from harness.model import Metric, Status, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit, When, not_measured
from harness.store.format import encode

FILE = "intruder.json"
_NOT_STARTED = (126, 127)
_COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {  # the first command that runs counts
    "sh": (("sh", "-c", "exit 0"),),
    "bash": (("bash", "-c", "exit 0"),),
    "curl": (("curl", "--version"),),
    "wget": (("wget", "--version"),),
    "apt": (("apt", "--version"), ("apt-get", "--version")),
    "python": (("python3", "--version"), ("python", "--version")),
    "program": ((PROGRAM, "peak"),),
}
_MAX_OUTPUT = 300  # characters of the output that are kept


class IntruderProbe(CellProbe):
    name = "intruder"
    activity = "starts"
    rank = 14
    states = ("running",)
    reports: ClassVar = {"running": "intruder.sh"}
    blocks = 1
    when = When.AFTER_FIRST_BLOCK
    guess = 1.0  # s of the run: cells are visited side by side
    metrics = tuple(
        Metric(
            name=f"intruder.{name}",
            unit=Unit.BOOLEAN,
            deterministic=True,
            headline=name == "sh",
            help="1 if a static program that was copied in runs in the container"
            if name == "program"
            else f"1 if {' or '.join(command[0] for command in commands)} runs in a running container of the app",
        )
        for name, commands in _COMMANDS.items()
    )

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:
        program = [metric for metric in self.metrics if metric.name == "intruder.program"]
        return not_measured(reach.tool or reach.files, program)

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        yield "running", lambda: self._measure(lab, state, cell)

    def _measure(self, lab: Lab, state: RunState, cell: Prepared) -> Reading:
        spec = as_it_is(lab, cell)
        bring = not (lab.reach.tool or lab.reach.files)
        tried: dict[str, list[dict[str, object]]] = {}
        values: dict[str, float] = {}
        try:
            if bring:
                spec = with_program(spec, tool_program(lab.engine, lab.settings.cache))
            with running(lab, cell, spec) as container:
                for name, commands in _COMMANDS.items():
                    if name == "program" and not bring:
                        continue  # no file of this machine can be mounted in an engine on another machine
                    for command in commands:
                        said = lab.engine.run_in(container, command)
                        tried.setdefault(name, []).append(_record(command, said))
                        values[f"intruder.{name}"] = float(said.exit_code not in _NOT_STARTED)
                        if values[f"intruder.{name}"]:
                            break
                if bring and (found := peak(lab, container)):
                    state.note_peak(cell.cell.id, found)
        except (EngineError, LabError) as error:
            raise TryFailed(Status.ERROR, str(error)) from error
        notes = {name: f"{records[-1]['exit_code']} {records[-1]['output']}"[:120] for name, records in tried.items()}
        return Reading(values, notes=notes, artefacts={FILE: encode({"schema": 1, "tried": tried})})


def _record(command: tuple[str, ...], said: ExecResult) -> dict[str, object]:
    return {"command": command, "exit_code": said.exit_code, "output": said.output.strip()[:_MAX_OUTPUT]}


PROBES: tuple[Probe, ...] = (IntruderProbe(),)
