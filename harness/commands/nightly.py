"""`tare nightly`: measure one night, for a scheduler."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from harness.commands import Group
from harness.commands._history import add_budgets, budgets_of_nights, watched
from harness.commands._kinds import InputFile, add_force, add_output
from harness.commands._runs import add_results

HELP = "measure one night for a scheduler, confirm suspected regressions, write trends.html and summary.txt"
GROUP = Group.OVER_TIME
PLACE = 1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=InputFile(),
        default=Path("benchmarks/nightly.toml"),
        help="file that lists what to measure",
    )
    add_output(parser, "--html", help="page to write (default: trends.html in the folder of --results)")
    add_force(parser, "html")
    add_results(parser, writes=True)
    add_budgets(parser)


def run(options: argparse.Namespace) -> int:
    """Exit code: 0 fine, 1 a regression is confirmed, 2 could not measure, 3 data is stale or missing."""
    from harness.catalogue.read import read
    from harness.host.files import replace_file
    from harness.nights.bench import EngineBench, read_config
    from harness.nights.history import History
    from harness.nights.nightly import Nightly
    from harness.probes import all_probes
    from harness.report.nights import summary, summary_markdown
    from harness.report.page.trends import write_page
    from harness.report.trends import render, render_markdown
    from harness.settings import Settings
    from harness.text.display import Display

    root = Path.cwd()
    display = Display()
    try:
        config = read_config(options.config)
        catalogue = read(root)
        with History.open(options.results) as history:  # before anything slow: a mistyped budget costs no night
            budgets_of_nights(options.budgets, history, [cell.id for cell in catalogue.cells])
        bench = EngineBench(
            root=root,
            results=options.results,
            catalogue=catalogue,
            probes=all_probes(),
            config=config,
            # changes of upstream since the last night must be visible
            settings=replace(Settings.from_environ(), images="anew"),
            display=display,
            look=lambda: watched(options.results, options.budgets),
        )
        night = Nightly(bench, tracks=config.tracks, audit=config.audit).run()
    finally:
        display.close()
    write_page(night.found, options.results, options.html or options.results / "trends.html")
    text = summary(night, render(night.found, options.results))
    replace_file(options.results / "summary.txt", text)
    markdown = summary_markdown(night, render_markdown(night.found, options.results))
    replace_file(options.results / "summary.md", markdown)
    print(text, end="")
    return night.exit_code
