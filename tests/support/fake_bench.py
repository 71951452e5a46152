"""`tare bench` with a lab on the engine in memory: python tests/support/fake_bench.py [SIGNAL] -- OPTION…

With a SIGNAL (SIGINT, SIGTERM) the process sends it to itself before the second block; with "lost" the engine goes away
then, with "bug" an error comes that nobody foresaw. With "counts" the process says on standard error how often the
samples were read and how many summaries were computed.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.cell.prepare import Workshop
from harness.cli import main
from harness.decision import figures
from harness.lab.lab import Lab
from harness.model import Cell, Environment
from harness.run import job
from harness.run.runner import Runner
from harness.run.visit import EngineLost
from harness.store.format import Lines, Record

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fake_lab import fake_lab


@contextmanager
def open_lab(
    settings: object, catalogue: Catalogue, cells: Sequence[Cell], *_: object, **more: object
) -> Iterator[Lab]:
    roles = {role for cell in cells for role in (*cell.roles, cell.base) if role}
    with tempfile.TemporaryDirectory() as folder:
        lab = fake_lab(Path(folder), cells, bases=sorted(roles))
        try:
            yield replace(lab, catalogue=catalogue)
        finally:
            lab.engine.close()


def break_off(how: str) -> None:
    measure, begun = Runner._run_block, []

    def run_block(self: Runner, block: object) -> bool:
        begun.append(block)
        if len(begun) == 2:
            if how == "lost":
                raise EngineLost("the engine no longer answers: it has gone")
            if how == "bug":
                raise ZeroDivisionError("nobody foresaw this")
            os.kill(os.getpid(), getattr(signal, how))
            time.sleep(1)
        return measure(self, block)

    Runner._run_block = run_block


def count_readings() -> None:
    """Count the readings of a samples.jsonl that holds something, and summaries, until the process ends."""
    records, summarise = Lines.__iter__, figures.summarise
    counts: Counter[str] = Counter()

    def iterate(self: Lines) -> Iterator[Record]:
        counts["readings"] += self.path.name == "samples.jsonl" and self.path.stat().st_size > 0
        return records(self)

    def summarised(*arguments: object, **more: object) -> object:
        counts["summaries"] += 1
        return summarise(*arguments, **more)

    Lines.__iter__, figures.summarise = iterate, summarised
    atexit.register(lambda: print(f"counted: {json.dumps(counts)}", file=sys.stderr))


if __name__ == "__main__":
    before, after = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    Workshop.verify = lambda *_: 0.1  # the apps in memory have other answers than the apps of apps/
    job.open_lab, job.environment = open_lab, lambda lab: Environment(facts={"engine": "fake"})
    if before == ["counts"]:
        count_readings()
    elif before:
        break_off(before[0])
    sys.exit(main(["bench", *after]))
