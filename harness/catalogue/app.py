"""Reads an app.toml: the service, how it proves that it works, what it needs beside it, and its edits.

Mistakes are problems of the document, with line and fix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.catalogue.names import NAME, NAME_RULE, folder_name
from harness.errors import CatalogueError
from harness.model import App, Base, Edit, Request, Service
from harness.tomlfile import Document, Table, read_text, shown, suggest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def read_app(folder: Path, document: Document, bases: Mapping[str, Base], known: Sequence[str]) -> App:
    """The app of an app.toml; it is invalid if `document.problems` is not empty afterwards."""
    root = document.root
    app = App(
        name=folder_name(folder, "an app", document),
        title=root.text("title"),
        language=root.text("language"),
        path=folder,
        port=root.integer("port", low=1, high=65535),
        env=_env(root),
        services=tuple(_service(table, bases, known) for table in root.tables("service", optional=True)),
        ready=_request(root.table("ready")),
        verify=tuple(_request(table) for table in root.tables("verify")),
        source_change=_edit(folder, root.table("source_change")),
        dependency_change=_edit(folder, root.table("dependency_change")),
        start_timeout=root.seconds("start_timeout", default=30.0),
        default=root.flag("default", default=True),
    )
    if "try" in root and (found := root.table("try")):  # by `tare try`, for itself
        found.rest()
    if app.language and not NAME.fullmatch(app.language):  # it becomes the name of a Dockerfile
        root.problem(f'language is "{app.language}"', key="language", fix=NAME_RULE)
    names = [service.name for service in app.services]
    for name in sorted({name for name in names if names.count(name) > 1}):
        root.problem(f"service {name} is defined twice", key="service", fix="Give each service a different name.")
    for key, value in app.env.items():
        for name in _PLACEHOLDER.findall(str(value)):
            if name not in names:
                fix = suggest(name, names, "Services:") if names else "Add a [[service]] of this name."
                root.problem(f"env.{key} names {{{name}}}, which is not a service", key="env", fix=fix)
    root.close()
    return app


def _service(table: Table, bases: Mapping[str, Base], known: Sequence[str]) -> Service:
    service = Service(
        name=table.text("name"),
        title=table.text("title"),
        base=table.text("base"),
        port=table.integer("port", low=1, high=65535),
        command=table.texts("command"),
        env=_env(table),
        inside=table.texts("inside"),
        start_timeout=table.seconds("start_timeout", default=60.0),
    )
    table.close()
    if service.name and not NAME.fullmatch(service.name):
        table.problem(f"name is {shown(service.name)}", key="name", fix=NAME_RULE)
    if service.base and service.base not in bases:
        table.problem(f"{service.base} is not a base", key="base", fix=suggest(service.base, bases, "Use one of"))
    for name in service.inside:
        if name not in known:
            table.problem(f"{name} is not a strategy", key="inside", fix=suggest(name, known, "Strategies:"))
    return service


def _env(root: Table) -> dict[str, str]:
    return _texts(root, "env")


def _texts(table: Table, key: str) -> dict[str, str]:
    """A table of texts by name."""
    values = table.plain(key) or {}
    for name, value in values.items():
        if not isinstance(value, str):
            table.problem(f"{key}.{name} is not text", key=key, fix=f'Write {name} = "…".')
    return values


def _headers(table: Table) -> dict[str, str]:
    values = _texts(table, "headers")
    for name, value in values.items():
        if not _HEADER.fullmatch(name) or any(sign in str(value) for sign in "\r\n\0"):
            table.problem(
                f"headers.{name} is not a header", key="headers", fix='Write headers = { Host = "shop.example" }.'
            )
    return values


def _request(table: Table | None, *, followed: bool = False) -> Request:
    """`followed`: another answer leads to this request, so it has no path of its own."""
    if table is None:
        return Request(path="/")
    request = Request(
        path="" if followed else table.text("path"),
        method=table.choice("method", METHODS, default="GET"),
        status=table.integer("status", low=100, high=599, default=200),
        equals=table.text("equals", default=None, empty=True),
        contains=table.text("contains", default=None),
        json=table.plain("json"),
        body=table.text("body", default="", empty=True),
        follow=table.text("follow", default=""),
        then=_request(table.table("then"), followed=True) if "then" in table else None,
        headers=_headers(table),
    )
    table.close()
    _check_follow(request, table)
    if request.path.strip() and not request.path.startswith("/"):
        table.problem(f'path is "{request.path}"', key="path", fix="Start the path with /.")
    expected = [key for key in ("equals", "contains", "json") if key in table]
    if len(expected) > 1:
        table.problem(f"{' and '.join(expected)} together", key=expected[1], fix="Keep only one of them.")
    if not _is_json(request.json):
        table.problem(
            "json has a value that JSON cannot represent",
            key="json",
            fix="Write dates as text, and do not use inf or nan.",
        )
    return request


def _check_follow(request: Request, table: Table) -> None:
    if bool(request.follow) != (request.then is not None):
        key, other = ("follow", "then") if request.follow else ("then", "follow")
        table.problem(
            f"{key} without {other}",
            key=key,
            fix=f"Add {other}: follow finds a path in the answer, then [follow.…] tests that path.",
        )
    if request.follow:
        try:
            groups = re.compile(request.follow).groups
        except re.error as error:
            table.problem(
                f"follow is not a regular expression: {error}", key="follow", fix="Correct the regular expression."
            )
        else:
            if groups != 1:
                table.problem(f"follow has {groups} groups", key="follow", fix="Put exactly one group around the path.")


def _is_json(value: Any) -> bool:
    """Whether a TOML value has a JSON equal: no dates, no times, no infinities."""
    if isinstance(value, dict):
        return all(_is_json(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_is_json(inner) for inner in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _edit(folder: Path, table: Table | None) -> Edit:
    if table is None:
        return Edit(file="", find="", replace="")
    edit = Edit(file=table.text("file"), find=table.text("find"), replace=table.text("replace", empty=True))
    table.close()
    if edit.replace and "{n}" not in edit.replace:
        fix = "Add {n}, the number of the edit: each try must build a text that was never built before."
        table.problem("replace lacks {n}", key="replace", fix=fix)
    target = folder / edit.file
    if not edit.file:
        return edit
    if not target.resolve().is_relative_to(folder.resolve()):
        table.problem(f"{edit.file} is outside the app", key="file", fix=f"Name a file inside {folder}.")
        return edit
    try:
        text = read_text(target)
    except CatalogueError as error:
        table.problem(f"{edit.file}: {error.what}", key="file", fix=f"Name a text file inside {folder}.")
        return edit
    if edit.find and edit.find not in text:
        fix = "Copy a piece of the file exactly, including white space."
        table.problem(f"{shown(edit.find)} is not in {edit.file}", key="find", fix=fix)
    return edit
