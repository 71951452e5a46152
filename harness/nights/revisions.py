"""Two revisions of a checkout, built and measured side by side until every budgeted metric is decided.

Both revisions are unpacked by `git archive`, and the cells that a change affects are measured twice in every block, as
`go-slim.base` and `go-slim.head`. Each revision is built once, on the bases of its own `variants/bases.toml`. After a
round of blocks the open metrics are measured further, until all are decided or the time is over. Budgets and the
harness are those of the checkout.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir

from harness.catalogue.beside import beside
from harness.catalogue.catalogue import Catalogue
from harness.catalogue.read import read
from harness.errors import CatalogueError, TareError, UsageError
from harness.host.reaper import Reaper
from harness.model import Cell, Metric
from harness.nights.bench import Measure, renamed
from harness.nights.budgets import Budget, Severity
from harness.nights.judged import BASE, HEAD, RevisionRow, has_budget, judge, seconds_to_decide
from harness.probes.base import Probe
from harness.run.job import Job, measure
from harness.run.plan import ENOUGH_BLOCKS, Further
from harness.settings import Settings
from harness.store.run import read_run
from harness.text.display import Display

GATE = "gate"  # purpose of such a run: it is not a night of the history
BLOCKS = 12  # of each round
ROUNDS = ENOUGH_BLOCKS // BLOCKS
EXPLAINS = "surface"  # the probe whose documents name layers, steps and packages: what is to blame


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """What the gate found. `run` is None if no cell has to be measured."""

    base: str
    head: str
    run: Path | None
    rows: tuple[RevisionRow, ...]
    missing: tuple[str, ...]  # metrics that should have been measured and were not
    failed: tuple[str, ...]  # why tries failed
    gone: tuple[str, ...]  # cells that only one revision has
    same: int  # cells for which nothing changed
    seconds: float = 0.0  # the time budget that would decide what is open

    @property
    def exit_code(self) -> int:
        """0 passes, 1 a hard budget is broken, 2 could not be decided or measured."""
        if any(row.fails for row in self.rows):
            return 1
        return 2 if self.missing or any(row.open and row.budget.severity is Severity.HARD for row in self.rows) else 0


def resolve(root: Path, name: str) -> str | None:
    """The commit of a git revision, or None if the folder is no checkout or has no such revision."""
    return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip() or None


def measure_revisions(
    root: Path,
    base: str,
    head: str,
    *,
    results: Path,
    probes: Sequence[Probe],
    budgets: Callable[[Sequence[str], Sequence[Metric]], Sequence[Budget]],
    settings: Settings,
    display: Display,
    seconds: float,
    measuring: Measure = measure,
) -> Revisions:
    """Measure the cells that differ between two commits. Raises TareError if a revision cannot be read or measured."""
    with Reaper(settings.cache) as reaper:  # its guardian removes the folder even after kill -9
        place = reaper.folder(Path(gettempdir()) / f"tare-gate-{reaper.token}")
        folders = [_unpack(root, commit, place / name) for commit, name in ((base, "base"), (head, "head"))]
        old, new = (_read(folder, commit) for folder, commit in zip(folders, (base, head), strict=True))
        for problem in new.problems:  # a cell that a mistake breaks must not count as a cell that was removed
            if str(problem).partition(":")[2] not in {str(known).partition(":")[2] for known in old.problems}:
                raise problem
        pair = beside(new, old, BASE)
        ours, theirs = ({cell.id: cell for cell in one.cells if _is_on(cell)} for one in (old, new))
        paths = _git(root, "diff", "--name-only", "--no-renames", "-z", base, head).split("\0")
        both = [name for name in theirs if name in ours]
        wanted = [
            name
            for name in both
            if pair.moved & set(ours[name].roles) or _differs(theirs[name], ours[name], folders, paths)
        ]
        known = budgets(both, [metric for probe in probes for metric in probe.metrics])
        judged = [probe for probe in probes if any(has_budget(known, wanted, metric) for metric in probe.metrics)]
        run: Path | None = None
        rows: tuple[RevisionRow, ...] = ()
        missing: tuple[str, ...] = ()
        failed: tuple[str, ...] = ()
        needed = seconds
        if wanted and judged:
            cells = [
                renamed(cell, suffix)
                for name in wanted
                for cell, suffix in ((pair.old(ours[name]), BASE), (theirs[name], HEAD))
            ]
            rounds = iter(range(2, ROUNDS + 1))
            job = Job(
                root=folders[1],
                results=results,
                catalogue=pair.catalogue,
                cells=cells,
                probes=[probe for probe in probes if probe in judged or probe.name == EXPLAINS],
                budget=seconds,
                blocks=BLOCKS,
                note={"purpose": GATE, "base": base, "head": head},
                pairs={name + HEAD: name + BASE for name in wanted},
                further=lambda folder: _further(judge(read_run(folder), wanted, judged, known)[0], next(rounds, 0)),
            )
            run = measuring(job, settings, display)
            stored = read_run(run)
            rows, missing = judge(stored, wanted, judged, known)
            needed += seconds_to_decide(stored, rows)
            failed = tuple(dict.fromkeys(f"{at.cell}: {at.probe} {at.state}: {at.reason}" for at in stored.failures))
        gone = tuple(sorted(set(ours) ^ set(theirs)))
        same = len(both) - len(wanted)
        return Revisions(
            base=base,
            head=head,
            run=run,
            rows=rows,
            missing=missing,
            failed=failed,
            gone=gone,
            same=same,
            seconds=needed,
        )


def _further(rows: Sequence[RevisionRow], number: int) -> Further | None:
    """The blocks of round `number` (0: no round is left) for the probes whose metrics are open; None if none is."""
    still = frozenset(row.metric.probe for row in rows if row.open)
    return Further(probes=still, blocks=BLOCKS * number) if still and number else None


def _is_on(cell: Cell) -> bool:
    return cell.app.default and cell.strategy.default


def _differs(new: Cell, old: Cell, folders: Sequence[Path], paths: Sequence[str]) -> bool:
    """Whether a changed file belongs to what a cell is built from: the app's folder, or the Dockerfile."""
    for cell, folder in ((old, folders[0]), (new, folders[1])):
        app, dockerfile = (
            path.resolve().relative_to(folder.resolve()).as_posix() for path in (cell.app.path, cell.dockerfile)
        )
        if any(path.startswith(f"{app}/") or path in (dockerfile, f"{dockerfile}.dockerignore") for path in paths):
            return True
    return False


def _read(folder: Path, commit: str) -> Catalogue:
    """The catalogue of a revision; its errors name the revision's files as git does. Raises CatalogueError."""

    def named(error: CatalogueError) -> CatalogueError:
        path = Path(f"{commit[:12]}:{error.path.resolve().relative_to(folder.resolve())}")
        return CatalogueError(error.what, path=path, line=error.line, fix=error.fix.replace(f"{folder}/", ""))

    try:
        catalogue = read(folder)
    except CatalogueError as error:
        raise named(error) from error
    return replace(catalogue, problems=tuple(map(named, catalogue.problems)))


def _unpack(root: Path, commit: str, folder: Path) -> Path:
    folder.mkdir()
    done = subprocess.run(["git", "-C", str(root), "archive", "--format=tar", commit], capture_output=True, check=False)
    if done.returncode:
        raise UsageError(
            done.stderr.decode(errors="replace").strip(), where=commit, fix="Name a commit of this checkout."
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise TareError(f"cannot be unpacked: {error}", where=commit, fix="Free space in TMPDIR.") from error
    return folder


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
