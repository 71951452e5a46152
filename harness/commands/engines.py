"""`tare engines`: measure two cells on every engine that this machine can have, and write what was measured."""

from __future__ import annotations

import argparse

from harness.commands import Group
from harness.commands._kinds import ENGINE, Text, add_force, add_output
from harness.commands._runs import add_results

HELP = "measure two cells on several engines and write which probes measure there"
GROUP = Group.MAINTAIN
PLACE = 5

CELLS = "go-distroless or python-scratch"
ENGINES = ("private:20.10", "private:26.1", "private:28.5", "private:28.5+containerd")


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser, writes=True)
    parser.add_argument(
        "--engine",
        type=ENGINE,
        action="append",
        default=[],
        metavar="NAME",
        help=f"an engine (default: {', '.join(ENGINES)})",
    )
    parser.add_argument(
        "-k", dest="cells", type=Text(CELLS), default=CELLS, metavar="CELLS", help=f"cells (default: {CELLS})"
    )
    parser.add_argument("-m", dest="metrics", type=Text("size"), metavar="METRICS", help="metrics (default: all)")
    add_output(parser, "--out", help="write the page to this file (default: print it)")
    add_force(parser, "out")


def run(options: argparse.Namespace) -> int:
    from harness.commands._on_each import bench_on_each
    from harness.decision.engines import engine_of
    from harness.host.files import replace_file
    from harness.report.documents import siblings
    from harness.report.engines import render
    from harness.store.run import latest, read_run

    engines = options.engine or list(ENGINES)
    arguments = ["--results", str(options.results), "--blocks", "1", "-k", options.cells]
    arguments += ["-m", options.metrics] if options.metrics else []
    code = bench_on_each(engines, arguments)
    newest = read_run(latest(options.results))
    runs = sorted((newest, *siblings(newest)), key=lambda run: engines.index(engine_of(run)))
    text = render(runs)
    if options.out:
        replace_file(options.out, text)
        print(f"written: {options.out}")
    else:
        print(text)
    return code
