"""`tare stages`: measure the cost of a build stage, and the gain of stages that run side by side, on a real engine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import Group
from harness.commands._kinds import RUN, Whole
from harness.commands._runs import add_results, add_resume, find_run

if TYPE_CHECKING:
    from harness.text.display import Display

HELP = "build images of 1 to 64 stages and show what a stage costs and whether the image grows"
GROUP = Group.MEASURE
PLACE = 4


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser, writes=True)
    parser.add_argument("--blocks", type=Whole(), default=3, help="builds of each image (default: 3, about 6 minutes)")
    parser.add_argument(
        "--seed", type=Whole(0, 2**63), help="seed of the order within blocks (default: random, stored)"
    )
    add_resume(parser)
    parser.add_argument(
        "--show", type=RUN, metavar="RUN", help="show table and chart of a stored run, without measuring"
    )


def run(options: argparse.Namespace) -> int:
    from harness.host.files import replace_file
    from harness.report.stages import documents, render
    from harness.store.run import read_run
    from harness.text.display import Display

    display = Display()
    try:
        folder = find_run(options.show, options.results) if options.show else _measure(options, display)
    finally:
        display.close()
    stored = read_run(folder)
    print(render(stored))
    for name, text in documents(stored).items():
        replace_file(folder / name, text)
        print(f"written: {folder / name}")
    for failure in stored.failures:
        print(f"{failure.cell}: {failure.status}: {failure.reason}")
    return 1 if stored.failures else 0


def _measure(options: argparse.Namespace, display: Display) -> Path:
    from harness.catalogue.read import read
    from harness.errors import UsageError
    from harness.experiments.stages import experiment
    from harness.settings import Settings
    from harness.store.run import read_run

    resume = None
    if options.resume:
        name = None if options.resume == "latest" else options.resume
        resume = read_run(find_run(name, options.results))
        if any(not cell.app.startswith("stages-") for cell in resume.manifest.cells):
            raise UsageError("this is not a run of the stages experiment", where=resume.id, fix="See `tare runs`.")
    return experiment(
        Path.cwd(),
        options.results,
        read(Path()),
        Settings.from_environ(),
        display,
        blocks=options.blocks,
        seed=options.seed,
        resume=resume,
    )
