"""`tare why A B`: show why one image is larger or slower than another, from a stored run."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._kinds import CELL, RUN
from harness.commands._runs import add_results, find_run

HELP = "show why two cells differ: layers, packages, files, surface, build steps, start phases"
GROUP = Group.READ
PLACE = 4


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=CELL, metavar="A", help="a cell, such as go-scratch")
    parser.add_argument("after", type=CELL, metavar="B", help="another cell, such as go-full")
    parser.add_argument("--run", type=RUN, help="run id or folder (default: the newest)")
    add_results(parser)


def run(options: argparse.Namespace) -> int:
    from harness.report.inside import why_text
    from harness.store.run import read_run
    from harness.surface.difference import difference
    from harness.surface.stored import stored_image

    stored = read_run(find_run(options.run, options.results))
    before, after = (stored_image(stored, cell) for cell in (options.before, options.after))
    print(why_text(stored, before, after, difference(before, after)))
    return 0
