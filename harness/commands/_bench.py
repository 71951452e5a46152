"""The options that `tare bench` adds to pytest's. They are checked twice: before pytest starts, in one line, and by
pytest, if somebody calls it with the plugin.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from harness.commands._kinds import ENGINE, RUN, TIME, OutputFolder, Text, Whole


def add_bench_options(add: Callable[..., object]) -> None:
    """`add` is `add_argument` of an argparse parser, or `addoption` of a pytest group."""
    add("--budget", type=TIME, metavar="TIME", help="time budget of the run, such as 5m or 1h30m (default 45m)")
    add(
        "--blocks",
        type=Whole(),
        metavar="N",
        help="at most N blocks of every timed metric; exactly N without --budget",
    )
    add("--seed", type=Whole(0, 2**63), metavar="N", help="seed of the order within blocks (default: random, stored)")
    add(
        "--resume",
        type=RUN,
        metavar="RUN",
        nargs="?",
        const="latest",
        help="continue an interrupted run (default: the newest)",
    )
    add(
        "--strategy",
        type=Text("compressed"),
        metavar="NAME",
        action="append",
        default=[],
        help="also measure a strategy that is off by default",
    )
    add(
        "--app",
        type=Text("shop"),
        metavar="NAME",
        action="append",
        default=[],
        help="also measure an app that is off by default",
    )
    add(
        "--engine",
        type=ENGINE,
        metavar="NAME",
        action="append",
        default=[],
        help="engine to measure on, such as private:28.5+containerd (default: TARE_ENGINE); several: one run on each",
    )
    add("--together", metavar="WORD", default="", help=argparse.SUPPRESS)  # of runs on several engines
    add(
        "--results",
        type=OutputFolder(),
        metavar="DIR",
        default="results",
        help="folder of the stored runs (default: results)",
    )
