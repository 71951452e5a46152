"""`tare accept`: a change is meant; from it on a new baseline holds."""

from __future__ import annotations

import argparse
import time

from harness.commands._history import add_budgets, watched
from harness.commands._runs import add_results

HELP = "say that a change of a cell's metric is meant: its alarm ends, and a new baseline begins"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", help="cell id, or a pattern such as 'go-*'")
    parser.add_argument("metric", help="metric, or a pattern such as 'size.*'")
    parser.add_argument("--reason", required=True, help="why it is meant; shown in the charts")
    parser.add_argument("--since", metavar="RUN", help="first night of the new level (default: where it was found)")
    add_results(parser)
    add_budgets(parser)


def run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from harness.commands._runs import find_run
    from harness.errors import UsageError
    from harness.nights.accepted import accept
    from harness.nights.watch import Acceptance
    from harness.report.trends import told

    found = watched(options.results, options.budgets)
    wanted = Acceptance(cell=options.cell, metric=options.metric, since="", at=time.time(), reason=options.reason)
    matching = [item for item in found.series if wanted.holds_for(item.key) and item.current]
    if not matching:
        raise UsageError(
            "no series is called so", where=f"{options.cell} {options.metric}", fix="`tare trend` lists them."
        )
    if options.since:
        since = {find_run(options.since, options.results).name}
    else:
        changed = [item for item in matching if item.urgency[0] < 5]
        if not changed:
            raise UsageError(
                "nothing changed here", where=f"{options.cell} {options.metric}", fix="Use --since RUN to say where."
            )
        since = {item.line.runs[told(item)[1]] for item in changed}
    for name in sorted(since):
        accept(options.results, replace(wanted, since=name))
    runs = ", ".join(sorted(since))
    print(f"accepted: {options.cell} {options.metric} from {runs} on ({len(matching)} series): {options.reason}")
    return 0
