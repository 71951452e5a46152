"""The documents that describe packages of languages.

Formats: Python's core metadata (packaging.python.org, Core metadata specifications); npm's package.json; .NET's
NAME.deps.json (dotnet/sdk, documentation/specs/runtime-configuration-file.md); RubyGems' specifications, as Ruby
writes them; Composer's vendor/composer/installed.json. A broken list of .NET, RubyGems or Composer raises Unreadable. A
broken METADATA or package.json yields no packages: test data has many of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.surface.finding import Ecosystem, Package, Unreadable

_GEM_FIELD = re.compile(r"""^\s*s\.(name|version)\s*=\s*(?:Gem::Version\.new\()?["']([^"']+)["']""", re.MULTILINE)


def python(text: bytes) -> Iterator[Package]:
    """The package of a METADATA or PKG-INFO."""
    head = text.split(b"\n\n", 1)[0].decode("utf-8", "replace")
    fields = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", head, re.MULTILINE))
    if "Name" in fields and "Version" in fields:
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()  # PEP 503
        yield Package(ecosystem=Ecosystem.PYTHON, name=name, version=fields["Version"])


def node(text: bytes) -> Iterator[Package]:
    """The package of a package.json; many have no name, because they only say how to load a folder."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    name, version = document.get("name"), document.get("version")
    if isinstance(name, str) and isinstance(version, str) and name and version:
        scope, _, short = name.rpartition("/")
        yield Package(ecosystem=Ecosystem.NODE, name=short, version=version, group=scope)


def vendored(text: bytes) -> Iterator[Package]:
    """The packages that a Python package carries in its folder `_vendor`, as its vendor.txt lists them."""
    for line in text.decode("utf-8", "replace").splitlines():
        if match := re.match(r"\s*([A-Za-z0-9][\w.-]*)==([\w.+!-]+)", line):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            yield Package(ecosystem=Ecosystem.PYTHON, name=name, version=match[2])


def dotnet(text: bytes) -> Iterator[Package]:
    """The packages that a .NET program was built from. Raises Unreadable."""
    document = _json(text, "deps.json of .NET")
    libraries = document.get("libraries", {}) if isinstance(document, dict) else None
    if not isinstance(libraries, dict):
        raise Unreadable("a broken deps.json of .NET")
    for key, library in libraries.items():
        name, slash, version = str(key).partition("/")
        kind = library.get("type") if isinstance(library, dict) else None
        if name and slash and kind in ("package", "project", "runtimepack"):
            name = name.removeprefix("runtimepack.") if kind == "runtimepack" else name
            yield Package(ecosystem=Ecosystem.DOTNET, name=name, version=version, application=kind == "project")


def gem(text: bytes) -> Iterator[Package]:
    """The gem of a specification, which is a Ruby program; only name and version are looked for. Raises Unreadable."""
    fields = dict(_GEM_FIELD.findall(text.decode("utf-8", "replace")))
    if "name" in fields and "version" in fields:
        yield Package(ecosystem=Ecosystem.RUBY, name=fields["name"], version=fields["version"])
    else:
        raise Unreadable("a gem's specification without a literal name and version")


def composer(text: bytes) -> Iterator[Package]:
    """The packages that Composer installed: a list, which is within an object since Composer 2. Raises
    Unreadable.
    """
    document = _json(text, "installed.json of Composer")
    listed = document.get("packages") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise Unreadable("a broken installed.json of Composer")
    for item in listed:
        name, version = (item.get("name"), item.get("version")) if isinstance(item, dict) else (None, None)
        if isinstance(name, str) and isinstance(version, str) and name:
            vendor, _, short = name.rpartition("/")
            yield Package(ecosystem=Ecosystem.PHP, name=short, version=version.removeprefix("v"), group=vendor)


def _json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable(f"a broken {what}") from None
