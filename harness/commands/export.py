"""`tare export`: write stored runs in the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands import Group
from harness.commands._kinds import RUN, add_force, add_output, must_be_new
from harness.commands._runs import add_results, find_runs, readable

HELP = "write stored runs as CSV, SQLite, or the JSON of pytest-benchmark, Bencher or github-action-benchmark"
GROUP = Group.OVER_TIME
PLACE = 5


def configure(parser: argparse.ArgumentParser) -> None:
    from harness.export import exporters

    parser.add_argument("run", nargs="*", type=RUN, help="runs to export (default: the newest)")
    parser.add_argument("--all", action="store_true", help="export every stored run")
    parser.add_argument("--format", required=True, choices=list(exporters()), help="format to write")
    add_output(parser, "--output", help="file to write (default: tare.<suffix>)")
    add_force(parser, "output")
    add_results(parser)


def run(options: argparse.Namespace) -> int:
    from harness.errors import StoreError
    from harness.export import exporters
    from harness.store.run import list_runs, read_run

    exporter = exporters()[options.format]
    path = options.output or Path(f"tare.{exporter.SUFFIX}")
    must_be_new(path, force=options.force)
    if options.all:
        runs = [*readable(list_runs(options.results))]
        if not runs:
            raise StoreError("no run can be read here", where=str(options.results), fix="`tox -e bench` makes one.")
    else:
        runs = [read_run(folder) for folder in find_runs(options.run, options.results)]
    runs.sort(key=lambda run: run.id)
    try:
        exporter.write(runs, path)
    except OSError as error:
        raise StoreError.unwritable(path, error) from error
    print(f"{path}: {options.format} of {len(runs)} {'run' if len(runs) == 1 else 'runs'}, {path.stat().st_size} bytes")
    return 0
