"""Pending security updates: packages of an image that the distribution's security index has a newer version of. Pure.

Versions are ordered by Debian Policy 5.6.12 (deb-version(7)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.surface.finding import Ecosystem
from harness.surface.ownership import Installed

_FIELD = re.compile(r"^(Package|Version|Architecture): (.+)$", re.MULTILINE)
_PARTS = re.compile(r"(\D*)(\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The offer of a distribution's security suite. `versions` are the newest, by package and architecture."""

    distribution: str  # debian: the name in os-release
    suite: str  # trixie-security
    dated: str  # from its Release file
    versions: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    name: str
    installed: str
    fixed: str  # the version of the security suite


def parse(text: str) -> dict[tuple[str, str], str]:
    """The newest version of each package of a Packages file."""
    newest: dict[tuple[str, str], str] = {}
    for stanza in text.split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if len(fields) == 3:
            key = fields["Package"], fields["Architecture"]
            if key not in newest or compare(fields["Version"], newest[key]) > 0:
                newest[key] = fields["Version"]
    return newest


def pending(packages: Iterable[Installed], index: Index) -> tuple[Pending, ...]:
    """The packages of dpkg among `packages` that the index has a newer version of, by name."""
    found = []
    for item in packages:
        package = item.package
        if package.ecosystem is Ecosystem.DEB:
            fixed = index.versions.get((package.name, package.architecture))
            if fixed and compare(fixed, package.version) > 0:
                found.append(Pending(name=package.name, installed=package.version, fixed=fixed))
    return tuple(sorted(found, key=lambda one: one.name))


def compare(one: str, other: str) -> int:
    """Below, at or above zero as the first version is older than, the same as or newer than the other."""
    for left, right in zip(_split(one), _split(other), strict=True):
        if order := _compare(left, right):
            return order
    return 0


def _split(version: str) -> tuple[str, str, str]:
    """Epoch, upstream version and revision."""
    epoch, colon, rest = version.strip().partition(":")
    if not colon:
        epoch, rest = "0", version.strip()
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _compare(one: str, other: str) -> int:
    """Text and numbers in turn; letters sort before all other characters, a tilde before the end of the text."""
    lefts, rights = _PARTS.findall(one), _PARTS.findall(other)
    length = max(len(lefts), len(rights))
    nothing = [("", "")]
    for left, right in zip(
        lefts + nothing * (length - len(lefts)), rights + nothing * (length - len(rights)), strict=True
    ):
        ranks = [[_rank(character) for character in text] + [0] for text in (left[0], right[0])]
        if ranks[0] != ranks[1]:
            return -1 if ranks[0] < ranks[1] else 1
        numbers = int(left[1] or 0), int(right[1] or 0)
        if numbers[0] != numbers[1]:
            return -1 if numbers[0] < numbers[1] else 1
    return 0


def _rank(character: str) -> int:
    """The end of the text has rank 0."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
