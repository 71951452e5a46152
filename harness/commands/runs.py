"""`tare runs`: list the stored runs."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._runs import add_results, readable

HELP = "list the stored runs"
GROUP = Group.READ
PLACE = 1


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser)


def run(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from harness.store.run import list_runs

    rows = []
    for stored in readable(list_runs(options.results)):
        manifest = stored.manifest
        outcome = stored.sessions[-1].outcome if stored.sessions else ""
        samples = sum(len(series.value) for series in stored.series().values())
        fingerprint = manifest.environment.fingerprint
        rows.append((stored.id, fingerprint, len(manifest.cells), samples, len(stored.failures), outcome))
    headers = ("run", "environment", "cells", "samples", "failed tries", "last session")
    print(tabulate(rows, headers=headers) if rows else "no run is stored here. `tox -e bench` makes one.")
    return 0
