"""The result of examining one file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Ecosystem(StrEnum):
    """The kind of a package, by the names of package URLs (https://github.com/package-url/purl-spec)."""

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
    GENERIC = "generic"  # of no ecosystem: a program that contains its name and version


DISTRIBUTION = frozenset((Ecosystem.DEB, Ecosystem.APK, Ecosystem.RPM, Ecosystem.PACMAN))


class Unreadable(Exception):
    """A file that lists packages and cannot be read: the reason, for `Finding.unread`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package as its file describes it. `group` is a Maven group or the scope of an npm package, otherwise ""."""

    ecosystem: Ecosystem
    name: str
    version: str
    group: str = ""
    architecture: str = ""  # of distribution packages
    source: str = ""  # source package, if it has another name
    source_version: str = ""  # version of the source package, if it is another
    inside: str = ""  # of a nested jar: the path within the outer one
    application: bool = False  # the app itself, for which the file was built

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """The identity of a package, wherever it lies."""
        return self.ecosystem.value, self.group, self.name, self.version


class Listing(NamedTuple):
    """A package of a database, and its paths."""

    package: Package
    paths: tuple[str, ...]


class Program(StrEnum):
    """The kind of program of a file with an execute bit."""

    ELF = "elf"
    SCRIPT = "script"


class Secret(NamedTuple):
    """A private key or credential that a file holds: its kind and place, never its text."""

    kind: str
    line: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a program or library contains about itself, although it lists no packages."""

    product: Package | None = None  # the component, by a version that it carries
    evidence: str = ""  # the source in the file: "ELF note", "version string", "release file"
    soname: str = ""  # the name that programs load a library by
    build_id: str = ""  # build id of its linking, hexadecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found in one file."""

    program: Program | None = None
    packages: tuple[Package, ...] = ()
    listings: tuple[Listing, ...] = ()  # packages of a database
    latent: tuple[str, tuple[Package, ...]] = ("", ())  # the packages that it lists if it has a hard link of that name
    secrets: tuple[Secret, ...] = ()
    text: bytes = b""  # content, of the few files whose content is needed when the whole tree is known
    md5: bytes = b""  # MD5 of its content, if requested
    mark: Mark | None = None  # a program's information about itself beside its packages
    unread: str = ""  # why a file that should have been read was not
    language: str = ""  # language of a program that does not list its parts
