"""`tare trend`: show alarms and changes in the history of nights, as text and as trends.html."""

from __future__ import annotations

import argparse
import shutil

from harness.commands import Group
from harness.commands._history import add_budgets, watched
from harness.commands._kinds import add_force, add_output
from harness.commands._runs import add_results

HELP = "show alarms, changes and their causes in the history, without measuring; --html writes trends.html"
GROUP = Group.OVER_TIME
PLACE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    add_budgets(parser)
    add_output(parser, "--html", help="write the page with all charts here")
    add_force(parser, "html")
    parser.add_argument("--markdown", action="store_true", help="write Markdown instead of text")


def run(options: argparse.Namespace) -> int:
    """Exit code: 0 if all is well, 1 if an alarm is open, 3 if data is stale or missing."""
    from harness.report.trends import render, render_markdown

    found = watched(options.results, options.budgets)
    if options.html:
        from harness.report.page.trends import write_page

        write_page(found, options.results, options.html)
    width = shutil.get_terminal_size((100, 40)).columns
    text = render_markdown(found, options.results) if options.markdown else render(found, options.results, width=width)
    print(text, end="")
    return found.exit_code
