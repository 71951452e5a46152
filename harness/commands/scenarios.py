"""`tare scenarios`: what each strategy costs where it is used, from a stored run's measured parts."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands._runs import add_results, find_run
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.scenarios.formulas import Question

HELP = "deploys, scale-out, CI rebuilds and storage for a link of your choice, from a stored run; --check measures them"

NODES = 4
CHECKED = ("go-multi-stage", "python-multi-stage")

_SPEEDS = "Mbit/s of payload; of a link's nominal speed take 95 %%"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", help="run id or folder (default: the newest)")
    add_results(parser)
    parser.add_argument("--bandwidth", type=float, default=100.0, metavar="MBIT", help=f"{_SPEEDS} (default 100)")
    parser.add_argument("--rtt", type=float, default=5.0, metavar="MS", help="round-trip time, ms (default 5)")
    parser.add_argument(
        "--nodes",
        type=int,
        metavar="N",
        help=f"nodes of the scale-out (default {NODES}; with --check as many as this machine has processors, at most)",
    )
    parser.add_argument("--versions", type=int, default=10, metavar="V", help="versions that are stored (default 10)")
    parser.add_argument("--markdown", action="store_true", help="Markdown instead of text")
    parser.add_argument("--vectors", action="store_true", help="test vectors as JSON, for what computes the same")
    parser.add_argument(
        "--check", action="store_true", help="build, pull and deploy on a real engine, and print the formulas' errors"
    )
    cells = " and ".join(CHECKED)
    parser.add_argument("--cell", action="append", metavar="CELL", help=f"with --check: cells (default: {cells})")


def run(options: argparse.Namespace) -> int:
    from harness.scenarios.formulas import LinkSpeed, Question

    try:
        wire = LinkSpeed(bits_per_second=options.bandwidth * 1e6, rtt=options.rtt / 1e3)
        nodes = options.nodes if options.nodes is not None else _nodes(check=options.check)
        question = Question(wire=wire, nodes=nodes, versions=options.versions)
    except ValueError as error:
        raise UsageError(str(error), where="tare scenarios", fix="Try --bandwidth 100 --rtt 5 --nodes 4.") from error
    if options.check:
        return _check(question, options.cell or CHECKED)
    return _show(question, options)


def _nodes(*, check: bool) -> int:
    """Real nodes have processors of their own: more of them than this machine has would unpack in turns."""
    return min(NODES, max(os.cpu_count() or 1, 2)) if check else NODES


def _show(question: Question, options: argparse.Namespace) -> int:
    import json

    from harness.report.scenarios import render
    from harness.scenarios.formulas import vectors
    from harness.scenarios.measured import measured_parts
    from harness.store.run import read_run

    stored = read_run(find_run(options.run, options.results))
    parts = measured_parts(stored)
    if options.vectors:
        print(json.dumps(vectors(parts, [question]), indent=1))
        return 0
    width = shutil.get_terminal_size((100, 40)).columns
    print(render(stored, parts, question, style="markdown" if options.markdown else "terminal", width=width))
    return 0


def _check(question: Question, cells: Sequence[str]) -> int:
    """Exit code 1 where a formula is further off than it may be."""
    from harness.experiments.play_scenarios import check
    from harness.report.scenarios import render_checks
    from harness.text.display import Display

    display = Display()
    try:
        checks = list(check(Path.cwd(), cells, question, say=display.say))
    finally:
        display.close()
    print(render_checks(checks, question))
    return 0 if all(each.holds for each in checks) else 1
