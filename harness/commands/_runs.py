"""Shared by the commands about stored runs: where run folders are, and which run a user means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands._kinds import RUN, OutputFolder, StoredFolder
from harness.errors import StoreError, UsageError

if TYPE_CHECKING:
    from harness.store.run import Run


def add_results(parser: argparse.ArgumentParser, *, writes: bool = False) -> None:
    """`writes`: the command may also measure, so that the folder may be a new one."""
    kind = OutputFolder() if writes else StoredFolder()
    parser.add_argument("--results", type=kind, default=Path("results"), help="folder of the stored runs")


def add_resume(parser: argparse._ActionsContainer) -> None:
    """The option of a command whose run can be continued; without a name it means the newest run."""
    parser.add_argument(
        "--resume",
        type=RUN,
        metavar="RUN",
        nargs="?",
        const="latest",
        help="continue an interrupted run (default: the newest)",
    )


def readable(folders: Iterable[Path]) -> Iterator[Run]:
    """The runs of these folders. A folder that cannot be read is one line on standard error: it does not hide the
    others.
    """
    from harness.store.run import read_run

    for folder in folders:
        try:
            yield read_run(folder)
        except StoreError as error:
            print(f"tare: left out: {error}", file=sys.stderr)


def find_runs(names: Sequence[str], results: Path) -> list[Path]:
    """The folders of several runs; the newest folder if none is named. Raises like `find_run`, and if a run is named
    twice.
    """
    from harness.store.format import read_manifest

    folders = [find_run(name, results) for name in names] or [find_run(None, results)]
    seen: dict[str, Path] = {}
    for folder in folders:
        run = read_manifest(folder).run or str(folder.resolve())
        if run in seen:
            what = "the run is named twice" if folder.resolve() == seen[run].resolve() else f"is a copy of {seen[run]}"
            raise UsageError(what, where=str(folder), fix="Name each run once: its samples would count twice.")
        seen[run] = folder
    return folders


def find_run(name: str | None, results: Path) -> Path:
    """The folder that `name` means: a path, a run id, or the unambiguous beginning of an id. None means the newest run.

    Raises UsageError, or StoreError if no run is stored.
    """
    from harness.store.run import latest, list_runs

    if name is None:
        return latest(results)
    if (Path(name) / "manifest.json").exists():
        return Path(name)
    matches = [folder for folder in list_runs(results) if folder.name.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    found = f"{len(matches)} runs have ids that begin with this" if matches else "no run has this id"
    raise UsageError(found, where=name, fix="`tare runs` lists the stored runs.")
