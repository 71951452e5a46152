"""What to do if a strategy does not work for a service: from its exit, log and loader error to a known remedy.

A symptom is a pattern in what the service or its build said. A remedy is an edit of the Dockerfile with a comment. It
is tried once. Images with a package manager get packages; the others get files from a stage that has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_WITH_APT = ("full", "slim", "multi-stage")
_SLIM = "ARG BASE_OS_SLIM=debian:trixie-slim"
_USER = "65532"
LIBRARIES: Mapping[str, str] = {  # soname → package of Debian trixie
    "libatomic.so.1": "libatomic1",
    "libexpat.so.1": "libexpat1",
    "libffi.so.8": "libffi8",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libgcc_s.so.1": "libgcc-s1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0t64",
    "libgomp.so.1": "libgomp1",
    "libjpeg.so.62": "libjpeg62-turbo",
    "libmagic.so.1": "libmagic1t64",
    "libmariadb.so.3": "libmariadb3",
    "libpng16.so.16": "libpng16-16t64",
    "libpq.so.5": "libpq5",
    "libsqlite3.so.0": "libsqlite3-0",
    "libssl.so.3": "libssl3t64",
    "libcrypto.so.3": "libssl3t64",
    "libstdc++.so.6": "libstdc++6",
    "libxml2.so.2": "libxml2",
    "libxslt.so.1": "libxslt1.1",
    "libz.so.1": "zlib1g",
}
_MODULES: Mapping[str, str] = {  # package of Java, as a missing class names it → module
    "java/sql": "java.sql",
    "javax/sql": "java.sql",
    "java/net/http": "java.net.http",
    "java/util/logging": "java.logging",
    "java/beans": "java.desktop",
    "java/awt": "java.desktop",
    "javax/naming": "java.naming",
    "javax/management": "java.management",
    "java/lang/management": "java.management",
    "javax/xml": "java.xml",
    "org/w3c/dom": "java.xml",
    "org/xml/sax": "java.xml",
    "com/sun/net/httpserver": "jdk.httpserver",
    "sun/misc": "jdk.unsupported",
    "java/lang/instrument": "java.instrument",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """`missing` is what the image lacks, in words; `text` is the Dockerfile with the remedy."""

    missing: str
    text: str


@dataclass(frozen=True, slots=True)
class _Symptom:
    pattern: re.Pattern[str]
    missing: str  # {0} is the pattern's group
    cure: Callable[[str, str, str], str | None]  # Dockerfile, strategy, group → Dockerfile; None: not for this one


def remedy(dockerfile: str, strategy: str, said: str) -> Remedy | None:
    """The known remedy for what was said; None if nothing is recognised, or if it has no remedy for this Dockerfile."""
    for symptom in _SYMPTOMS:
        if match := symptom.pattern.search(said):
            group = next((text for text in match.groups() if text), "")
            missing = symptom.missing.format(group)
            try:
                text = symptom.cure(dockerfile, strategy, group)
            except ValueError:  # a Dockerfile of another shape
                text = None
            if text is not None and text != dockerfile:
                return Remedy(missing=missing, text=text)
    return None


def diagnosis(said: str) -> str:
    """What is missing, in words; "" if nothing is recognised."""
    for symptom in _SYMPTOMS:
        if match := symptom.pattern.search(said):
            return symptom.missing.format(next((text for text in match.groups() if text), ""))
    return ""


# ---- cures


def _library(text: str, strategy: str, name: str) -> str | None:
    package = LIBRARIES.get(name)
    return _packages(text, strategy, package, f"the shared library {name}") if package else None


def _packages(text: str, strategy: str, packages: str, what: str) -> str:
    """Packages in the last stage; if it has no package manager, their libraries with everything that they load."""
    if strategy in _WITH_APT:
        return _in_last_stage(text, f"# Remedy: the service needs {what}.\n{_apt(packages)}")
    names = " ".join(packages.split())
    collect = (
        f"# Remedy: the service needs {what}; with it come the libraries that it loads itself.\n"
        "FROM ${BASE_OS_SLIM} AS remedy\n"
        'SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]\n'
        f"{_apt(names)}"
        f"RUN mkdir /remedy; dpkg -L {names} | grep -E '/lib[^/]*\\.so[.0-9]*$' > own; \\\n"
        "    xargs -a own ldd | awk '$2 == \"=>\" {print $3}' | grep '^/' > loaded; \\\n"
        "    sort -u own loaded | xargs cp -L --parents -t /remedy\n\n"
    )
    return _brought(text, collect, "COPY --from=remedy /remedy/ /\n")


def _files(packages: str, paths: str, what: str) -> Callable[[str, str, str], str]:
    """Packages, or only these paths of them if the image has no package manager."""

    def cure(text: str, strategy: str, group: str) -> str:  # noqa: ARG001 - as every cure has it
        if strategy in _WITH_APT:
            return _in_last_stage(text, f"# Remedy: the service needs {what}.\n{_apt(packages)}")
        collect = (
            f"# Remedy: the service needs {what}.\nFROM ${{BASE_OS_SLIM}} AS remedy\n{_apt(packages)}"
            f"RUN mkdir /remedy && cp -aL --parents {paths} /remedy\n\n"
        )
        return _brought(text, collect, "COPY --from=remedy /remedy/ /\n")

    return cure


def _user(text: str, strategy: str, group: str) -> str:  # noqa: ARG001 - as every cure has it
    entry = f"nonroot:x:{_USER}:{_USER}:nonroot:/tmp:/sbin/nologin"
    if strategy in _WITH_APT:
        return _in_last_stage(text, f"# Remedy: the service looks up its user.\nRUN echo '{entry}' >> /etc/passwd\n")
    collect = (
        "# Remedy: the service looks up its user.\nFROM ${BASE_OS_SLIM} AS remedy\n"
        f"RUN mkdir -p /remedy/etc && echo '{entry}' > /remedy/etc/passwd\n\n"
    )
    return _brought(text, collect, "COPY --from=remedy /remedy/ /\n")


def _writable(text: str, strategy: str, path: str) -> str | None:
    """A folder that belongs to the service's user: the one of the file that could not be written."""
    folder = path.rstrip("/").rpartition("/")[0] or "/app"
    if not folder.startswith("/"):
        folder = f"/app/{folder}"
    if folder in ("/", "/etc", "/usr", "/proc", "/sys"):
        return None
    comment = f"# Remedy: the service writes to {folder}.\n"
    if strategy in ("slim", "multi-stage"):
        return _before_user(text, f"{comment}RUN install -d -o {_USER} -g {_USER} {folder}\n")
    if strategy == "full":
        return None  # it runs as root
    collect = f"{comment}FROM ${{BASE_OS_SLIM}} AS remedy\nRUN mkdir -p /remedy{folder}\n\n"
    copy = f"COPY --from=remedy --chown={_USER}:{_USER} /remedy/ /\n"
    return _brought(text, collect, copy, first=True)


def _shell(text: str, strategy: str, group: str) -> str | None:  # noqa: ARG001 - as every cure has it
    if strategy in _WITH_APT:
        return None
    collect = (
        "# Remedy: the service starts a shell.\nFROM ${BASE_OS_SLIM} AS remedy\n"
        f"{_apt('busybox-static')}RUN install -D /bin/busybox /remedy/bin/sh\n\n"
    )
    return _brought(text, collect, "COPY --from=remedy /remedy/bin/sh /bin/sh\n")


def _locale(text: str, strategy: str, group: str) -> str:  # noqa: ARG001 - as every cure has it
    return _in_last_stage(text, "# Remedy: the service sets a locale, and the C library has this one built in.\n"
                                "ENV LANG=C.UTF-8 LC_ALL=C.UTF-8\n")  # fmt: skip


def _compilers(packages: str) -> Callable[[str, str, str], str]:
    """Packages in the stage that builds."""

    def cure(text: str, strategy: str, group: str) -> str:  # noqa: ARG001 - as every cure has it
        step = f"# Remedy: a dependency is compiled while it is installed.\n{_apt(packages)}"
        pattern = r"^(FROM \S+ AS build\n)" if " AS build\n" in text else r"^(FROM \S+\n)"
        return _substituted(text, pattern, step)

    return cure


def _openssl(text: str, strategy: str, group: str) -> str:
    """OpenSSL to build against; linked in if nothing in the image is loaded at run time."""
    text = _compilers("libssl-dev pkg-config")(text, strategy, group)
    return _substituted(text, r"^(ENV CARGO_HOME=\S+)", " OPENSSL_STATIC=1") if "crt-static" in text else text


def _module(text: str, strategy: str, name: str) -> str | None:  # noqa: ARG001 - as every cure has it
    module = name if "." in name else next((m for p, m in _MODULES.items() if name.startswith(p)), "")
    if not module or "jlink --add-modules " not in text:
        return None
    edited = re.sub(r'(jlink --add-modules "[^"]*)"', rf'\g<1>,{module}"', text)
    comment = f"# Remedy: the service uses the module {module}, which no file declares.\n"
    return re.sub(r"^(RUN (?:modules=|find \"\$PWD\"))", rf"{comment}\g<1>", edited, count=1, flags=re.MULTILINE)


def _native(text: str, strategy: str, group: str) -> str | None:  # noqa: ARG001 - as every cure has it
    """node_modules of the folder, made on another system, lie over those of the build."""
    why = "# Remedy: the folder has node_modules of another system; those of the build replace them.\n"
    copies = "COPY --from=build /app/node_modules ./node_modules\n"
    if copies in text and "COPY . .\n" in text:
        return text.replace(copies, "").replace("COPY . .\n", f"COPY . .\n{why}{copies}")
    install = re.search(r"^RUN .*npm (?:ci|install).*\n", text, re.MULTILINE)
    if not install or " AS build" in text or "/node_modules" in text:
        return None
    again = why + re.sub(r" npm (?=ci|install)", " rm -rf node_modules && npm ", install[0], count=1)
    if strategy == "full":
        return text.replace(install[0], again)
    return text.replace("COPY . .\n", f"COPY . .\n{again}")


def _toolchain(text: str, strategy: str, group: str) -> str:  # noqa: ARG001 - as every cure has it
    if "GOTOOLCHAIN=local" not in text:
        raise ValueError("no toolchain is set")
    newer = text.replace("GOTOOLCHAIN=local", "GOTOOLCHAIN=auto")
    return _substituted(newer, r"^()(?=ENV CGO_ENABLED)", f"# Remedy: go.mod asks for Go {group}, which Go fetches.\n")


# ---- edits


def _apt(packages: str) -> str:
    return (
        f"RUN apt-get update \\\n && apt-get install -y --no-install-recommends {packages} \\\n"
        " && rm -rf /var/lib/apt/lists/*\n"
    )


def _in_last_stage(text: str, step: str) -> str:
    """The step right after the last FROM."""
    position = text.rindex("\nFROM ") + 1 if "\nFROM " in text else text.index("FROM ")
    end = text.index("\n", position) + 1
    return text[:end] + step + text[end:]


def _before_user(text: str, step: str) -> str:
    return _substituted(text, r"^()(?=USER )", step)


def _brought(text: str, stage: str, copy: str, *, first: bool = False) -> str:
    """A stage before the last one, and a copy from it: at the beginning of the last stage, or before its USER."""
    name = f"remedy-{count + 1}" if (count := len(re.findall(r" AS remedy(?:-\d+)?\n", text))) else "remedy"
    stage, copy = (
        part.replace(" AS remedy\n", f" AS {name}\n").replace("=remedy ", f"={name} ") for part in (stage, copy)
    )
    position = text.rindex("\nFROM ") + 1
    head, last = text[:position], text[position:]
    if _SLIM not in head:
        head = f"{_SLIM}\n{head}"
    end = last.index("\n") + 1
    last = last[:end] + copy + last[end:] if first else _substituted(last, r"^()(?=USER )", copy)
    return head + stage + last


def _substituted(text: str, pattern: str, addition: str) -> str:
    """The addition behind the pattern's first group, once."""
    found, count = re.subn(pattern, lambda match: match[1] + addition, text, count=1, flags=re.MULTILINE)
    if not count:
        raise ValueError(f"{pattern!r} is not in the Dockerfile")
    return found


def _symptom(pattern: str, missing: str, cure: Callable[[str, str, str], str | None]) -> _Symptom:
    return _Symptom(re.compile(pattern), missing, cure)


_CERTIFICATES = (
    r"certificate signed by unknown authority|CERTIFICATE_VERIFY_FAILED|unable to get local issuer certificate"
)
_SYMPTOMS = (
    _symptom(
        r"([\w.-]+\.node): invalid ELF header|([\w.-]+\.node)' was compiled against a different Node"
        r"|(libc\.musl-\w+\.so\.1): cannot open|version `(GLIBC_[\d.]+)' not found",
        "a native module for this image's C library ({0})",
        _native,
    ),
    _symptom(
        r"(lib[\w.+-]+\.so[.\d]*):? cannot open shared",
        "the shared library {0}",
        _library,
    ),
    _symptom(
        rf"{_CERTIFICATES}|UnknownIssuer|PKIX path building failed",
        "certificate authorities",
        _files("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "certificate authorities"),
    ),
    _symptom(
        r"unknown time zone|ZoneInfoNotFoundError|No time zone found|cannot find time ?zone",
        "time zones",
        _files("tzdata", "/usr/share/zoneinfo", "time zones"),
    ),
    _symptom(r"unknown userid|uid not found|no passwd entry|unknown user", "its user in /etc/passwd", _user),
    _symptom(
        r"(?:Permission ?[dD]enied|EACCES|Read-only file system)[^\n]*?[\"']?(/[\w./-]+)"
        r"|(?:open|mkdir|create) (/[\w./-]+): permission denied|(unable to open database file)",
        "a folder that it may write to",
        lambda text, strategy, path: _writable(text, strategy, path if path.startswith("/") else "/app/data"),
    ),
    _symptom(
        r"exec: \"?(?:/bin/)?(?:ba)?sh\"?: (?:executable file not found|stat)|/bin/sh: no such file"
        r"|spawn /bin/sh ENOENT|No such file or directory: '/bin/sh'",
        "a shell",
        _shell,
    ),
    _symptom(r"unsupported locale setting|cannot change locale|locale::facet", "a locale", _locale),
    _symptom(
        r"Fontconfig (?:error|head is null)|No fonts found",
        "fonts",
        _files("fontconfig fonts-dejavu-core", "/etc/fonts /usr/share/fonts", "fonts"),
    ),
    _symptom(
        r"pg_config executable not found", "libpq's headers, for a build", _compilers("gcc libpq-dev python3-dev")
    ),
    _symptom(r"node-gyp|gyp ERR!", "a compiler for native modules, for a build", _compilers("g++ make python3")),
    _symptom(
        r"(?:gcc|cc)['\"`]? failed: No such file|(?:gcc|cc): (?:command )?not found|linker `cc` not found"
        r"|C compiler \"gcc\" not found",
        "a C compiler, for a build",
        _compilers("gcc libc6-dev"),
    ),
    _symptom(
        r"Could not find (?:directory of OpenSSL|openssl)|openssl-sys",
        "OpenSSL's headers, for a build",
        _openssl,
    ),
    _symptom(r"requires go >= ?([\d.]+)", "Go {0}", _toolchain),
    _symptom(
        r"Module ((?:java|jdk)\.[\w.]+) not found"
        r"|NoClassDefFoundError: ((?:java|javax|sun|com/sun|org/w3c|org/xml)/[\w/]+)",
        "the module of {0}",
        _module,
    ),
)
