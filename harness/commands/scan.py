"""`tare scan`: list known vulnerabilities of a stored run's images with the scanners of this machine."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._kinds import RUN, InputFile, add_force, add_output
from harness.commands._runs import add_results, find_run

HELP = "list known vulnerabilities of stored images; uses grype, trivy and docker scout if they are installed"
GROUP = Group.READ
PLACE = 6


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", type=RUN, help="run id or folder (default: the newest)")
    add_results(parser)
    parser.add_argument(
        "--osv",
        type=InputFile(folder=True),
        metavar="PATH",
        help="also match vulnerability records in OSV's form: a JSON file, a zip, or a folder of them",
    )
    add_output(parser, "--output", help="also write all findings as JSON")
    add_force(parser, "output")


def run(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from tabulate import tabulate

    from harness.errors import UsageError
    from harness.host.files import replace_file
    from harness.store.documents import CYCLONEDX, SPDX, newest
    from harness.store.format import encode
    from harness.store.run import read_run
    from harness.surface import osv, scanners

    stored = read_run(find_run(options.run, options.results))
    names = scanners.installed()
    if not (names or options.osv):
        fix = "Install grype or trivy, or use --osv. `surface.pending` counts pending security updates without them."
        raise UsageError("no scanner is installed", where="grype, trivy, docker scout", fix=fix)
    rows: list[tuple[object, ...]] = []
    found: dict[str, list[scanners.Scan]] = {}
    for cell in stored.manifest.cells:
        bill, spdx = (newest(stored.folder, cell.id, name) for name in (CYCLONEDX, SPDX))
        if not (bill and spdx):
            continue
        results = [scanners.scan(name, bill, spdx) for name in names]
        results += [osv.scan(bill, options.osv)] if options.osv else []
        for result in results:
            found.setdefault(cell.id, []).append(result)
            who = f"{result.scanner} {result.version}".strip()
            rows.append((cell.id, who, result.database, *result.counts().values()))
    if not rows:
        raise UsageError(
            "no bill of materials is stored", where=stored.id, fix="`tox -e bench -- -m surface` stores them."
        )
    print(tabulate(rows, headers=("cell", "scanner", "database of", *scanners.SEVERITIES)))
    if options.output:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        replace_file(options.output, encode({"schema": 1, "run": stored.id, "at": at, "cells": found}))
    return 0
