"""`tare gate` of two revisions with a lab on the engine in memory: python tests/support/fake_gate.py [SIGNAL]

It compares HEAD~1 with HEAD of the current folder. With a SIGNAL the process sends that signal to itself before the
second block.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fake_bench import Environment, Workshop, break_off, job, main, open_lab

if __name__ == "__main__":
    Workshop.verify = lambda *_: 0.1  # the apps in memory have other answers than the apps of apps/
    job.open_lab, job.environment = open_lab, lambda lab: Environment(facts={"engine": "fake"})
    if sys.argv[1:]:
        break_off(sys.argv[1])
    sys.exit(main(["gate", "--base", "HEAD~1", "--budget", "60s", "--results", "results"]))
