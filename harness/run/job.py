"""One invocation of the main job: cells and probes in, a run folder out."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.cell.prepare import Prepared
from harness.errors import StoreError, UsageError
from harness.lab.lab import Lab, open_lab
from harness.lab.state import RunState
from harness.ledger import Ledger
from harness.model import Cell, differing
from harness.probes.base import CellProbe, EngineProbe, Probe, When
from harness.run.environment import environment, git_revision, versions
from harness.run.plan import Plan, ProbePlan
from harness.run.progress import Progress
from harness.run.provenance import bases_record
from harness.run.runner import PREPARE_GUESS, RUN, Runner
from harness.settings import Settings
from harness.store.documents import BASES
from harness.store.run import CellInfo, Manifest, Run, RunWriter, list_runs, read_run
from harness.text.display import Display, clock

DEFAULT_BUDGET = 45 * 60.0  # s


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a probe measures of a job where it is not all: only these cells, at most so many blocks."""

    cells: tuple[str, ...] | None = None
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to measure and for how long. `resume` is the folder of a run to go on with; its plan is taken then.

    `parts` narrows probes, by name.
    """

    root: Path
    results: Path
    catalogue: Catalogue
    cells: Sequence[Cell]
    probes: Sequence[Probe]
    budget: float | None = DEFAULT_BUDGET
    blocks: int | None = None
    seed: int | None = None
    resume: Run | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    track: str = ""  # of bases: pinned, floating, or "" for what there is
    note: Mapping[str, object] = field(default_factory=dict)  # kept with the plan
    after: Callable[[Lab, Mapping[str, Prepared]], None] | None = None  # called before the lab closes


def measure(job: Job, settings: Settings, display: Display, ledger: Ledger | None = None) -> Path:
    """Run the job and return its run folder. Ctrl-C passes through as KeyboardInterrupt, with every sample stored."""
    ledger = ledger or Ledger()
    plan = make_plan(job)
    display.say(describe(plan, job.probes))
    if not job.resume and (left := unfinished(job.results)):
        display.say(f"run {left.name} was interrupted; `--resume {left.name}` continues it")
    state = RunState()
    with open_lab(settings, job.catalogue, job.cells, state, track=job.track, say=display.say, ledger=ledger) as lab:
        where = environment(lab)
        with _writer(job, Manifest(
            environment=where,
            seed=plan.seed,
            metrics=tuple(metric for probe in job.probes for metric in probe.metrics),
            cells=tuple(CellInfo.of(cell) for cell in job.cells),
            plan={**asdict(plan), **({"track": job.track} if job.track else {}), **job.note},
            versions=versions(),
            git=git_revision(job.root),
        )) as writer:  # fmt: skip
            display.say(f"run {writer.folder.name}, environment {where.fingerprint}, seed {plan.seed}")
            for warning in writer.warnings:
                display.say(warning)
            writer.artefact(RUN, BASES, bases_record(lab.bases))
            possible = _possible(job.probes, plan, lab, display)
            runner = Runner(
                lab=lab,
                state=state,
                plan=possible,
                probes=job.probes,
                cells=job.cells,
                writer=writer,
                display=display,
                ledger=ledger,
                progress=Progress(possible, job.probes, job.resume.tries() if job.resume else ()),
                spent=spent(job.resume) if job.resume else 0.0,
            )
            try:
                runner.run()
                if job.after:
                    job.after(lab, runner.prepared)
            except KeyboardInterrupt:
                display.say(f"stopped; every sample is kept. To continue: --resume {writer.folder.name}")
                raise
            finally:
                writer.artefact(RUN, "time.txt", ledger.line() + "\n")
            display.say(f"time: {ledger.line()}")
            if lab.depot:
                display.say(f"depot: {lab.depot.stats()}")
            if lab.engine.info.origin == "private" and not state.lasting:
                display.say("removing the engine of this run, with its images")  # which takes a while
            return writer.folder


def make_plan(job: Job) -> Plan:
    """The plan of a new run; of a resumed one, the stored plan with what was given anew. Raises UsageError."""
    probes = tuple(_probe_plan(probe, job.parts.get(probe.name, Part())) for probe in job.probes)
    seed = job.seed if job.seed is not None else random.SystemRandom().randrange(1 << 32)
    if job.resume:
        seed = job.resume.manifest.seed
    cells = tuple(cell.id for cell in job.cells)
    if not cells:
        raise UsageError("no cell is selected", fix="`tox -e bench -- --co` lists them.")
    apps = tuple(cell.app.name for cell in job.cells)
    return Plan(cells=cells, apps=apps, probes=probes, seed=seed, budget=job.budget, blocks=job.blocks)


def _probe_plan(probe: Probe, part: Part) -> ProbePlan:
    return ProbePlan(
        name=probe.name,
        blocks=probe.blocks if part.blocks is None else part.blocks,
        guess=probe.guess,
        of_engine=isinstance(probe, EngineProbe),
        cells=part.cells,
    )


def describe(plan: Plan, probes: Sequence[Probe]) -> str:
    """What the plan expects, before anything is seen."""
    cells = len(plan.cells)
    late = {probe.name for probe in probes if probe.when is When.AFTER_FIRST_BLOCK}
    first = PREPARE_GUESS * cells if any(isinstance(probe, CellProbe) for probe in probes) else 0.0
    first += sum(p.guess * (1 if p.of_engine else cells) for p in plan.probes if p.name not in late)
    bounds = []
    if plan.budget is not None:
        bounds.append(f"a budget of {clock(plan.budget)}")
    if plan.blocks is not None:
        bounds.append(f"at most {plan.blocks} blocks")
    names = ", ".join(probe.name for probe in probes)
    return (
        f"{cells} cell{'s' * (cells != 1)}, probes {names}; {' and '.join(bounds)}. "
        f"The first complete answer is expected after about {clock(first)} (longer if bases must be made first)."
    )


def unfinished(results: Path) -> Path | None:
    """The newest run, if its last session was interrupted."""
    runs = list_runs(results)
    if not runs:
        return None
    try:
        sessions = read_run(runs[-1]).sessions
    except StoreError:
        return None
    return runs[-1] if sessions and sessions[-1].outcome in ("", "interrupted", "failed") else None


def spent(run: Run) -> float:
    """Seconds that earlier sessions of the run took, by what they left on the disk."""
    last: dict[int, float] = {}
    for try_ in run.tries():
        last[try_.session] = max(last.get(try_.session, 0.0), try_.at + try_.seconds)
    return sum(
        max((session.ended or last.get(session.number, session.started)) - session.started, 0.0)
        for session in run.sessions
    )


def _writer(job: Job, manifest: Manifest) -> RunWriter:
    if not job.resume:
        return RunWriter.create(job.results, manifest, argv=sys.argv)
    before = job.resume.manifest.environment
    if before.fingerprint != manifest.environment.fingerprint:
        differ = differing(before.facts, manifest.environment.facts)
        raise UsageError(
            f"the environment has changed since the run began ({'; '.join(differ)})",
            where=job.resume.id,
            fix="Start a new run: samples of different environments are never joined.",
        )
    return RunWriter.resume(job.resume.folder, argv=sys.argv)


def _possible(probes: Sequence[Probe], plan: Plan, lab: Lab, display: Display) -> Plan:
    """The plan without the probes that cannot measure here, each said with its reason."""
    kept = []
    for probe, part in zip(probes, plan.probes, strict=True):
        if reason := probe.impossible(lab):
            display.say(f"{probe.name}: not possible here: {reason}")
        else:
            kept.append(part)
    return replace(plan, probes=tuple(kept))
