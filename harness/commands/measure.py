"""`tare measure`: measure images that exist already, side by side, without an app folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import Group
from harness.commands._kinds import Amount, Checked, Text, Whole
from harness.commands._measured import add_amount, budget, outcome, resumed
from harness.commands._runs import add_results
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.run.images import Images
    from harness.text.display import Display

HELP = "measure any images side by side, such as two versions: size, layers, surface, pull, start, memory"
GROUP = Group.MEASURE
PLACE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "image",
        type=Text("debian:trixie-slim"),
        nargs="*",
        help="name in the engine, reference in a registry, docker archive, or OCI layout (tar or folder); "
        "the first is what the others are compared with",
    )
    ready = parser.add_argument_group("how a container shows that it works")
    ready.add_argument(
        "--port",
        type=Whole(0, 65535),
        default=0,
        help="port it listens on (default: what the image exposes)",
    )
    ready.add_argument(
        "--ready",
        type=Text("/health"),
        metavar="PATH",
        help="this path answers 200 (default: the port accepts)",
    )
    ready.add_argument(
        "--ready-log",
        type=Text("listening"),
        metavar="TEXT",
        help="a line of the log contains this text",
    )
    ready.add_argument("--until", choices=["exit"], help="it is a job: it is measured until it ends with exit code 0")
    ready.add_argument(
        "--env",
        type=Checked(_variable, longest=100_000),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="variable of the containers",
    )
    ready.add_argument("--timeout", type=Amount(), default=60.0, metavar="S", help="seconds it may take (default: 60)")
    how = add_amount(parser, usual="10m")
    how.add_argument("-m", type=Text("size,start"), metavar="NAMES", help="only these metrics, such as size,start")
    how.add_argument("--seed", type=Whole(0, 2**63), help="seed of the order within blocks (default: random, stored)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on standard output")
    add_results(parser, writes=True)


def run(options: argparse.Namespace) -> int:
    from harness.text.display import Display

    display = Display(sys.stderr) if options.json else Display()
    try:
        folder = _measure(options, display)
    finally:
        display.close()
    return outcome(folder, as_json=options.json)


def _measure(options: argparse.Namespace, display: Display) -> Path:
    from harness.catalogue.read import read
    from harness.commands._checkout import checkout
    from harness.run.images import Images, measure_images
    from harness.settings import Settings

    resume = resumed(options)
    images = Images.of(resume) if resume else _images(options)
    root = checkout()
    return measure_images(
        root,
        options.results,
        read(root),
        Settings.from_environ(),
        display,
        images=images,
        groups=[name.strip() for name in (options.m or "").split(",") if name.strip()],
        budget=budget(options),
        blocks=options.blocks,
        seed=options.seed,
        resume=resume,
    )


def _images(options: argparse.Namespace) -> Images:
    from harness.run.exposed import exposed
    from harness.run.images import Images

    port = options.port
    if not port and not options.ready_log and not options.until and options.image:
        port = exposed(options.image[0])
    return Images(
        names=tuple(options.image),
        port=port,
        path=options.ready or "",
        log=options.ready_log or "",
        until_exit=options.until == "exit",
        env=dict(_variable(text) for text in options.env),
        timeout=options.timeout,
    )


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise UsageError("not NAME=VALUE", where=f"--env {text}", fix="Write it as --env MODE=test.")
    return name, value
