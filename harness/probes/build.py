"""Build: how long an image takes to build, in four named cache states.

A visit empties the build cache, builds, and then builds again as a day of work would: nothing changed, one source
line changed, a dependency changed. Packages come from the depot, which the cell's verification build has filled; where
it still has to ask an upstream, the build from an empty cache is made once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from harness.cell.prepare import Prepared, Workshop
from harness.engine.contract import BuildResult
from harness.lab.lab import Lab
from harness.model import Direction, Edit, Metric, Phase, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit
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
            help="1 if a build from an empty cache gives the same layer digests as the first build; "
            "if it does not, reproducible.json names the files that differ",
        ),
    )

    def __init__(self) -> None:
        self._rebuilt: dict[str, tuple[str, str]] = {}  # by cell: names of its image and of one that differs

    def begin(self, cells: Sequence[Prepared]) -> None:  # noqa: ARG002 - as Probe has it
        self._rebuilt = {}

    def settle(self, lab: Lab) -> Iterator[tuple[str, Mapping[str, bytes]]]:
        for cell, (image, rebuilt) in self._rebuilt.items():
            if lab.engine.inspect(image) and lab.engine.inspect(rebuilt):  # node kind "layers" removes images
                yield cell, {UNLIKE: unlike(lab.engine.save(image), lab.engine.save(rebuilt)).document()}
                lab.engine.remove_image(rebuilt)

    def visit_cell(self, lab: Lab, cell: Prepared) -> Visit:
        workshop = Workshop(lab)
        tag, rebuilt = (f"{IMAGE_PREFIX}cell/{cell.cell.id}:{name}" for name in ("built", "rebuilt"))
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
            if cold:
                image = lab.engine.inspect(tag)
                same = image is not None and image.diff_ids == cell.diff_ids
                values["build.reproducible"] = float(same)
                if not same and cell.cell.id not in self._rebuilt:  # which files, does not change from block to block
                    lab.engine.tag(tag, rebuilt)
                    self._rebuilt[cell.cell.id] = (cell.image, rebuilt)
            return Reading(values, _phases(result), notes=notes)

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
