"""Build: how long an image takes to build, in four named cache states.

A visit empties the build cache, builds, and then builds again as a day of work would: nothing changed, one source
line changed, a dependency changed. Packages come from the depot, which the cell's verification build has filled; where
it still has to ask an upstream, the build from an empty cache is made once more.
"""

from __future__ import annotations

from typing import ClassVar

from harness.engine.contract import BuildResult
from harness.lab.lab import Lab
from harness.model import Direction, Edit, Metric, Phase, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit
from harness.settings import IMAGE_PREFIX
from harness.surface.reproduce import FILE as UNLIKE
from harness.surface.reproduce import unlike
from harness.workshop import Prepared, Workshop

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
    guess = 30.0
    metrics = (
        *(
            Metric(
                name=f"build.{state}",
                unit=Unit.SECONDS,
                headline=state in ("cold", "source"),
                help=f"wall time of a build with {text}",
            )
            for state, text in _STATES.items()
        ),
        Metric(
            name="build.reproducible",
            unit=Unit.BOOLEAN,
            direction=Direction.LARGER,
            help="1 where a build from an empty cache gives the same layer digests as the first one; "
            "else reproducible.json names the files that differ",
        ),
    )

    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit:
        workshop = Workshop(lab)
        tag = f"{IMAGE_PREFIX}cell/{cell.cell.id}:built"
        app = cell.cell.app

        def empty_cache() -> None:
            if lab.may_prune:
                lab.engine.prune_builds()

        def build(state: str, edit: Edit | None = None) -> Reading:
            notes: dict[str, str] = {}
            number = next(lab.edits) if edit else 0
            cold = state == "cold"
            position = lab.depot.position() if lab.depot else 0
            result = workshop.build(cell.cell, tag, edit=edit, number=number, no_cache=cold and not lab.may_prune)
            if cold and lab.depot and lab.depot.missed(position):
                # an index has grown old, or the image is of an earlier run: that build has warmed the depot
                empty_cache()
                position = lab.depot.position()
                result = workshop.build(cell.cell, tag, no_cache=not lab.may_prune)
                if missed := lab.depot.missed(position):
                    notes["depot"] = f"asked upstream {missed} times"
            values = {f"build.{state}": result.seconds}
            artefacts: dict[str, bytes] = {}
            if cold:
                image = lab.engine.inspect(tag)
                same = image is not None and image.diff_ids == cell.diff_ids
                values["build.reproducible"] = float(same)
                if not same:
                    if not cell.unlike:  # which files does not change from block to block, and reading takes long
                        cell.unlike.append(unlike(lab.engine.save(cell.image), lab.engine.save(tag)))
                    notes["unlike"] = cell.unlike[0].summary()
                    artefacts[UNLIKE] = cell.unlike[0].document()
            return Reading(values, _phases(result), notes=notes, artefacts=artefacts)

        try:
            empty_cache()
            yield "cold", lambda: build("cold")
            yield "nothing", lambda: build("nothing")
            yield "source", lambda: build("source", app.source_change)
            yield "dependency", lambda: build("dependency", app.dependency_change)
        finally:
            lab.engine.remove_image(tag)


def _phases(result: BuildResult) -> tuple[Phase, ...]:
    return tuple(
        Phase(step.name + (" (cached)" if step.cached else ""), step.started, step.seconds) for step in result.steps
    )


PROBES: tuple[Probe, ...] = (BuildProbe(),)
