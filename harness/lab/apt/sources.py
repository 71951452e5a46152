"""The host's own apt sources, changed to the release that bases are made of.

No mirror is named here: bases are made from the sources that the host installs its packages from, with the host's
components and proxies. Formats: sources.list(5), one-line and deb822.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from harness.errors import BaseUnavailable

_ALIASES = ("oldstable", "stable", "testing", "unstable", "sid")
_POCKETS = ("", "-updates", "-security", "/updates")  # /updates: security before bullseye
_OPTIONS = ("signed-by", "trusted", "check-valid-until", "check-date", "allow-insecure", "allow-weak")


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One stanza of binary package sources. `options` has lower-case names: signed-by, trusted …"""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    def deb822(self) -> str:
        lines = [
            "Types: deb",
            f"URIs: {' '.join(self.uris)}",
            f"Suites: {' '.join(self.suites)}",
            f"Components: {' '.join(self.components)}",
        ]
        lines += [f"{name.title()}: {value}" for name, value in sorted(self.options.items())]
        return "\n".join(lines) + "\n"


def render(sources: Iterable[AptSource]) -> str:
    """A .sources file."""
    return "\n".join(source.deb822() for source in sources)


def read(etc: Path = Path("/etc/apt")) -> tuple[AptSource, ...]:
    """Enabled binary sources of sources.list and sources.list.d, in apt's order."""
    found: list[AptSource] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".list":
            found += parse_list(text)
        elif path.suffix == ".sources":
            found += parse_deb822(text)
    return tuple(found)


def parse_list(text: str) -> Iterator[AptSource]:
    """One-line form: `deb [signed-by=/file arch=amd64] URI suite component…`."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<rest>[^#]+)", line)
        if not match:
            continue
        uri, suite, *components = match["rest"].split() + [""] * 2
        if uri.startswith("cdrom:") or suite.endswith("/") or not suite:
            continue
        pairs = (option.partition("=") for option in shlex.split(match["options"] or ""))
        options = {name.lower(): value for name, _, value in pairs if name.lower() in _OPTIONS}
        yield AptSource(uris=(uri,), suites=(suite,), components=tuple(filter(None, components)), options=options)


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Stanzas of fields. A continuation line begins with a blank; an embedded key keeps its lines."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                if name:
                    fields[name] += "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        suites = tuple(suite for suite in fields.get("suites", "").split() if not suite.endswith("/"))
        if suites:
            yield AptSource(
                uris=tuple(fields.get("uris", "").split()),
                suites=suites,
                components=tuple(fields.get("components", "").split()),
                options={key: value for key, value in fields.items() if key in _OPTIONS},
            )


def vendor(os_release: Path = Path("/etc/os-release")) -> tuple[str, str]:
    """(ID, VERSION_CODENAME) of this machine's distribution; empty strings if it does not say."""
    try:
        text = os_release.read_text(encoding="utf-8")
    except OSError:
        return "", ""
    pairs = (line.partition("=") for line in text.splitlines())
    fields = {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return fields.get("ID", ""), fields.get("VERSION_CODENAME", "")


def for_release(
    sources: Iterable[AptSource], *, release: str, codename: str, keyring: Path | None = None
) -> tuple[AptSource, ...]:
    """The distribution's own sources among `sources`, with the host's release replaced by `release`.

    If the host uses updates and security, so does the result; nothing is added. Sources of others (a vendor's
    repository that also calls its suite by the codename) are recognised by their key: if any source is signed by the
    archive keyring, only such sources are used, otherwise the sources without a key of their own. `keyring` replaces
    the archive keys named by the host, because the host may name only the keys of its own release. Raises
    BaseUnavailable if no source is left.
    """
    names = {name: release for name in (codename, *_ALIASES) if name}
    wanted: list[AptSource] = []
    for source in sources:
        suites = []
        for suite in source.suites:
            for pocket in _POCKETS:
                stem = suite.removesuffix(pocket) if pocket else suite
                if stem in names and stem + pocket == suite:
                    suites.append(release + ("-security" if pocket == "/updates" else pocket))
        if suites and "main" in source.components:
            wanted.append(replace(source, suites=tuple(dict.fromkeys(suites))))
    own = [source for source in wanted if _archive_key(source)]
    own = own or [source for source in wanted if "signed-by" not in source.options] or wanted
    if not any(release in source.suites for source in own):
        raise BaseUnavailable(
            f"none of this machine's apt sources can be used for {release}",
            where="apt",
            fix="Add the distribution's main suite to /etc/apt/sources.list.d, or use TARE_LANE=upstream.",
        )
    if keyring:
        own = [
            replace(source, options={**source.options, "signed-by": str(keyring)})
            if _archive_key(source) or "signed-by" not in source.options
            else source
            for source in own
        ]
    return tuple({source.deb822(): source for source in own}.values())


def _archive_key(source: AptSource) -> bool:
    """Whether it is signed by the distribution's archive keyring, which is recognised by the name that all its files
    have.
    """
    return "-archive-" in Path(source.options.get("signed-by", "").partition("\n")[0]).name


def without_credentials(uri: str) -> str:
    """The address without user and password, for records."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
