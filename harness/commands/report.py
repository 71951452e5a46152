"""`tare report`: tables of a stored run, and on request a decision document and a page, from run folders alone."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable

from harness.commands import Group
from harness.commands._kinds import RUN, OutputFolder, Text, add_force, add_output, must_be_new
from harness.commands._runs import add_results, find_runs
from harness.errors import UsageError

HELP = "print the tables of a stored run; --decision, --html or --out write which strategy to take and why"
GROUP = Group.READ
PLACE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        nargs="*",
        type=RUN,
        help="run id or folder (default: the newest); several runs of one environment are read as one",
    )
    add_results(parser)
    parser.add_argument("--markdown", action="store_true", help="write Markdown instead of text")
    parser.add_argument("--full", action="store_true", help="show every metric, not only the headline metrics")
    group = parser.add_argument_group("which strategy to take")
    add_output(group, "--decision", help="write the decision document here")
    add_output(group, "--html", help="write the page here")
    group.add_argument(
        "--out", type=OutputFolder(), metavar="DIR", help="write both: DIR/decision.md and DIR/report.html"
    )
    group.add_argument(
        "--weight",
        type=Text("deploy=3"),
        action="append",
        default=[],
        metavar="NAME=N",
        help="weight of a criterion or metric, such as deploy=3",
    )
    group.add_argument(
        "--need",
        type=Text("shell"),
        action="append",
        default=[],
        metavar="WHAT",
        help="what an image must have, such as shell or non-root",
    )
    group.add_argument(
        "--at-most",
        type=Text("size.transfer=100MB"),
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="an upper limit, such as size.transfer=100MB",
    )
    group.add_argument(
        "--at-least",
        type=Text("size.layers=3"),
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="lower limit, such as size.layers=3",
    )
    add_force(parser, "decision", "html")


def run(options: argparse.Namespace) -> int:
    from harness.decision.constraints import limit, need
    from harness.decision.criteria import weighted
    from harness.decision.decide import PAGE
    from harness.report.documents import DECISION, make, write
    from harness.report.table import Style, render
    from harness.store.run import read_run
    from harness.text.markdown import harmless_markdown

    markdown, page = options.decision, options.html
    if options.out:
        markdown, page = markdown or options.out / DECISION, page or options.out / PAGE
        for path in (markdown, page):
            must_be_new(path, force=options.force)
    runs = [read_run(folder) for folder in find_runs(options.run, options.results)]
    if not (markdown or page):
        if asked := [name for name in ("weight", "need", "at_most", "at_least") if getattr(options, name)]:
            raise UsageError(
                "is about the documents",
                where=f"--{asked[0].replace('_', '-')}",
                fix="Add --decision FILE, --html FILE or --out DIR.",
            )
        width = shutil.get_terminal_size((100, 40)).columns
        for stored in runs:
            style: Style = "markdown" if options.markdown else "terminal"
            text = render(stored, style=style, width=width, full=options.full)
            print(harmless_markdown(text) if options.markdown else text)
        return 0
    metrics = runs[0].manifest.metrics
    constraints = [need(name) for name in options.need]
    constraints += [limit(text, metrics, at_most=True) for text in options.at_most]
    constraints += [limit(text, metrics, at_most=False) for text in options.at_least]
    made = make(runs, criteria=weighted(_weights(options.weight), metrics), constraints=constraints)
    for path in write(made, markdown=markdown, html=page):
        print(path)
    for doubt in made.doubts:
        print(f"{doubt.kind}: {doubt.text}", file=sys.stderr)
    return 0


def _weights(given: Iterable[str]) -> dict[str, float]:
    weights = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            raise UsageError(
                "not NAME=NUMBER", where=f"--weight {text}", fix="Write it as deploy=3 or size.files=1."
            ) from None
    return weights
