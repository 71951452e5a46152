"""The programs an intruder looks for, by name: shells, package managers, compilers, download tools, interpreters.

A name counts if a file of that name, or a link of that name to a file, lies in a folder of programs and has an execute
bit. Versions and targets are removed first: `x86_64-linux-gnu-gcc-14` is gcc, `pip3.13` is pip. Each name counts once,
so that a list can be checked by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Shells of Debian's and Alpine's archives (Debian: section shells), and PowerShell. Busybox counts by its applet sh.
SHELLS = _words("ash bash busybox csh dash elvish fish hush ksh ksh93 lksh mksh nu posh pwsh rbash rc sh tcsh yash zsh")
MANAGERS = _words(
    "apk apt apt-get aptitude bundle cargo composer conda corepack dnf dpkg easy_install gem gradle mamba microdnf mvn "
    "npm npx opkg pacman pip pipx pnpm poetry rpm uv yarn yum zypper"
)
COMPILERS = _words(
    "c++ c89 c99 cc clang clang++ fpc g++ gcc gccgo gdc gfortran ghc gnat go javac ocamlc ocamlopt rustc tcc"
)
# Programs that fetch from or send to another machine.
DOWNLOADERS = _words(
    "aria2c axel curl ftp git hg http lftp lynx nc nc.openbsd nc.traditional ncat netcat rsync scp sftp socat ssh svn "
    "telnet tftp w3m wget wget2"
)
INTERPRETERS = _words("awk gawk java lua luajit mawk node nodejs perl php python ruby tclsh")

KINDS: Mapping[str, frozenset[str]] = {
    "shells": SHELLS,
    "managers": MANAGERS,
    "compilers": COMPILERS,
    "downloaders": DOWNLOADERS,
    "interpreters": INTERPRETERS,
}

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the default PATH of every engine
_TARGET = re.compile(r"^[a-z0-9_]+-(?:[a-z0-9]+-)?linux-[a-z0-9]+-")  # x86_64-linux-gnu-, x86_64-alpine-linux-musl-
_VERSION = re.compile(r"-?\d+(?:\.\d+)*$")


def canonical(name: str) -> tuple[str, ...]:
    """The names that a program's name may stand for: the name itself, and without its version and target."""
    bare = _TARGET.sub("", name)
    return (name, bare, _VERSION.sub("", bare)) if bare[-1:].isdigit() or bare != name else (name,)


def kinds_of(name: str) -> Mapping[str, str]:
    """The tool that a program of that name is, by kind of tool; empty for almost all names."""
    names = canonical(name)
    return {kind: found for kind, tools in KINDS.items() if (found := next((n for n in names if n in tools), None))}
