"""`tare calibrate`: measure known effects like any other run, and compare the results with the known values."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands import Group
from harness.commands._kinds import StoredFolder, add_force, add_output
from harness.commands._runs import add_results

HELP = "measure known effects (100 ms, 50 MB, 5 % …) and show how exactly they come back"
GROUP = Group.MAINTAIN
PLACE = 3


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser, writes=True)
    parser.add_argument(
        "--short", action="store_true", help="measure fewer blocks and leave out the 5 %% shift (about 3 minutes)"
    )
    parser.add_argument(
        "--show", type=StoredFolder(), metavar="FOLDER", help="show a stored calibration, without measuring"
    )
    add_output(parser, "--out", help="also write the page (docs/calibration.md is one)")
    add_force(parser, "out")


def run(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from harness.experiments.calibrate import calibrate
    from harness.experiments.effects import Recovery, effects
    from harness.host.files import replace_file
    from harness.report.calibration import HEADERS, document, rows, summary
    from harness.settings import Settings
    from harness.store.run import read_run
    from harness.text.display import Display

    folder = options.show
    if folder is None:
        display = Display()
        try:
            folder = calibrate(Path(), options.results, Settings.from_environ(), display, short=options.short)
        finally:
            display.close()
    stored = read_run(folder)
    found = effects(stored)
    print(tabulate(rows(found), headers=HEADERS, disable_numparse=True))
    print(f"{summary(found)} Stored in {folder}.")
    for path in (folder / "calibration.md", options.out):
        if path:
            replace_file(path, document(stored))
    for failure in stored.failures:
        print(f"{failure.cell}: {failure.probe} {failure.state}: {failure.status}: {failure.reason}")
    return 1 if stored.failures or any(item.outcome is Recovery.MISSED for item in found) else 0
