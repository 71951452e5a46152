"""The documents by which packages say what they are: dpkg, apk, Python, Node.js.

Formats: deb-control(5) and dpkg's status; APKINDEX of Alpine's apk (installed database); Python's core metadata
(packaging.python.org, Core metadata specifications); npm's package.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.surface.finding import Ecosystem, Package

_DPKG_FIELD = re.compile(rb"^(Package|Version|Architecture|Source|Status):[ \t]*(.*)$", re.MULTILINE)
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")


def dpkg(text: bytes, *, installed_only: bool) -> Iterator[Package]:
    """The packages of dpkg's status; of a file of status.d, which tells no state, with `installed_only` False."""
    for stanza in text.split(b"\n\n"):
        fields = {name: value.decode("utf-8", "replace").strip() for name, value in _DPKG_FIELD.findall(stanza)}
        name, version = fields.get(b"Package", ""), fields.get(b"Version", "")
        if not name or not version or (installed_only and not fields.get(b"Status", "").endswith(" installed")):
            continue
        source = _SOURCE.match(fields.get(b"Source", ""))
        yield Package(
            ecosystem=Ecosystem.DEB,
            name=name,
            version=version,
            architecture=fields.get(b"Architecture", ""),
            source=(source[1] or "") if source else "",
            source_version=(source[2] or "") if source else "",
        )


def apk(text: bytes) -> Iterator[tuple[Package, tuple[str, ...]]]:
    """The packages of apk's installed database, each with the paths it brought."""
    for stanza in text.decode("utf-8", "replace").split("\n\n"):
        fields: dict[str, str] = {}
        paths = []
        folder = ""
        for line in stanza.splitlines():
            key, _, value = line.partition(":")
            if key == "F":
                folder = value
            elif key == "R":
                paths.append(f"{folder}/{value}" if folder else value)
            else:
                fields.setdefault(key, value)
        if "P" in fields and "V" in fields:
            yield (
                Package(
                    ecosystem=Ecosystem.APK,
                    name=fields["P"],
                    version=fields["V"],
                    architecture=fields.get("A", ""),
                    source=fields.get("o", ""),
                ),
                tuple(paths),
            )


def python(text: bytes) -> Iterator[Package]:
    """The package of a METADATA or PKG-INFO."""
    head = text.split(b"\n\n", 1)[0].decode("utf-8", "replace")
    fields = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", head, re.MULTILINE))
    if "Name" in fields and "Version" in fields:
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()  # PEP 503
        yield Package(ecosystem=Ecosystem.PYTHON, name=name, version=fields["Version"])


def node(text: bytes) -> Iterator[Package]:
    """The package of a package.json; many have none, they only say how a folder is to be loaded."""
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


def os_release(text: bytes) -> dict[str, str]:
    """The fields of an os-release(5)."""
    pairs = (line.partition("=") for line in text.decode("utf-8", "replace").splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if value}
