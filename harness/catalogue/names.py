"""What apps, strategies, bases, services and languages may be called: their names become parts of image names."""

from __future__ import annotations

import re
from pathlib import Path

from harness.tomlfile import Document

NAME = re.compile(r"(?=.{1,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")  # as long as a label of a host name may be (RFC 1123)
NAME_RULE = "Use lower-case letters, digits and single hyphens, 63 characters at most."


def folder_name(folder: Path, what: str, document: Document) -> str:
    """The name of a folder, which is that of `what`. It is a problem of its document if it is not valid."""
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        fix = f"Rename the folder: {NAME_RULE[0].lower()}{NAME_RULE[1:]}"
        document.root.problem(f"{name} is not a valid name of {what}", fix=fix)
    return name
