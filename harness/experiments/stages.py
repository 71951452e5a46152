"""The stages experiment: what a build stage costs, and what stages side by side gain.

Dockerfiles with N stages, in three shapes, and behind them one that makes a digest of all that was computed and a final
one on nothing that holds that digest. The work of a stage is a checksum over zeros, which takes a processor and nothing
else. Whether the final image stays what it is, however many stages there were, is measured, not assumed.

    copy        each stage copies the one before it and does nothing: what a stage costs
    serial      each stage works on what the one before it has computed
    parallel    each stage works for itself, and one COPY each gathers what they have computed
"""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.errors import TareError
from harness.image.context import pack
from harness.image.tree import read_image, unpacked
from harness.lab.bases.bases import BaseImage
from harness.lab.lab import Lab
from harness.ledger import Ledger
from harness.model import Metric, Phase, Try, Unit
from harness.probes.base import Reading
from harness.run.environment import environment, git_revision, versions
from harness.run.outcome import Outcome
from harness.run.plan import Block, Plan, ProbePlan
from harness.settings import IMAGE_PREFIX
from harness.store.run import CellInfo, Manifest, RunWriter
from harness.text.display import Display

SHAPES = {
    "copy": "stages that only copy, one after the other",
    "serial": "stages that work, one after the other",
    "parallel": "stages that work, side by side",
}
COUNTS = (1, 2, 4, 8, 16, 32, 64)
BASE = "os-slim"
PROBE = "stages"
_ZEROS = 48 << 20  # B a stage checksums: about a tenth of a second
METRICS = (
    Metric(name="stages.build", unit=Unit.SECONDS, headline=True, help="wall time of a build with an empty cache"),
    Metric(
        name="stages.transfer",
        unit=Unit.BYTES,
        deterministic=True,
        headline=True,
        help="config and compressed layers of the final image",
    ),
    Metric(name="stages.unpacked", unit=Unit.BYTES, deterministic=True, headline=True, help="files of the final image"),
)


def dockerfile(shape: str, count: int, *, base: str, salt: str = "") -> str:
    """A Dockerfile of `count` stages on `base`, one more for the digest and the final one.

    `salt` makes it one never built before.

    Raises ValueError for a shape that is not known or a count below 1.
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


def cells() -> list[CellInfo]:
    """The cells of the experiment: each shape is an app, each number of stages a strategy."""
    return [
        CellInfo(
            id=f"stages-{shape}-{count}",
            app=f"stages-{shape}",
            app_title=title,
            strategy=str(count),
            strategy_title=f"{count} stages",
            rank=count,
        )
        for shape, title in SHAPES.items()
        for count in COUNTS
    ]


def measure(
    lab: Lab, catalogue: Catalogue, results: Path, display: Display, ledger: Ledger, *, blocks: int, seed: int
) -> Path:
    """Run the experiment and return its run folder. A build that fails is a record; Ctrl-C loses nothing.

    Raises BaseUnavailable where there is no base to build on.
    """
    base = lab.bases[BASE]
    if not isinstance(base, BaseImage):
        raise base
    lab.store.load(lab.engine, (base,))
    where = environment(lab)
    known = cells()
    plan = Plan(
        cells=tuple(cell.id for cell in known),
        probes=(ProbePlan(name=PROBE, blocks=blocks, guess=6.0),),
        seed=seed,
        budget=None,
        blocks=blocks,
    )
    manifest = Manifest(
        environment=where,
        seed=seed,
        metrics=METRICS,
        cells=tuple(known),
        plan=asdict(plan),
        versions=versions(),
        git=git_revision(catalogue.cells[0].app.path if catalogue.cells else Path()),
    )
    order = 0
    with lab.keeper.scope() as scope, RunWriter.create(results, manifest) as writer:
        empty = scope.short_folder()
        display.say(f"run {writer.folder.name}, environment {where.fingerprint}, seed {seed}")
        for block in range(blocks):
            began = time.monotonic()
            for number, cell in enumerate(plan.order(Block(plan.rows()[0], block)), 1):
                display.now(f"block {block + 1} of {blocks}: {cell} ({number}/{len(known)})")
                _, shape, count = cell.split("-")
                text = dockerfile(shape, int(count), base=base.name, salt=f"{secrets.randbits(48):x}")
                writer.append(_try(lab, ledger, pack(empty, text), cell, block, order))
                order += 1
            display.say(f"block {block + 1} of {blocks}: {time.monotonic() - began:.0f} s")
        return writer.folder


def _try(lab: Lab, ledger: Ledger, context: bytes, cell: str, block: int, order: int) -> Try:
    tag = f"{IMAGE_PREFIX}stages:{cell}"
    if lab.may_prune:
        lab.engine.prune_builds()
    with ledger.spend("waiting"):
        quiet = lab.monitor.wait()
    at, began = time.time(), time.monotonic()
    try:
        with ledger.spend("builds"):
            built = lab.engine.build(context=context, tag=tag, no_cache=not lab.may_prune)
        values = {"stages.build": built.seconds}
        if block == 0:
            values |= _sizes(lab, tag)
        phases = tuple(Phase(step.name, step.started, step.seconds) for step in built.steps)
        outcome = Outcome(reading=Reading(values, phases))
    except TareError as error:
        outcome = Outcome.of(error)
    finally:
        lab.engine.remove_image(tag)
        lab.monitor.mark()
    reading = outcome.reading or Reading({})
    return Try(
        cell=cell,
        probe=PROBE,
        state="cold",
        block=block,
        order=order,
        at=at,
        seconds=time.monotonic() - began,
        status=outcome.status,
        values=reading.values,
        phases=reading.phases,
        reason=outcome.reason,
        log=outcome.log,
        load=quiet.load,
        waited=quiet.waited,
    )


def _sizes(lab: Lab, tag: str) -> dict[str, float]:
    reference = f"{lab.registry.push}/{IMAGE_PREFIX}stages:image"
    lab.engine.tag(tag, reference)
    try:
        lab.engine.push(reference)
        manifest = lab.registry.manifest(f"{IMAGE_PREFIX}stages", "image")
    finally:
        lab.engine.remove_image(reference)
    return {
        "stages.transfer": float(manifest.transfer_bytes),
        "stages.unpacked": float(unpacked(read_image(lab.engine.save(tag)))),
    }
