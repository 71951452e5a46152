"""`tare init NAME --language …`: a new app folder that works, made from the sample app of its language."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from harness.commands import Group
from harness.commands._kinds import OutputFolder, Text
from harness.errors import UsageError

HELP = "make a new app folder that works, from the sample app of a language"
GROUP = Group.MEASURE
PLACE = 3
LANGUAGES = ("go", "java", "node", "python", "rust", "spring")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", type=Text("hello"), help="name of the app, in lower-case letters, digits and single hyphens"
    )
    parser.add_argument("--language", choices=LANGUAGES, required=True, help="language of the app")
    parser.add_argument(
        "--apps", type=OutputFolder(), default=Path("apps"), metavar="DIR", help="folder of the apps (default: apps)"
    )


def run(options: argparse.Namespace) -> int:
    from harness.catalogue.names import NAME, NAME_RULE
    from harness.commands._checkout import checkout

    if not NAME.fullmatch(options.name):
        raise UsageError(f"{options.name!r} is not a valid name of an app", where="NAME", fix=NAME_RULE)
    folder = options.apps / options.name
    if folder.exists():
        raise UsageError("is there already", where=str(folder), fix="Choose another name.")
    unwanted = shutil.ignore_patterns("target", "node_modules", "__pycache__")
    try:
        shutil.copytree(checkout() / "apps" / options.language, folder, ignore=unwanted)
    except OSError as error:
        raise UsageError(f"cannot be written: {error}", where=str(folder)) from error
    file = folder / "app.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r'^title = ".*"', f'title = "{options.name}"', text, count=1), encoding="utf-8")
    print(f"written: {folder}")
    print(f"Change it, then measure it: tox -e bench -- -k {options.name} --blocks 1")
    return 0
