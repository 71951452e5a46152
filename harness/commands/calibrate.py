"""`tare calibrate`: known effects, measured like any other run, and how well they come back."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands._runs import add_results

HELP = "measure known effects (100 ms, 50 MB, 5 % …) and say how well they come back here"


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    parser.add_argument("--short", action="store_true", help="fewer blocks, without the 5 %% shift: some three minutes")
    parser.add_argument("--show", type=Path, metavar="FOLDER", help="the table of a stored calibration")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the page, as docs/calibration.md is")


def run(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from harness.experiments.calibrate import calibrate
    from harness.experiments.effects import HEADERS, Recovery, document, effects, rows, summary
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
    print(f"{summary(found)}. Stored in {folder}.")
    (folder / "calibration.md").write_text(document(stored), encoding="utf-8")
    if options.out:
        options.out.write_text(document(stored), encoding="utf-8")
    for failure in stored.failures:
        print(f"{failure.cell}: {failure.probe} {failure.state}: {failure.status}: {failure.reason}")
    return 1 if stored.failures or any(item.outcome is Recovery.MISSED for item in found) else 0
