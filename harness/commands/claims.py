"""`tare claims`: test common claims about images against stored runs."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from harness.commands import Group
from harness.commands._kinds import RUN, InputFile, Text
from harness.commands._runs import add_results, find_runs, readable

HELP = "test common claims about images against stored runs: confirmed, refuted or undecided"
GROUP = Group.DECIDE
PLACE = 2
FILE = Path("variants/claims.toml")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", type=RUN, help="run ids or folders to use (default: all stored runs)")
    add_results(parser)
    parser.add_argument("--file", type=InputFile(), action="append", metavar="TOML", help="add the claims of this file")
    parser.add_argument(
        "-k",
        dest="only",
        type=Text("shell"),
        metavar="TEXT",
        help="test only claims whose name contains TEXT",
    )
    parser.add_argument("--markdown", action="store_true", help="write Markdown instead of text")


def run(options: argparse.Namespace) -> int:
    from harness.catalogue.read import read
    from harness.claims.judge import judge
    from harness.claims.read import read_claims
    from harness.errors import UsageError
    from harness.probes import all_probes
    from harness.report.claims import render
    from harness.store.run import list_runs, read_run
    from harness.text.markdown import harmless_markdown

    metrics = [metric for probe in all_probes() for metric in probe.metrics]
    files = [*([FILE] if FILE.exists() or not options.file else []), *(options.file or ())]
    claims = [claim for path in files for claim in read_claims(path, metrics) if (options.only or "") in claim.name]
    if not claims:
        raise UsageError("no claim has this name", where=options.only or str(files[0]), fix="Leave out -k to see all.")
    if options.run:
        runs = [read_run(folder) for folder in find_runs(options.run, options.results)]
    else:
        runs = [*readable(list_runs(options.results))]
    catalogue = read(Path()) if Path("variants/bases.toml").exists() else None
    width = shutil.get_terminal_size((100, 40)).columns
    judged = judge(claims, runs)
    names = [metric.name for metric in metrics]
    text = render(judged, catalogue=catalogue, metrics=names, markdown=options.markdown, width=width)
    print(harmless_markdown(text) if options.markdown else text)
    return 0
