"""Writes decision.md and report.html of a run, beside its samples or to another place."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.claims.claim import Claim
from harness.claims.read import read_claims
from harness.decision.constraints import Constraint
from harness.decision.criteria import CRITERIA, Criterion
from harness.decision.decide import PAGE, Decision, decide
from harness.decision.engines import TOGETHER, engine_of, together
from harness.decision.figures import Analysis
from harness.errors import CatalogueError, StoreError, TareError
from harness.host.files import replace_file
from harness.probes import all_probes
from harness.report.markdown import decision as decision_document
from harness.report.page import page
from harness.store.format import read_manifest
from harness.store.run import Run, latest, list_runs, read_run

DECISION = "decision.md"
CLAIMS = Path("variants/claims.toml")  # path in the checkout of the current folder


def write_documents(run_folder: Path, analysis: Analysis | None = None) -> list[Path]:
    """Write both documents into the run folder and return their paths. Never fails: because the run matters more than
    the report.

    An error is printed in one line on standard error. Every document that can be written is written. `analysis` is of
    this run: give it if the run has been read already, because samples.jsonl is then not read again.
    """
    try:
        analysis = analysis or Analysis(read_run(run_folder))
        made = make([analysis.run], analysis=analysis)
        return write(made, markdown=run_folder / DECISION, html=run_folder / PAGE)
    except Exception as error:  # noqa: BLE001 - a mistake in a report must not take the run's exit code with it
        what = str(error) if isinstance(error, TareError) else f"{type(error).__name__}: {error}"
        print(f"tare: the documents of {run_folder.name} were not written: {what}", file=sys.stderr)
        return []


def make(
    runs: Sequence[Run],
    *,
    criteria: Sequence[Criterion] = CRITERIA,
    constraints: Sequence[Constraint] = (),
    analysis: Analysis | None = None,
) -> Decision:
    """The decision of these runs, with the checkout's claims."""
    return decide(
        runs,
        criteria=criteria,
        constraints=constraints,
        now=time.time(),
        claims=_claims(),
        others=siblings(runs[0]) if len(runs) == 1 else (),
        analysis=analysis,
    )


def siblings(run: Run) -> list[Run]:
    """The runs of the same job on other engines, in the order in which they were made. One that cannot be read is left
    out, because a decision does not need it.
    """
    found: list[Run] = []
    if not together(run):
        return found
    for folder in list_runs(run.folder.parent):
        try:
            other = read_run(folder) if folder != run.folder and together_of(folder) == together(run) else None
        except StoreError:
            continue
        if other and other.series():
            found.append(other)
    return found


def runs_on(name: str | None, results: Path, engines: Sequence[str]) -> list[Run]:
    """The run on each of these engines, of the job that the run `name` (default: the newest) belongs to; an empty list
    unless all of them are engines of that job. Raises StoreError.
    """
    try:
        newest = read_run(results / name if name else latest(results))
    except StoreError:
        return []
    known = {engine_of(run): run for run in (newest, *siblings(newest)) if engine_of(run)}
    return [known[engine] for engine in engines] if all(engine in known for engine in engines) else []


def together_of(folder: Path) -> str:
    """What a stored run has in common with the runs of the same job. Raises StoreError."""
    return str(read_manifest(folder).plan.get(TOGETHER) or "")


def _claims() -> tuple[Claim, ...]:
    """None if the file has a mistake, which `tare claims` explains: a document is worth having without them."""
    if not CLAIMS.exists():
        return ()
    try:
        return read_claims(CLAIMS, [metric for probe in all_probes() for metric in probe.metrics])
    except CatalogueError as error:
        print(f"tare: the documents are written without claims: {error}", file=sys.stderr)
        return ()


def write(made: Decision, *, markdown: Path | None = None, html: Path | None = None) -> list[Path]:
    """Write the requested documents; each file is replaced as a whole. Raises StoreError."""
    paths = []
    for path, render in ((markdown, decision_document.render), (html, page.render)):
        if path is not None:
            _replace(path, render(made))
            paths.append(path)
    return paths


def _replace(path: Path, text: str) -> None:
    try:
        replace_file(path, text)
    except OSError as error:
        raise StoreError.unwritable(path, error) from error
