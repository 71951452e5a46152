"""`tare accept`: accept an intended change. A new baseline begins with it."""

from __future__ import annotations

import argparse
import time

from harness.commands import Group
from harness.commands._history import add_budgets, watched
from harness.commands._kinds import CELL, RUN, Text
from harness.commands._runs import add_results

HELP = "accept an intended change: closes its alarm and sets a new baseline"
GROUP = Group.OVER_TIME
PLACE = 3


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", type=CELL, help="cell id, or a pattern such as 'go-*'")
    parser.add_argument("metric", type=Text("start.warm.total"), help="metric, or a pattern such as 'size.*'")
    parser.add_argument(
        "--reason",
        type=Text("'newer base image'"),
        required=True,
        help="why the change is intended; the charts show it",
    )
    parser.add_argument(
        "--since",
        type=RUN,
        metavar="RUN",
        help="first night of the new level (default: the night of the detected change)",
    )
    add_results(parser)
    add_budgets(parser)


def run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from harness.commands._runs import find_run
    from harness.errors import UsageError
    from harness.nights.accepted import Acceptance, accept
    from harness.report.trends import told

    found = watched(options.results, options.budgets)
    wanted = Acceptance(cell=options.cell, metric=options.metric, since="", at=time.time(), reason=options.reason)
    gone = {item.cell for item in found.stale if item.cell}
    matching = [item for item in found.series if wanted.holds_for(item.key) and (item.current or item.key.cell in gone)]
    if not matching:
        raise UsageError(
            "no series has this name", where=f"{options.cell} {options.metric}", fix="`tare trend` lists all series."
        )
    if options.since:
        since = {find_run(options.since, options.results).name}
    else:
        changed = [item for item in matching if item.urgency[0] < 5]
        ended = {item.key.track for item in matching if item.key.cell in gone}
        # the last run with a change counts
        tonight = {night.track: night.run for night in found.nights if night.track in ended}
        if not changed and not ended:
            raise UsageError(
                "no change was detected",
                where=f"{options.cell} {options.metric}",
                fix="Name the first night of the new level with --since RUN.",
            )
        since = {item.line.runs[told(item)[1]] for item in changed} | set(tonight.values())
    for name in sorted(since):
        accept(options.results, replace(wanted, since=name))
    runs = ", ".join(sorted(since))
    print(f"accepted: {options.cell} {options.metric} since {runs} ({len(matching)} series): {options.reason}")
    return 0
