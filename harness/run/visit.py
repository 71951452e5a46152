"""One visit of a probe to a cell: a `Try` for each of its states. Workers and the timed loop both measure this way.

A failed visit does not end the run: a failure is recorded as a try with its reason. An unexpected error is recorded
with one line of reason, and its traceback is kept beside the cell. Only three errors end the run: a run folder that
cannot be written, an engine that is gone, and the user's Ctrl-C.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from harness.cell.prepare import Prepared, Workshop
from harness.errors import EngineError, EngineUnavailable, StoreError, TareError, TryFailed
from harness.host.quiet import Quiet
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import Cell, Status, Try
from harness.probes.base import CellProbe, EngineProbe, Measurement, Probe, Reading, SourceProbe, Visit
from harness.run.kept_readings import keep, recall
from harness.run.pace import Pace

_AT_ONCE = Quiet(0.0, 0.0, True)  # for measurements without a clock: they wait for nothing
_LONGEST_REASON = 300  # characters of an unexpected error


class EngineLost(EngineUnavailable):
    """The engine of the run is gone. The run ends and can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A try, and the documents (by file name) that are kept beside its cell."""

    try_: Try
    documents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.try_.status is Status.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a visit needs: the equipment, the state of the run, and the builder."""

    lab: Lab
    state: RunState
    workshop: Workshop


def visit(
    bench: Bench,
    probe: Probe,
    subject: Prepared | Cell | None,
    block: int,
    *,
    wanted: Sequence[str],
    pace: Pace | None = None,
) -> Generator[Attempt]:
    """A try for each of the `wanted` states, until one fails. `subject` is what the probe's kind measures.

    With a `pace` each measurement waits for a quiet machine. Raises StoreError and EngineLost.
    """
    prepared = subject if isinstance(subject, Prepared) else None
    cell = prepared.cell.id if prepared else subject.id if isinstance(subject, Cell) else ""
    missing = list(wanted)
    at, began = time.time(), time.monotonic()
    try:
        if prepared:
            bench.workshop.ensure(prepared)
        with closing(_states(bench, probe, subject)) as states:
            for state, measure in states:
                quiet = pace.wait() if pace else _AT_ONCE
                made = attempt(
                    bench.lab, cell, probe.name, state, block, _recalled(bench, prepared, probe, state, measure)
                )
                if pace:
                    pace.mark()
                if state in wanted:
                    missing.remove(state)
                    yield replace(made, try_=replace(made.try_, load=quiet.load, waited=quiet.waited))
                if not made.succeeded:
                    return
    except Exception as error:  # noqa: BLE001 - recorded with its reason, whatever it is
        # the preparation of a state failed (a node, a link, a base to pull), or its clean-up did
        state = next(iter(missing), probe.states[0])
        yield _failed(bench.lab, cell, probe.name, state, block, at, time.monotonic() - began, error)


def attempt(lab: Lab, cell: str, probe: str, state: str, block: int, measure: Measurement) -> Attempt:
    """Call `measure` once, and record what it returns or how it fails. Raises StoreError and EngineLost."""
    at, began = time.time(), time.monotonic()
    try:
        reading = measure()
    except Exception as error:  # noqa: BLE001 - recorded with its reason, whatever it is
        return _failed(lab, cell, probe, state, block, at, time.monotonic() - began, error)
    try_ = Try(
        cell=cell,
        probe=probe,
        state=state,
        block=block,
        order=0,  # the code that records it fills this in
        at=at,
        seconds=time.monotonic() - began,
        status=Status.OK,
        values=reading.values,
        phases=reading.phases,
        notes=reading.notes,
    )
    return Attempt(try_=try_, documents=reading.artefacts)


def _failed(
    lab: Lab, cell: str, probe: str, state: str, block: int, at: float, seconds: float, error: Exception
) -> Attempt:
    if isinstance(error, StoreError | EngineLost):
        raise error
    require_engine(lab, error)
    documents: dict[str, bytes] = {}
    status, reason, log = Status.ERROR, str(error), getattr(error, "log", "")
    if isinstance(error, TryFailed):
        status = error.status
    elif not isinstance(error, TareError | OSError):
        file = f"traceback-{probe}-{state}.txt"
        first = str(error).strip().partition("\n")[0][:_LONGEST_REASON]
        reason = f"unexpected {type(error).__name__}: {first} (see {file})"
        documents[file] = "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace")
    try_ = Try(
        cell=cell,
        probe=probe,
        state=state,
        block=block,
        order=0,
        at=at,
        seconds=seconds,
        status=status,
        reason=reason,
        log=log,
    )
    return Attempt(try_=try_, documents=documents)


def _states(bench: Bench, probe: Probe, subject: Prepared | Cell | None) -> Visit:
    """The visit of a probe, by its kind."""
    if isinstance(probe, CellProbe) and isinstance(subject, Prepared):
        return probe.visit_cell(bench.lab, bench.state, subject)
    if isinstance(probe, SourceProbe) and isinstance(subject, Cell):
        return probe.visit_source(bench.lab, bench.state, subject)
    if isinstance(probe, EngineProbe) and subject is None:
        return probe.visit_engine(bench.lab, bench.state)
    raise TypeError(f"{type(probe).__name__} cannot visit {type(subject).__name__}")


def _recalled(bench: Bench, cell: Prepared | None, probe: Probe, state: str, measure: Measurement) -> Measurement:
    """The measurement, or the reading that is kept with the cell's image."""

    def read() -> Reading:
        if cell is None:
            return measure()
        reading = recall(bench.lab.shelf, cell, probe, state)
        if reading is None:
            reading = measure()
            keep(bench.lab.shelf, cell, probe, state, reading)
        return reading

    return read


def require_engine(lab: Lab, error: Exception) -> None:
    """After a failure: go on only if the engine still answers. Otherwise every cell would fail, because the engine is
    gone.
    """
    try:
        lab.engine.containers()
    except EngineError as silence:
        raise EngineLost(f"the engine no longer answers: {silence}", fix="Read the engine's log.") from error
