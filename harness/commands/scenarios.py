"""`tare scenarios`: compute what each strategy costs in use, from the measured parts of a stored run."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import Group
from harness.commands._kinds import CELL, RUN, Amount, Whole
from harness.commands._runs import add_results, find_run
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.scenarios.formulas import Question

HELP = "compute deployments, scale-out, CI rebuilds and storage for your network; --check measures them"
GROUP = Group.DECIDE
PLACE = 1

NODES = 4
CHECKED = ("go-multi-stage", "python-multi-stage")

_SPEEDS = "payload speed in Mbit/s; use 95 %% of the link's nominal speed"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", type=RUN, help="run id or folder (default: the newest)")
    add_results(parser, writes=True)
    parser.add_argument("--bandwidth", type=Amount(), default=100.0, metavar="MBIT", help=f"{_SPEEDS} (default 100)")
    parser.add_argument(
        "--rtt", type=Amount(zero=True), default=5.0, metavar="MS", help="round-trip time in ms (default 5)"
    )
    parser.add_argument(
        "--nodes",
        type=Whole(),
        metavar="N",
        help=f"machines of the scale-out (default {NODES}; with --check at most the number of processors)",
    )
    parser.add_argument("--versions", type=Whole(), default=10, metavar="V", help="versions to store (default 10)")
    parser.add_argument("--markdown", action="store_true", help="write Markdown instead of text")
    parser.add_argument("--vectors", action="store_true", help="write test vectors as JSON for other implementations")
    parser.add_argument(
        "--check",
        action="store_true",
        help="build, pull and deploy on a real engine and show the formulas' errors; stored under RESULTS/scenarios",
    )
    cells = " and ".join(CHECKED)
    parser.add_argument(
        "--cell", type=CELL, action="append", metavar="CELL", help=f"cell to use with --check (default: {cells})"
    )
    parser.add_argument(
        "--resume",
        type=RUN,
        metavar="RUN",
        nargs="?",
        const="latest",
        help="continue an interrupted --check with its cells and its network (default: the newest)",
    )


def run(options: argparse.Namespace) -> int:
    from harness.scenarios.formulas import LinkSpeed, Question

    try:
        wire = LinkSpeed(bits_per_second=options.bandwidth * 1e6, rtt=options.rtt / 1e3)
        nodes = options.nodes if options.nodes is not None else _nodes(check=options.check)
        question = Question(wire=wire, nodes=nodes, versions=options.versions)
    except ValueError as error:
        raise UsageError(str(error), where="tare scenarios", fix="Try --bandwidth 100 --rtt 5 --nodes 4.") from error
    if options.check or options.resume:
        return _check(question, options)
    return _show(question, options)


def _nodes(*, check: bool) -> int:
    """Real nodes have their own processors. More nodes than this machine has processors would unpack in turns."""
    return min(NODES, max(os.cpu_count() or 1, 2)) if check else NODES


def _show(question: Question, options: argparse.Namespace) -> int:
    import json

    from harness.report.scenarios import render
    from harness.scenarios.formulas import vectors
    from harness.scenarios.measured import measured_parts
    from harness.store.run import read_run
    from harness.text.markdown import harmless_markdown

    stored = read_run(find_run(options.run, options.results))
    parts = measured_parts(stored)
    if options.vectors:
        print(json.dumps(vectors(parts, [question]), indent=1))
        return 0
    width = shutil.get_terminal_size((100, 40)).columns
    text = render(stored, parts, question, style="markdown" if options.markdown else "terminal", width=width)
    print(harmless_markdown(text) if options.markdown else text)
    return 0


def _check(question: Question, options: argparse.Namespace) -> int:
    """Exit code: 1 if the error of a formula is larger than its tolerance or something could not be played, else 0."""
    from harness.catalogue.read import read
    from harness.experiments.play_scenarios import FOLDER, Asked, checks, missing, play
    from harness.report.scenarios import render_checks
    from harness.settings import Settings
    from harness.store.run import read_run
    from harness.text.display import Display

    resume = None
    if options.resume:
        name = None if options.resume == "latest" else options.resume
        resume = read_run(find_run(name, options.results / FOLDER))
    display = Display()
    try:
        root = Path.cwd()
        folder = play(
            root,
            options.results,
            read(root),
            options.cell or CHECKED,
            question,
            Settings.from_environ(),
            display,
            resume=resume,
        )
    finally:
        display.close()
    stored = read_run(folder)
    found = list(checks(stored))
    print(render_checks(found, Asked.of(stored).question))
    for failure in stored.failures:
        print(f"{failure.cell or 'all cells'}: {failure.probe}: {failure.status}: {failure.reason}")
    left = missing(stored, found)
    if left:
        print(f"not compared: {', '.join(left)}")
    return 0 if not left and not stored.failures and all(each.holds for each in found) else 1
