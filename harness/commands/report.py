"""`tare report`: tables of a stored run, from its folder alone."""

from __future__ import annotations

import argparse
import shutil

from harness.commands._runs import add_results, find_run

HELP = "tables of a stored run, from its folder alone"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", help="run id or folder (default: the newest)")
    add_results(parser)
    parser.add_argument("--markdown", action="store_true", help="Markdown instead of text")
    parser.add_argument("--full", action="store_true", help="every metric, not only the headline ones")


def run(options: argparse.Namespace) -> int:
    from harness.report.table import render
    from harness.store import read_run

    stored = read_run(find_run(options.run, options.results))
    width = shutil.get_terminal_size((100, 40)).columns
    print(render(stored, style="markdown" if options.markdown else "terminal", width=width, full=options.full))
    return 0
