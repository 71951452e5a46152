"""Build: how long an image takes to build, in four named cache states.

A visit empties the build cache, builds, and then builds again as in a day of work: nothing changed, one source line
changed, a dependency changed. Packages come from the depot, which the cell's verification build has filled; if it still
has to ask an upstream, the build from an empty cache is repeated once.
"""

from __future__ import annotations

from typing import ClassVar

from harness.cell.prepare import Prepared, Workshop
from harness.engine.contract import BuildResult
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import Direction, Edit, Metric, Phase, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit, When
from harness.settings import IMAGE_PREFIX
from harness.surface.reproduce import FILE as UNLIKE
from harness.surface.reproduce import unlike

_STATES = {
    "cold": "an empty build cache and a warm package depot",
    "nothing": "everything cached, nothing changed",
    "source": "everything cached, one source line changed",
    "dependency": "everything cached, the dependency manifest changed",
}


class BuildProbe(CellProbe):
    name = "build"
    activity = "builds"
    rank = 80
    states = tuple(_STATES)
    reports: ClassVar = {state: f"build.{state}" for state in _STATES}
    guess = 20.0
    metrics = (
        *(
            Metric(
                name=f"build.{state}",
                state=state,
                phases=True,
                unit=Unit.SECONDS,
                headline=state in ("cold", "source"),
                help=f"wall time of a build with {text}",
            )
            for state, text in _STATES.items()
        ),
        Metric(
            name="build.reproducible",
            state="cold",
            unit=Unit.BOOLEAN,
            direction=Direction.LARGER,
            help="1 if a build from an empty cache gives the same layer digests as the first build; "
            "if it does not, reproducible.json names the files that differ",
        ),
    )

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        workshop = Workshop(lab, state)
        tag = f"{IMAGE_PREFIX}cell/{cell.cell.id}:built"
        app = cell.cell.app

        def empty_cache() -> None:
            if lab.may_prune:
                lab.engine.prune_builds()

        def build(cache: str, edit: Edit | None = None) -> Reading:
            notes: dict[str, str] = {}
            number = state.next_edit() if edit else 0
            cold = cache == "cold"
            position = lab.depot.position() if lab.depot else 0
            result = workshop.build(cell.cell, tag, edit=edit, number=number, no_cache=cold and lab.cold_without_cache)
            if cold and lab.depot and lab.depot.missed(position):
                # an index has expired, or the image is from an earlier run: this build has filled the depot
                empty_cache()
                position = lab.depot.position()
                result = workshop.build(cell.cell, tag, no_cache=lab.cold_without_cache)
                if missed := lab.depot.missed(position):
                    notes["depot"] = f"asked upstream {missed} times"
            values = {f"build.{cache}": result.seconds}
            if cold:
                values["build.reproducible"] = float(_compared(lab, state, cell, tag))
            return Reading(values, _phases(result), notes=notes)

        try:
            empty_cache()
            yield "cold", lambda: build("cold")
            yield "nothing", lambda: build("nothing")
            yield "source", lambda: build("source", app.source_change)
            yield "dependency", lambda: build("dependency", app.dependency_change)
        finally:
            lab.engine.remove_image(tag)


class RebuildProbe(CellProbe):
    """Which files differ between two builds of a cell, if any do. To save and compare both images takes long."""

    name = "rebuild"
    activity = "builds"
    rank = 82
    states = ("files",)
    reports: ClassVar = {}
    when = When.AFTER_FIRST_BLOCK
    blocks = 1
    beside = "build"
    guess = 1.0  # s of the run: cells are visited side by side
    metrics = ()

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        yield "files", lambda: self._compare(lab, state, cell)

    def _compare(self, lab: Lab, state: RunState, cell: Prepared) -> Reading:
        name = cell.cell.id
        if state.rebuilt(name) is None:  # the second build was made in an earlier session and is gone with its engine
            tag = f"{IMAGE_PREFIX}cell/{name}:built"
            Workshop(lab, state).build(cell.cell, tag, no_cache=True)
            _compared(lab, state, cell, tag)
            lab.engine.remove_image(tag)
        rebuilt = state.rebuilt(name)
        if not rebuilt:
            return Reading({}, notes={"rebuild": "the same"})
        if not (lab.engine.inspect(cell.image) and lab.engine.inspect(rebuilt)):  # node kind "layers" removes images
            return Reading({}, notes={"rebuild": "not compared: the image is gone"})
        found = unlike(lab.engine.save(cell.image), lab.engine.save(rebuilt)).document()
        lab.engine.remove_image(rebuilt)
        return Reading({}, notes={"rebuild": f"differs: see {UNLIKE}"}, artefacts={UNLIKE: found})


def _compared(lab: Lab, state: RunState, cell: Prepared, tag: str) -> bool:
    """Whether the image `tag` has the layers of the cell's; an image with other layers is kept for the comparison."""
    image, name = lab.engine.inspect(tag), cell.cell.id
    same = image is not None and image.diff_ids == cell.diff_ids
    known = state.rebuilt(name)
    if same:
        state.note_rebuilt(name, known or "")
    elif not known:  # the files that differ are the same in every block
        rebuilt = f"{IMAGE_PREFIX}cell/{name}:rebuilt"
        lab.engine.tag(tag, rebuilt)
        state.note_rebuilt(name, rebuilt)
    return same


def _phases(result: BuildResult) -> tuple[Phase, ...]:
    return tuple(
        Phase(step.name + (" (cached)" if step.cached else ""), step.started, step.seconds) for step in result.steps
    )


PROBES: tuple[Probe, ...] = (BuildProbe(), RebuildProbe())
