"""What a look into one file gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Ecosystem(StrEnum):
    """Who made a package: by these names package URLs call it (https://github.com/package-url/purl-spec)."""

    DEB = "deb"
    APK = "apk"
    RPM = "rpm"
    PACMAN = "alpm"
    PYTHON = "pypi"
    NODE = "npm"
    JAVA = "maven"
    GO = "golang"
    RUST = "cargo"
    DOTNET = "nuget"
    RUBY = "gem"
    PHP = "composer"
    CONDA = "conda"
    GENERIC = "generic"  # of nobody in particular: a program that says its name and version


DISTRIBUTION = frozenset((Ecosystem.DEB, Ecosystem.APK, Ecosystem.RPM, Ecosystem.PACMAN))


class Unreadable(Exception):
    """A file that lists packages and cannot be read: the reason, for `Finding.unread`."""


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


class Listing(NamedTuple):
    """A package of a database, and the paths that it brought."""

    package: Package
    paths: tuple[str, ...]


class Program(StrEnum):
    """What kind of program a file with an execute bit is."""

    ELF = "elf"
    SCRIPT = "script"


class Secret(NamedTuple):
    """A private key or credential that a file holds: what it is and where, never what it says."""

    kind: str
    line: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a program or library says of itself, although it lists no packages."""

    product: Package | None = None  # what it is, by a version that it carries
    evidence: str = ""  # which of its bytes say that: "ELF note", "version string", "release file"
    soname: str = ""  # the name that programs load a library by
    build_id: str = ""  # of its linking, hexadecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found in one file."""

    program: Program | None = None
    packages: tuple[Package, ...] = ()
    listings: tuple[Listing, ...] = ()  # of a database of packages
    latent: tuple[str, tuple[Package, ...]] = ("", ())  # what it lists if it has a hard link of that name
    secrets: tuple[Secret, ...] = ()
    text: bytes = b""  # content, of the few files whose content is needed when the whole tree is known
    md5: bytes = b""  # of its content, if that was asked for
    mark: Mark | None = None  # what a program says of itself beside its packages
    unread: str = ""  # why a file that should have been read was not
    language: str = ""  # of a program that tells its language but not what it is made of
