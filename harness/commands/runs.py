"""`tare runs`: list the stored runs."""

from __future__ import annotations

import argparse
import sys

from harness.commands import Group
from harness.commands._runs import add_results

HELP = "list the stored runs"
GROUP = Group.READ
PLACE = 1


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from harness.errors import StoreError
    from harness.store.run import list_runs, read_run

    rows = []
    for folder in list_runs(options.results):
        try:
            stored = read_run(folder)
        except StoreError as error:  # one bad folder does not hide the others
            print(f"tare: {error}", file=sys.stderr)
            continue
        manifest = stored.manifest
        outcome = stored.sessions[-1].outcome if stored.sessions else ""
        samples = sum(len(series.value) for series in stored.series().values())
        fingerprint = manifest.environment.fingerprint
        rows.append((stored.id, fingerprint, len(manifest.cells), samples, len(stored.failures), outcome))
    headers = ("run", "environment", "cells", "samples", "failed tries", "last session")
    print(tabulate(rows, headers=headers) if rows else "no run is stored here. `tox -e bench` makes one.")
    return 0
