"""Tries an app under conditions: a container that runs as requested and gives all the right answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.cell import ask
from harness.cell.prepare import Prepared
from harness.cell.start import LOG_TAIL, Door, start_and_ask
from harness.engine.contract import ContainerSpec
from harness.errors import TryFailed
from harness.lab.lab import Lab
from harness.lab.test_bed import PROGRAM


def as_it_is(lab: Lab, cell: Prepared) -> ContainerSpec:
    """The cell's container on the test bed, without conditions."""
    env = lab.services.env(cell.cell)
    return ContainerSpec(image=cell.image, env=env, network=lab.test_bed.network, limits=lab.limits)


@contextmanager
def running(lab: Lab, cell: Prepared, spec: ContainerSpec, *, patience: float = math.inf) -> Iterator[str]:
    """A container of the cell that has given its first valid answer and all the right answers; it is removed at the
    end.

    `patience` limits the wait for the first answer (s), if the app's own time-out is longer. Raises
    TryFailed with the reason and the container's last lines.
    """
    app = cell.cell.app
    port = lab.test_bed.port(app.port)
    door = Door.of(app, lab.test_bed.address, port)
    door = replace(door, timeout=min(door.timeout, patience))
    container = start_and_ask(lab.engine, spec, door).container
    try:
        try:
            ask.verify(lab.test_bed.address, port, app.verify)
        except TryFailed as error:
            raise TryFailed(error.status, error.reason, log=lab.engine.logs(container, tail=LOG_TAIL)) from error
        yield container
    finally:
        lab.engine.remove(container)


def with_program(spec: ContainerSpec, program: Path) -> ContainerSpec:
    """The same with a program of ours in it, as if an intruder had brought it along."""
    return replace(spec, binds=[*spec.binds, f"{program}:{PROGRAM}:ro"])


def peak(lab: Lab, container: str) -> int:
    """Peak resident memory (B) of all processes of a container that contains the tool."""
    said = lab.engine.run_in(container, [PROGRAM, "peak"])
    text = said.output.strip()
    return int(text) if said.exit_code == 0 and text.isdigit() else 0
