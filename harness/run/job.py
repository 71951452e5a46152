"""One invocation of the main job: cells and probes in, a run folder out."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.cell.prepare import Prepared
from harness.errors import StoreError, UsageError
from harness.lab.lab import Lab, open_lab
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.ledger import Ledger
from harness.model import Cell, differing
from harness.probes.base import CellProbe, EngineProbe, Probe
from harness.run.deadline import Deadline, OutOfTime, closing_time, working_time
from harness.run.effort import effort, in_order
from harness.run.environment import environment, git_revision, versions
from harness.run.plan import Further, Plan, ProbePlan
from harness.run.progress import Progress
from harness.run.runner import PREPARE_GUESS, RUN, Runner
from harness.run.workers import Mend
from harness.settings import Settings
from harness.store.format import read_manifest, read_sessions
from harness.store.run import UNMEASURED, CellInfo, Manifest, Run, list_runs
from harness.store.writer import RunWriter
from harness.text.display import Display, clock

DEFAULT_BUDGET = 45 * 60.0  # s
ANSWER = "the first valid answer"  # in the help texts of metrics


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What a probe measures of a job, if it is not all of it: only these cells, at most this number of
    blocks.
    """

    cells: tuple[str, ...] | None = None
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to measure and for how long. `resume` is the folder of a run to continue; then its plan is used.

    `extents` narrows probes, by name.
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
    extents: Mapping[str, Extent] = field(default_factory=dict)
    track: str = ""  # track of bases: pinned, floating, or "" for the bases that exist
    note: Mapping[str, object] = field(default_factory=dict)  # kept with the plan
    after: Callable[[Lab, Mapping[str, Prepared]], None] | None = None  # called before the lab closes
    pairs: Mapping[str, str] = field(default_factory=dict)  # cell: the cell it is compared with; else the app's first
    further: Callable[[Path], Further | None] | None = None  # asked for more once all blocks are done; None: enough
    first: Sequence[str] = ()  # apps that are measured before the others, in this order
    reporter: Reporter = field(default_factory=lambda: Reporter())
    mend: Mend | None = None  # what is tried once for a cell that cannot be prepared
    ready: str = ANSWER  # what a start is measured until, as the metrics say it


class Reporter:
    """Its methods are called as a run proceeds. These methods do nothing."""

    def began(self, folder: Path) -> None:
        """The run has a folder."""

    def measured(self, folder: Path, app: str) -> None:
        """There is something new to show of an app."""

    def ended(self, missed: Mapping[str, Sequence[str]], seconds: float) -> None:
        """The run has ended, normally or not. `missed` are the probes that have measured nothing of an app, by app;
        `seconds` is about how long one block of them takes."""


def measure(job: Job, settings: Settings, display: Display, ledger: Ledger | None = None) -> Path:
    """Run the job and return its run folder. Ctrl-C passes through as KeyboardInterrupt, with every sample stored.

    A budget is never exceeded. Raises UsageError if it ends before anything can be measured.
    """
    ledger = ledger or Ledger()
    job = replace(job, cells=in_order(job.cells, job.first))
    plan = make_plan(job)
    display.say(describe(plan, job))
    if not job.resume and (left := unfinished(job.results)):
        display.say(f"run {left.name} was interrupted; `--resume {left.name}` continues it")
    with Deadline(None if plan.budget is None else closing_time(plan.budget)) as deadline:
        try:
            return _measure(job, plan, settings, display, ledger, deadline)
        except OutOfTime:
            raise UsageError(
                f"the budget of {clock(plan.budget or 0.0)} ended before anything could be measured",
                where="--budget",
                fix=f"Use at least {_as_budget(first_seconds(plan, job) + ledger.elapsed)}: what was prepared is kept.",
            ) from None


def _measure(job: Job, plan: Plan, settings: Settings, display: Display, ledger: Ledger, deadline: Deadline) -> Path:
    state = RunState()
    # a night must be able to say which bases it used, so it has all of them from the start
    lazily = not job.track
    with open_lab(
        settings,
        job.catalogue,
        job.cells,
        state,
        lazily=lazily,
        track=job.track,
        budget=plan.budget,
        say=display.say,
        ledger=ledger,
    ) as lab:
        where = environment(lab)
        with _writer(job, Manifest(
            environment=where,
            seed=plan.seed,
            metrics=tuple(
                replace(metric, help=metric.help.replace(ANSWER, job.ready))
                for probe in job.probes
                for metric in probe.metrics
            ),
            cells=tuple(CellInfo.of(cell) for cell in job.cells),
            plan={
                **asdict(plan),
                UNMEASURED: _unmeasured(job.probes, lab.reach),
                "limits": asdict(lab.limits),
                **({"track": job.track} if job.track else {}),
                **job.note,
            },
            versions=versions(),
            git=git_revision(job.root),
        )) as writer:  # fmt: skip
            job.reporter.began(writer.folder)
            display.say(f"run {writer.folder.name}, environment {where.fingerprint}, seed {plan.seed}")
            for warning in writer.warnings:
                display.say(warning)
            possible = _possible(job.probes, plan, lab, display)
            if possible.budget is not None:
                possible = replace(possible, budget=working_time(possible.budget))
            efforts = {cell.id: effort(cell.app) for cell in job.cells}
            before = job.resume.tries() if job.resume else ()
            runner = Runner(
                lab=lab,
                state=state,
                plan=possible,
                probes=job.probes,
                cells=job.cells,
                writer=writer,
                display=display,
                ledger=ledger,
                progress=Progress(possible, job.probes, before, efforts=efforts, pairs=job.pairs),
                report=lambda app: job.reporter.measured(writer.folder, app),
                further=lambda: job.further(writer.folder) if job.further else None,
                mend=job.mend,
            )
            try:
                runner.run()
            except OutOfTime:
                display.say(f"{clock(ledger.elapsed)}: the budget is spent")
            except KeyboardInterrupt:
                how = "" if _has_purpose(job.note) else f" To continue: --resume {writer.folder.name}"
                display.say(f"stopped; every sample is kept.{how}")
                raise
            finally:
                deadline.cancel()
                job.reporter.ended(runner.missed(), runner.missed_seconds())
                writer.artefact(RUN, "time.txt", ledger.line() + "\n")
            if job.after:
                job.after(lab, runner.prepared)
            display.say(f"time: {ledger.line()}")
            if lab.depot:
                display.say(f"depot: {lab.depot.stats()}")
            if lab.engine.info.origin == "private" and not state.kept_images:
                display.say("removing the engine of this run, with its images")  # this takes a while
            return writer.folder


def _unmeasured(probes: Sequence[Probe], reach: Reach) -> dict[str, str]:
    """What cannot be measured with this engine, by metric, with the reason."""
    return {metric: reason for probe in probes for metric, reason in probe.unmeasured(reach).items()}


def make_plan(job: Job) -> Plan:
    """The plan of a new run; of a resumed run, the stored plan with the options that were given anew. Raises
    UsageError.
    """
    probes = tuple(_probe_plan(probe, job.extents.get(probe.name, Extent())) for probe in job.probes)
    seed = job.seed if job.seed is not None else random.SystemRandom().randrange(1 << 32)
    if job.resume:
        seed = job.resume.manifest.seed
    cells = tuple(cell.id for cell in job.cells)
    if not cells:
        raise UsageError("no cell is selected", fix="`tox -e bench -- --co` lists them.")
    apps = tuple(cell.app.name for cell in job.cells)
    return Plan(cells=cells, apps=apps, probes=probes, seed=seed, budget=job.budget, blocks=job.blocks)


def _probe_plan(probe: Probe, extent: Extent) -> ProbePlan:
    return ProbePlan(
        name=probe.name,
        blocks=probe.blocks if extent.blocks is None else extent.blocks,
        guess=probe.guess,
        of_engine=isinstance(probe, EngineProbe),
        cells=extent.cells,
    )


def first_seconds(plan: Plan, job: Job) -> float:
    """The expected seconds of the first app, before anything is measured, without the making of bases."""
    first = plan.app_order()[0]
    return _app_seconds(plan, job, [cell for cell in job.cells if cell.app.name == first])


def _app_seconds(plan: Plan, job: Job, cells: Sequence[Cell]) -> float:
    images = any(isinstance(probe, CellProbe) for probe in job.probes)
    guesses = sum(probe.guess for probe in plan.probes if not probe.of_engine)
    engine = sum(probe.guess for probe in plan.probes if probe.of_engine)
    return engine + sum((guesses + PREPARE_GUESS * images) * effort(cell.app) for cell in cells)


def describe(plan: Plan, job: Job) -> str:
    """The expected length of the plan, before anything is measured."""
    cells, apps = len(plan.cells), plan.app_order()
    bounds = []
    if plan.budget is not None:
        bounds.append(f"a budget of {clock(plan.budget)}")
    if plan.blocks is not None:
        bounds.append(f"at most {plan.blocks} blocks")
    names = ", ".join(probe.name for probe in job.probes)
    first, whole = first_seconds(plan, job), _app_seconds(plan, job, job.cells)
    when = f"{apps[0]} after about {clock(first)}"
    if len(apps) > 1:
        when += f", all {len(apps)} apps after about {clock(whole)}"
    text = (
        f"{cells} cell{'s' * (cells != 1)}, probes {names}; {' and '.join(bounds)}. "
        f"Expected to be complete: {when} (longer if bases must be made first)."
    )
    if plan.budget is not None and plan.budget < first:
        text += f" The budget may be too small for one app: --budget {_as_budget(first)} would be enough."
    return text


def _as_budget(seconds: float) -> str:
    """A budget as a user writes it, rounded up to whole minutes."""
    return f"{max(math.ceil(seconds / 60), 1)}m"


def unfinished(results: Path) -> Path | None:
    """The newest run, if its last session was interrupted and `tare bench` can continue it."""
    runs = list_runs(results)
    if not runs:
        return None
    try:
        if _has_purpose(read_manifest(runs[-1]).plan):
            return None
        sessions, _ = read_sessions(runs[-1])
    except StoreError:
        return None
    return runs[-1] if sessions and sessions[-1].outcome in ("", "interrupted", "failed") else None


def _has_purpose(note: Mapping[str, object]) -> bool:
    """Whether a run serves a night or a gate: these start anew and are not continued."""
    return bool(note.get("purpose"))


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
    """The plan without the probes that cannot measure here, each reported with its reason."""
    possible = []
    for probe, row in zip(probes, plan.probes, strict=True):
        if reason := probe.impossible(lab):
            display.say(f"{probe.name}: not possible here: {reason}")
        else:
            possible.append(row)
    return replace(plan, probes=tuple(possible))
