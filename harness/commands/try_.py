"""`tare try PATH`: a team's own service in every strategy, beside its own Dockerfile, with a decision at the end."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import TYPE_CHECKING

from harness.commands import Group
from harness.commands._kinds import TIME, StoredFolder, Text, Whole
from harness.commands._runs import add_results, add_resume, find_run
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
        ("health", "path that answers 200 once the service works"),
    ):
        found.add_argument(f"--{name}", type=Text("8080" if name == "port" else "go"), help=text)
    found.add_argument("--write", action="store_true", help="write what was found into app.toml in the folder")
    found.add_argument("--show", action="store_true", help="only show what is found; nothing is built")
    how = parser.add_argument_group("how much is measured")
    how.add_argument("--budget", type=TIME, help="time limit (default: 20m)")
    how.add_argument("--blocks", type=Whole(), help="exactly this many blocks of every timed metric")
    add_resume(how)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on standard output")
    add_results(parser, writes=True)


def run(options: argparse.Namespace) -> int:
    from harness.service.detect import APP, OVERRIDES, app_toml, detect
    from harness.text.display import Display

    display = Display(sys.stderr) if options.json else Display()
    try:
        service = detect(options.path, {name: getattr(options, name) or "" for name in OVERRIDES})
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


def _measured(options: argparse.Namespace, service: OwnService, display: Display) -> int:
    from harness.catalogue.read import read
    from harness.commands._checkout import checkout
    from harness.decision.figures import Analysis
    from harness.report.documents import make, write_documents
    from harness.report.numbers import numbers
    from harness.report.table import render
    from harness.run.plan import parse_budget
    from harness.service.trying import hand_out, try_service
    from harness.settings import Settings
    from harness.store.run import read_run

    root = checkout()
    resume = None
    if options.resume:
        resume = read_run(find_run(None if options.resume == "latest" else options.resume, options.results))
    folder = try_service(
        root,
        options.results,
        read(root),
        Settings.from_environ(),
        display,
        service=service,
        budget=parse_budget(options.budget) if options.budget else None if options.blocks else parse_budget("20m"),
        blocks=options.blocks,
        resume=resume,
    )
    display.close()
    stored = read_run(folder)
    analysis = Analysis(stored)
    written = write_documents(folder, analysis)
    written += hand_out(make([stored], analysis=analysis), service, folder)
    if options.json:
        print(json.dumps(numbers(stored, analysis=analysis), indent=1))
    else:
        width = shutil.get_terminal_size((100, 40)).columns
        print("\n" + render(stored, width=width, analysis=analysis).rstrip("\n"))
        for path in written:
            print(f"written: {path}")
    return 1 if stored.failures else 0
