"""`tare try PATH`: a team's own service in every strategy, beside its own Dockerfile, with a decision at the end."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from harness.commands import Group
from harness.commands._kinds import StoredFolder, Text
from harness.commands._measured import add_amount, budget, outcome, resumed
from harness.commands._runs import add_results
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.service.found import OwnService
    from harness.text.display import Display

NAME = "try"
HELP = "build your own service with every strategy, measure it beside your Dockerfile, and show which to take"
GROUP = Group.MEASURE
PLACE = 1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=StoredFolder(), help="folder of a service in Python, Go, Java, Node.js or Rust")
    found = parser.add_argument_group("instead of what is found in the folder")
    for name, text in (
        ("language", "go, java, node, python or rust"),
        ("version", "version of the language"),
        ("entry", "what is started: a file or module, a Go package, a Rust program, a jar"),
        ("port", "port that the service listens on"),
        ("lock", "lock file of the dependencies"),
        ("health", "path that answers 200 once the service works; none: the port accepts a connection"),
    ):
        found.add_argument(f"--{name}", type=Text("8080" if name == "port" else "go"), help=text)
    found.add_argument("--until", choices=["exit"], help="it is a job: it is measured until it ends with exit code 0")
    found.add_argument("--write", action="store_true", help="write what was found into app.toml in the folder")
    found.add_argument("--show", action="store_true", help="only show what is found; nothing is built")
    how = add_amount(parser, usual="20m")
    how.add_argument("-m", type=Text("size,start"), metavar="NAMES", help="only these metrics, such as size,start")
    how.add_argument(
        "--strategies", type=Text("slim,scratch"), metavar="NAMES", help="only these strategies, such as slim,scratch"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on standard output")
    add_results(parser, writes=True)


def run(options: argparse.Namespace) -> int:
    from harness.service.detect import APP, OVERRIDES, app_toml, detect
    from harness.text.display import Display

    display = Display(sys.stderr) if options.json else Display()
    try:
        service = detect(
            options.path, {name: getattr(options, name) or "" for name in OVERRIDES}, job=bool(options.until)
        )
        for finding in service.findings:
            display.say(str(finding))
        if options.write:
            target = options.path / APP
            if target.exists():
                raise UsageError("is there already", where=str(target), fix="Edit it, or remove it first.")
            target.write_text(app_toml(service, options.path.resolve().name), encoding="utf-8")
            display.say(f"written: {target}")
        if options.show:
            return 0
        return _measured(options, service, display)
    finally:
        display.close()


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _measured(options: argparse.Namespace, service: OwnService, display: Display) -> int:
    from harness.catalogue.read import read
    from harness.commands._checkout import checkout
    from harness.report.documents import make
    from harness.service.trying import hand_out, try_service
    from harness.settings import Settings

    root = checkout()
    folder = try_service(
        root,
        options.results,
        read(root),
        Settings.from_environ(),
        display,
        service=service,
        budget=budget(options),
        blocks=options.blocks,
        groups=_names(options.m),
        only=_names(options.strategies),
        resume=resumed(options),
    )
    display.close()
    return outcome(
        folder,
        as_json=options.json,
        also=lambda analysis: hand_out(make([analysis.run], analysis=analysis), service, folder),
    )
