"""What the commands about stored runs share: where run folders are, and which run a user means."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import UsageError


def add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stored runs")


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
