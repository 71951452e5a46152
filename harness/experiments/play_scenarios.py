"""Compares each scenario with a real run of it, which shows the formulas' error on this machine.

One job measures the parts as every run measures them, without a shaped wire, and plays every scenario out (see
harness/experiments/plays.py). Its run is stored under results/scenarios/, so that a killed one can go on; what is
compared is read from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.catalogue.catalogue import Catalogue
from harness.errors import UsageError
from harness.experiments.plays import (
    SAME,
    STORAGE,
    FirstPlay,
    RebuildColdPlay,
    RebuildPlay,
    ScalePlay,
    StoragePlay,
    UpdateColdPlay,
    UpdatePlay,
    metric_of,
)
from harness.model import Cell
from harness.probes.base import Probe
from harness.probes.build import BuildProbe
from harness.probes.pull import PullProbe
from harness.probes.size import SizeProbe
from harness.run.job import Extent, Job, measure
from harness.scenarios.formulas import SCENARIOS, Estimate, LinkSpeed, Question, exact, storage
from harness.scenarios.measured import measured_parts
from harness.settings import Settings
from harness.store.run import Run
from harness.text.display import Display

FOLDER = "scenarios"  # beside the runs of apps, under results/
PULLS = 6  # unshaped pulls of each kind, for the parts: the smallest number with an interval
BUILDS = 2  # of each kind
EXTENTS = {"pull": Extent(blocks=PULLS), "build": Extent(blocks=BUILDS)}
LIMIT = 0.15  # a formula with a larger error is wrong here; bytes must agree within BYTES_LIMIT
BYTES_LIMIT = 0.01  # a registry keeps manifests too
_BUILT = ("update-cold", "rebuild", "rebuild-cold")  # scenarios that need builds as parts
_NOTE = "scenarios"  # the key under which the plan of a run keeps what was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One scenario, computed and played out; seconds, or bytes for storage."""

    cell: str
    scenario: str
    predicted: Estimate
    measured: float
    limit: float = LIMIT

    @property
    def error(self) -> float:
        """The formula's answer ÷ the measurement, minus 1."""
        return self.predicted.value / self.measured - 1

    @property
    def holds(self) -> bool:
        return abs(self.error) <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run plays: `only` names the scenarios beside storage, all if it is empty."""

    question: Question
    only: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Asked:
        """The request of a stored run. Raises UsageError if it is not a run of scenarios."""
        note: Any = run.manifest.plan.get(_NOTE)
        try:
            question = {**note["question"], "wire": LinkSpeed(**note["question"]["wire"])}
            return cls(question=Question(**question), only=tuple(note["only"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("this is not a run of scenarios", where=run.id, fix="See results/scenarios.") from error

    def wants(self, scenario: str) -> bool:
        return not self.only or scenario in self.only

    @property
    def scenarios(self) -> tuple[str, ...]:
        return tuple(each.name for each in SCENARIOS if self.wants(each.name))


def probes_of(asked: Asked, cells: Sequence[Cell], resume: Run | None = None) -> list[Probe]:
    """The probes of the parts, then a play of every requested scenario."""
    known = {} if resume is None else measured_parts(resume)
    earlier = {name: parts.reproducible for name, parts in known.items() if parts.reproducible is not None}
    question = asked.question
    plays = (
        FirstPlay(question),
        UpdatePlay(question),
        UpdateColdPlay(question, earlier),
        ScalePlay(question),
        RebuildPlay(question),
        RebuildColdPlay(question),
    )
    builds = [BuildProbe()] if any(map(asked.wants, _BUILT)) else []
    return [
        SizeProbe(),
        PullProbe(),
        *builds,
        *(play for play in plays if asked.wants(play.scenario)),
        StoragePlay(question, cells),
    ]


def play(
    root: Path,
    results: Path,
    catalogue: Catalogue,
    names: Sequence[str],
    question: Question,
    settings: Settings,
    display: Display,
    *,
    only: Collection[str] = (),
    resume: Run | None = None,
) -> Path:
    """Play every scenario out for the cells named, and return the run folder, under results/scenarios.

    A run to resume has its own cells and its own question. A play that fails is a record; Ctrl-C loses nothing. Raises
    UsageError for unknown cells, and LabError if there cannot be several nodes side by side.
    """
    asked = Asked(question=question, only=tuple(only))
    if resume:
        asked, names = Asked.of(resume), [cell.id for cell in resume.manifest.cells]
    known = {cell.id: cell for cell in catalogue.cells}
    for name in names:
        if name not in known:
            raise UsageError("no cell has this name", where=name, fix=f"The cells are {', '.join(known)}.")
    cells = [known[name] for name in dict.fromkeys(names)]
    job = Job(
        root=root,
        results=results / FOLDER,
        catalogue=catalogue,
        cells=cells,
        probes=probes_of(asked, cells, resume),
        budget=None,
        blocks=PULLS,
        extents=EXTENTS,
        resume=resume,
        note=note_of(asked),
    )
    return measure(job, settings, display)


def note_of(asked: Asked) -> dict[str, object]:
    """The form in the plan of a run; Asked.of reads it."""
    return {_NOTE: {"question": asdict(asked.question), "only": list(asked.only)}}


def checks(run: Run) -> Iterator[Check]:
    """Every scenario of a stored run that was played and whose parts were measured."""
    asked, parts, series = Asked.of(run), measured_parts(run), run.series()

    def played(cell: str, metric: str) -> float | None:
        found = series.get((cell, metric))
        return None if found is None else float(np.median(found.value))

    for cell, mine in parts.items():
        for scenario in SCENARIOS:
            known, same = mine, played(cell, SAME)
            if scenario.name == "update-cold" and same is not None:
                known = replace(mine, reproducible=bool(same))  # as it was played
            seconds, predicted = played(cell, metric_of(scenario.name)), scenario.compute(known, asked.question)
            if seconds is not None and predicted is not None:
                yield Check(cell=cell, scenario=scenario.name, predicted=predicted, measured=seconds)
    # versions differ by the names of apps, so two strategies of one app count as two apps here
    expected, stored = storage(replace(each, app=each.cell) for each in parts.values()), played("", metric_of(STORAGE))
    if stored is not None and expected is not None and len(expected.apps) == len(parts):
        predicted = exact(expected.of(asked.question.versions))
        yield Check(cell=" + ".join(parts), scenario=STORAGE, predicted=predicted, measured=stored, limit=BYTES_LIMIT)


def missing(run: Run, found: Sequence[Check]) -> list[str]:
    """The requested scenarios that cannot be compared, because a play or a part of the formula is missing."""
    cells = [cell.id for cell in run.manifest.cells]
    wanted = [(cell, scenario) for cell in cells for scenario in Asked.of(run).scenarios]
    have = {(each.cell, each.scenario) for each in found}
    return [
        f"{cell} {scenario}"
        for cell, scenario in (*wanted, (" + ".join(cells), STORAGE))
        if (cell, scenario) not in have
    ]
