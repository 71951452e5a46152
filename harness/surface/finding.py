"""What a look into one file gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Ecosystem(StrEnum):
    """Who made a package: by these names package URLs call it (https://github.com/package-url/purl-spec)."""

    DEB = "deb"
    APK = "apk"
    PYTHON = "pypi"
    NODE = "npm"
    JAVA = "maven"
    GO = "golang"
    RUST = "cargo"


DISTRIBUTION = frozenset((Ecosystem.DEB, Ecosystem.APK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package as the file that tells of it says. `group` is a Maven group, the scope of an npm package, "" else."""

    ecosystem: Ecosystem
    name: str
    version: str
    group: str = ""
    architecture: str = ""  # of distribution packages
    source: str = ""  # source package, where it has another name
    source_version: str = ""  # its version, where that is another
    inside: str = ""  # of a nested jar: the path within the outer one
    application: bool = False  # the app itself: what the file was built for, not what it was built from

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes two packages the same, wherever they lie."""
        return self.ecosystem.value, self.group, self.name, self.version


class Program(StrEnum):
    """What kind of program a file with an execute bit is."""

    ELF = "elf"
    SCRIPT = "script"


class Secret(NamedTuple):
    """A private key or credential that a file holds: what it is and where, never what it says."""

    kind: str
    line: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found in one file."""

    program: Program | None = None
    packages: tuple[Package, ...] = ()
    secrets: tuple[Secret, ...] = ()
    text: bytes = b""  # content, of the few files whose content is needed when the whole tree is known
    unread: str = ""  # why a file that should have been read was not
    language: str = ""  # of a program that tells its language but not what it is made of
