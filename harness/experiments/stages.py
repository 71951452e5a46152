"""The stages experiment: the cost of a build stage, and the gain of stages that run side by side.

Dockerfiles with N stages, in three shapes. After them, one stage makes a digest of all results, and the final stage on
scratch holds this digest. The work of a stage is a checksum over zeros, which needs only a processor. The experiment
also measures whether the final image stays the same for any number of stages.

    copy        each stage copies the one before it and does nothing: what a stage costs
    serial      each stage works on what the one before it has computed
    parallel    each stage works for itself, and one COPY each gathers what they have computed
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from harness.catalogue.catalogue import Catalogue
from harness.image.context import BuildContext
from harness.image.tree import account, read_image
from harness.lab.bases.bases import BaseImage
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import App, Cell, Edit, Metric, Phase, Request, Strategy, Unit
from harness.probes.base import Reading, SourceProbe, Visit
from harness.run.job import Job, measure
from harness.settings import IMAGE_PREFIX, Settings
from harness.store.run import Run
from harness.text.display import Display

SHAPES = {
    "copy": "stages that only copy, one after the other",
    "serial": "stages that work, one after the other",
    "parallel": "stages that work, side by side",
}
COUNTS = (1, 2, 4, 8, 16, 32, 64)
BASE = "os-slim"
_APP = "stages-"  # the beginning of the names of apps
_ZEROS = 48 << 20  # B of the checksum of a stage: about a tenth of a second
METRICS = (
    Metric(
        name="stages.build",
        unit=Unit.SECONDS,
        headline=True,
        state="cold",
        help="wall time of a build with an empty cache",
    ),
    Metric(
        name="stages.transfer",
        unit=Unit.BYTES,
        deterministic=True,
        headline=True,
        state="image",
        help="config and compressed layers of the final image",
    ),
    Metric(
        name="stages.unpacked",
        unit=Unit.BYTES,
        deterministic=True,
        headline=True,
        state="image",
        help="files of the final image",
    ),
)


def dockerfile(shape: str, count: int, *, base: str, salt: str = "") -> str:
    """A Dockerfile of `count` stages on `base`, a stage for the digest, and the final stage.

    `salt` makes it unique, so that no cache has it.

    Raises ValueError for an unknown shape or a count below 1.
    """
    if shape not in SHAPES or count < 1:
        raise ValueError(f"no Dockerfile of {count} {shape} stages")
    work = f"head -c {_ZEROS} /dev/zero | cat /out/* - | sha256sum > /out/{{number}}"
    lines: list[str] = []
    for number in range(1, count + 1):
        before = number - 1
        lines.append(f"FROM {base} AS s{number}")
        if number == 1 or shape == "parallel":
            lines.append(f"WORKDIR /out\nRUN echo {salt}{shape}{number} > seed")
        else:
            lines.append(f"COPY --from=s{before} /out /out")
        if shape != "copy":
            lines.append("RUN " + work.format(number=number))
    if shape == "parallel":
        lines.append(f"FROM {base} AS last\nWORKDIR /in")
        lines += [f"COPY --from=s{number} /out/{number} ./" for number in range(1, count + 1)]
        lines.append("RUN cat /in/* | sha256sum > /digest")
    else:
        lines.append(f"FROM s{count} AS last\nRUN cat /out/* | sha256sum > /digest")
    lines.append("FROM scratch\nCOPY --from=last /digest /digest")
    return "\n".join(lines) + "\n"


class StagesProbe(SourceProbe):
    """Builds a cell's Dockerfile from an empty cache, with a new salt, and measures the size of the result."""

    name = "stages"
    activity = "builds"
    rank = 90
    states = ("cold", "image")
    reports: ClassVar = {}
    guess = 6.0
    metrics = METRICS

    def visit_source(self, lab: Lab, state: RunState, cell: Cell) -> Visit:  # noqa: ARG002 - as SourceProbe has it
        base = lab.bases[BASE]
        if not isinstance(base, BaseImage):
            raise base
        lab.store.load(lab.engine, (base,))
        shape, tag = cell.app.name.removeprefix(_APP), f"{IMAGE_PREFIX}stages:{cell.id}"
        text = dockerfile(shape, cell.strategy.rank, base=base.name, salt=f"{secrets.randbits(48):x}")
        context = BuildContext.of_files({}, dockerfile=text)
        if lab.may_prune:
            lab.engine.prune_builds()
        try:
            yield "cold", lambda: self._build(lab, context, tag)
            yield "image", lambda: self._weigh(lab, tag)
        finally:
            lab.engine.remove_image(tag)

    @staticmethod
    def _build(lab: Lab, context: BuildContext, tag: str) -> Reading:
        built = lab.engine.build(context=context, tag=tag, no_cache=lab.cold_without_cache)
        phases = tuple(Phase(step.name, step.started, step.seconds) for step in built.steps)
        return Reading({"stages.build": built.seconds}, phases)

    @staticmethod
    def _weigh(lab: Lab, tag: str) -> Reading:
        reference = f"{lab.registry.push}/{IMAGE_PREFIX}stages:image"
        lab.engine.tag(tag, reference)
        try:
            lab.engine.push(reference)
            manifest = lab.registry.manifest(f"{IMAGE_PREFIX}stages", "image")
        finally:
            lab.engine.remove_image(reference)
        return Reading(
            {
                "stages.transfer": float(manifest.transfer_bytes),
                "stages.unpacked": float(account(read_image(lab.engine.save(tag))).unpacked),
            }
        )


@contextmanager
def generated(catalogue: Catalogue) -> Iterator[Catalogue]:
    """The catalogue of the experiment, on the bases of `catalogue`: each shape is an app, each number of stages a
    strategy. Its folders are removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tare-stages-") as name:
        folder, source = Path(name), Path(name, "source")
        source.mkdir()  # and stays empty: the stages need no file
        nothing = Edit(file="", find="", replace="")
        apps = [
            App(
                name=f"{_APP}{shape}",
                title=title,
                language="",
                path=source,
                port=1,
                ready=Request("/"),
                verify=(),
                source_change=nothing,
                dependency_change=nothing,
            )
            for shape, title in SHAPES.items()
        ]
        strategies = [
            Strategy(name=str(count), title=f"{count} stages", summary="", trades="", path=folder, rank=count)
            for count in COUNTS
        ]
        cells = []
        for app in apps:
            for strategy in strategies:
                path = folder / f"{app.name}-{strategy.name}.Dockerfile"
                path.write_text(dockerfile(app.name.removeprefix(_APP), strategy.rank, base=BASE))
                cells.append(Cell(app=app, strategy=strategy, dockerfile=path, bases=(BASE,)))
        yield replace(catalogue, apps=tuple(apps), strategies=tuple(strategies), cells=tuple(cells), problems=())


def experiment(
    root: Path,
    results: Path,
    catalogue: Catalogue,
    settings: Settings,
    display: Display,
    *,
    blocks: int,
    seed: int | None = None,
    resume: Run | None = None,
) -> Path:
    """Run the experiment, or continue a run of it, and return its run folder. `catalogue` has the base to build on.

    A build that fails is a record; Ctrl-C loses nothing.
    """
    with generated(catalogue) as own:
        job = Job(
            root=root,
            results=results,
            catalogue=own,
            cells=own.cells,
            probes=(StagesProbe(),),
            budget=None,
            blocks=blocks,
            seed=seed,
            resume=resume,
        )
        return measure(job, settings, display)
