"""Compares a folder of vulnerability records in OSV's form with a stored bill of materials: no scanner, no network.

Format: Open Source Vulnerability schema 1.6 (https://ossf.github.io/osv-schema): a record is one JSON file, or many lie
in one zip, as https://osv-vulnerabilities.storage.googleapis.com offers them for each ecosystem. A record concerns a
package if name and ecosystem agree and the version is listed or lies in a range. Versions are ordered by dpkg's rules
for Debian and Ubuntu, by PEP 440 for PyPI, and by Semantic Versioning for npm, Go and crates.io; for all other
ecosystems only listed versions count.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from packageurl import PackageURL
from packaging.version import InvalidVersion, Version

from harness.errors import UsageError
from harness.surface.pending import compare
from harness.surface.scanners import SEVERITIES, Scan, Vulnerability, sorted_

_ECOSYSTEMS = {
    "pypi": "PyPI",
    "npm": "npm",
    "golang": "Go",
    "maven": "Maven",
    "cargo": "crates.io",
    "nuget": "NuGet",
    "gem": "RubyGems",
    "composer": "Packagist",
}
_SEMANTIC = frozenset(("npm", "Go", "crates.io"))
_SEVERITY_NAMES = {"moderate": "medium", "important": "high"}
_SEMVER = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")

Order = Callable[[str, str], int]  # the result is below, at or above zero


class BillEntry(NamedTuple):
    """A component of a bill of materials, by the names of the records."""

    ecosystem: str  # "Debian:13"
    name: str  # version of a distribution's package: the version of its source
    version: str
    shown: str  # the component's own name


def scan(cyclonedx: Path, records: Path) -> Scan:
    """The findings of the records for a stored bill of materials. Raises UsageError for records that cannot be read."""
    try:
        parts = list(components(orjson.loads(cyclonedx.read_bytes())))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        what = f"not a bill of materials: {error}"
        raise UsageError(what, where=str(cyclonedx), fix="`tox -e bench -- -m surface` writes it.") from error
    found = []
    newest = ""
    by_name: dict[tuple[str, str], list[BillEntry]] = {}
    for part in parts:
        by_name.setdefault((part.ecosystem, part.name), []).append(part)
    for record in read(records):
        newest = max(newest, str(record.get("modified", "")))
        try:
            found += list(_concerns(record, by_name))
        except (TypeError, AttributeError, KeyError) as error:
            what = f"the record {record['id']} is not as OSV has it: {error}"
            raise UsageError(what, where=str(records), fix="Fetch it again.") from error
    return Scan(scanner="OSV records", version="", database=newest, found=sorted_(found))


def read(records: Path) -> Iterator[Mapping[str, Any]]:
    """Every record of a file, a zip, or a folder of either; withdrawn records are left out."""
    if not records.exists():
        raise UsageError("file not found", where=str(records), fix="Give a JSON file, a zip or a folder of records.")
    paths = sorted(records.rglob("*")) if records.is_dir() else [records]
    count = 0
    for path in paths:
        try:
            for data in _documents(path):
                document = orjson.loads(data)
                for record in document if isinstance(document, list) else [document]:
                    if isinstance(record, dict) and "id" in record and not record.get("withdrawn"):
                        count += 1
                        yield record
        except (ValueError, zipfile.BadZipFile, OSError) as error:
            raise UsageError(f"not a record of OSV: {error}", where=str(path), fix="Fetch it again.") from error
    if not count:
        raise UsageError(
            "not a record of OSV", where=str(records), fix="Give a JSON file, a zip or a folder of records."
        )


def _documents(path: Path) -> Iterator[bytes]:
    if path.suffix == ".json":
        yield path.read_bytes()
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist() if name.endswith(".json"))


def components(document: Mapping[str, Any]) -> Iterator[BillEntry]:
    """The components of a CycloneDX document that records may name."""
    for component in document.get("components", ()):
        try:
            purl = PackageURL.from_string(str(component.get("purl", "")))
        except ValueError:
            continue
        qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
        version = purl.version or ""
        if purl.type in ("deb", "apk"):
            release = qualifiers.get("distro", "").partition("-")[2]
            source, _, source_version = qualifiers.get("upstream", "").partition("@")
            ecosystem = f"{(purl.namespace or '').capitalize()}:{'v' if purl.type == 'apk' else ''}{release}"
            yield BillEntry(ecosystem, source or purl.name, source_version or version, purl.name)
        elif purl.type in _ECOSYSTEMS:
            joint = ":" if purl.type == "maven" else "/"
            name = f"{purl.namespace}{joint}{purl.name}" if purl.namespace else purl.name
            shown = version.removeprefix("v") if purl.type == "golang" else version
            yield BillEntry(_ECOSYSTEMS[purl.type], name, shown, name)


def _concerns(record: Mapping[str, Any], by_name: Mapping[tuple[str, str], list[BillEntry]]) -> Iterator[Vulnerability]:
    for affected in record.get("affected", ()):
        package = affected.get("package") or {}
        for part in by_name.get((str(package.get("ecosystem")), str(package.get("name"))), ()):
            fixed = _fixed_in(affected, part)
            if fixed is not None:
                yield Vulnerability(
                    id=str(record["id"]),
                    package=part.shown,
                    installed=part.version,
                    fixed=fixed,
                    severity=_severity(record, affected),
                )


def _fixed_in(affected: Mapping[str, Any], part: BillEntry) -> str | None:
    """The version that ends it, "" if none does; None if the component is not concerned."""
    order = _order(part.ecosystem)
    if order is not None:
        for reach in affected.get("ranges", ()):
            if reach.get("type") in ("ECOSYSTEM", "SEMVER"):
                fixed = _in_range(reach.get("events", ()), part.version, order)
                if fixed is not None:
                    return fixed
    return "" if part.version in affected.get("versions", ()) else None


def _in_range(events: Iterable[Mapping[str, str]], version: str, order: Order) -> str | None:
    """OSV's evaluation of a range; databases write its events in the order of their versions."""
    inside = False
    for event in events:
        if "introduced" in event:
            inside = inside or event["introduced"] == "0" or order(version, event["introduced"]) >= 0
        elif inside and "fixed" in event:
            if order(version, event["fixed"]) < 0:
                return event["fixed"]
            inside = False
        elif inside and "last_affected" in event:
            if order(version, event["last_affected"]) <= 0:
                return ""
            inside = False
    return "" if inside else None


def _order(ecosystem: str) -> Order | None:
    if ecosystem.startswith(("Debian:", "Ubuntu:")):
        return compare
    if ecosystem == "PyPI":
        return _pep440
    return _semantic if ecosystem in _SEMANTIC else None


def _pep440(one: str, other: str) -> int:
    try:
        left, right = Version(one), Version(other)
    except InvalidVersion:
        return 1  # a version without an order is in no range
    return (left > right) - (left < right)


def _semantic(one: str, other: str) -> int:
    left, right = _key(one), _key(other)
    if left is None or right is None:
        return 1
    return (left > right) - (left < right)


def _key(version: str) -> tuple[Any, ...] | None:
    """Semantic Versioning 2.0, 11: by numbers; a pre-release comes before its release, and in it numbers come before
    words.
    """
    match = _SEMVER.fullmatch(version)
    if match is None:
        return None
    numbers = tuple(int(match[group] or 0) for group in (1, 2, 3))
    words = match[4].split(".") if match[4] else []
    return (*numbers, not words, tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in words))


def _severity(record: Mapping[str, Any], affected: Mapping[str, Any]) -> str:
    """The word that the database gives; "unknown" if it gives only a vector."""
    for place in (
        affected.get("ecosystem_specific"),
        affected.get("database_specific"),
        record.get("database_specific"),
    ):
        word = str((place or {}).get("severity") or (place or {}).get("urgency") or "").lower()
        word = _SEVERITY_NAMES.get(word, word)
        if word in SEVERITIES:
            return word
    return "unknown"
