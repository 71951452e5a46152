"""`tare layers CELL`: each layer with its step, bytes, waste and largest folders, from a stored run alone."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._kinds import CELL, RUN, Whole
from harness.commands._runs import add_results, find_run

HELP = "show each layer of an image: its build step, its bytes, its waste and its largest folders"
GROUP = Group.READ
PLACE = 5


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", type=CELL, help="a cell, such as go-slim")
    parser.add_argument("--run", type=RUN, help="run id or folder (default: the newest)")
    add_results(parser)
    parser.add_argument(
        "--folders", type=Whole(0), default=3, metavar="N", help="folders to list per layer (default 3)"
    )


def run(options: argparse.Namespace) -> int:
    from harness.report.inside import layers_text
    from harness.store.run import read_run
    from harness.surface.stored import stored_image

    stored = read_run(find_run(options.run, options.results))
    print(layers_text(stored_image(stored, options.cell), folders=options.folders))
    return 0
