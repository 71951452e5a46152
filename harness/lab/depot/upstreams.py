"""Where this machine's own tools fetch packages from: mirrors, proxies, certificate authorities.

They are read at run time, from the tools if they are installed and otherwise from the tools' files, so that a depot
fetches what the host itself would fetch. No address of a host is written down here; PUBLIC holds only the addresses
that each tool has built in for the case that nothing is configured.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from xml.etree import ElementTree

from harness.errors import BaseUnavailable
from harness.host.undo import find_program
from harness.lab.apt import sources as aptsources

# The addresses that the tools use if nothing else is configured, and the names by which builds know them. Sources:
# pip's models/index.py, npm's config definitions, `go help environment`, Maven's super POM, the cargo book's "Registry
# Index Format", sources.list of the official Debian and Ubuntu images.
PUBLIC: Mapping[str, str] = {
    "pip": "https://pypi.org/simple",
    "npm": "https://registry.npmjs.org",
    "go": "https://proxy.golang.org",
    "maven": "https://repo.maven.apache.org/maven2",
    "cargo": "https://index.crates.io",
}
# Archive (the last part of its path on every mirror) → domain under which the distribution publishes it.
ARCHIVES: Mapping[str, str] = {
    "debian": "debian.org",
    "debian-security": "debian.org",
    "ubuntu": "ubuntu.com",
    "ubuntu-ports": "ubuntu.com",
}

_BUNDLES = (  # where distributions keep the authorities they trust: Debian, Fedora, openSUSE, Alpine
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_PATIENCE = 30.0  # s for a tool to print its settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """Base addresses without a trailing slash, one entry an ecosystem. They may hold user and password."""

    apt: Mapping[str, str]  # archive → the host's mirror of it; an archive that the host does not use is absent
    pip: str  # the "simple" index
    npm: str
    go: tuple[str, ...]  # asked in this order; empty if the host uses none
    maven: str
    cargo: str  # a sparse index
    authorities: tuple[Path, ...]  # PEM files the host's tools trust
    proxies: Mapping[str, str]  # upstream → the proxy through which the host reaches it, if there is one
    nameservers: tuple[str, ...]

    def addresses(self) -> tuple[str, ...]:
        """All of them, apt's mirrors first."""
        return (*self.apt.values(), self.pip, self.npm, *self.go, self.maven, self.cargo)


def read() -> Upstreams:
    """The present settings of this machine. A tool that is missing or fails counts as not configured."""
    environ, home = os.environ, Path.home()
    pip = _settings(_ask(sys.executable, "-m", "pip", "config", "list"), quoted=True)
    npm = _settings(_ask("npm", "config", "get", "registry", "cafile"))
    apt = {archive: url.rstrip("/") for archive, url in archives(_own_apt_addresses())}
    cargo, cargo_authorities = cargo_registry(Path(environ.get("CARGO_HOME") or home / ".cargo"))
    entries = {
        "pip": pip.get("index-url", ""),
        "npm": _given(npm.get("registry")) or environ.get("npm_config_registry", ""),
        "maven": maven_mirror(_maven_settings(home)) or _super_pom(),
        "cargo": cargo,
    }
    chosen = {name: (url or PUBLIC[name]).rstrip("/") for name, url in entries.items()}
    go = go_proxies(_ask("go", "env", "GOPROXY").strip() or environ.get("GOPROXY") or PUBLIC["go"])
    apt_settings = _settings(_ask("apt-config", "dump", "Acquire"), pattern=r'Acquire::(\S+) "(.*)";')
    authorities = (
        environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile,
        next((path for path in _BUNDLES if Path(path).is_file()), None),
        pip.get("cert"),
        _given(npm.get("cafile")),
        environ.get("CARGO_HTTP_CAINFO") or cargo_authorities,
        apt_settings.get("https::CaInfo"),
    )
    proxies = {url: proxy for url in apt.values() if (proxy := apt_proxy(url, apt_settings))}
    proxies |= {
        url: proxy for url in (*apt.values(), *chosen.values(), *go) if (proxy := _proxy(url)) and url not in proxies
    }
    return Upstreams(
        apt=apt,
        pip=chosen["pip"],
        npm=chosen["npm"],
        go=go,
        maven=chosen["maven"],
        cargo=chosen["cargo"],
        authorities=tuple(dict.fromkeys(Path(path).resolve() for path in authorities if path and Path(path).is_file())),
        proxies=proxies,
        nameservers=nameservers(Path("/etc/resolv.conf")),
    )


def go_proxies(setting: str) -> tuple[str, ...]:
    """The addresses of a GOPROXY list. `direct` and `off` are left out: a depot does not speak version control."""
    return tuple(url.rstrip("/") for url in re.split(r"[,|]", setting) if url.startswith(("http://", "https://")))


def cargo_registry(home: Path) -> tuple[str, str]:
    """What config.toml puts in the place of crates.io ("" if nothing, or no sparse index), and its http.cainfo."""
    for name in ("config.toml", "config"):
        try:
            config = tomllib.loads((home / name).read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError):
            continue
        sources, registries = config.get("source", {}), config.get("registries", {})
        source, seen = "crates-io", set()
        while (following := sources.get(source, {}).get("replace-with")) and source not in seen:
            seen.add(source)
            source = following
        index = str(sources.get(source, {}).get("registry") or registries.get(source, {}).get("index") or "")
        authorities = str(config.get("http", {}).get("cainfo", ""))
        return index.removeprefix("sparse+") if index.startswith("sparse+") else "", authorities
    return "", ""


def maven_mirror(files: Iterable[Path]) -> str:
    """The first mirror that settings.xml files have for Maven Central; "" without one."""
    for path in files:
        try:
            root = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError):
            continue
        for mirror in root.iterfind(".//{*}mirrors/{*}mirror"):
            of = {part.strip() for part in (mirror.findtext("{*}mirrorOf") or "").split(",")}
            if of & {"*", "central", "external:*"} and "!central" not in of:
                return (mirror.findtext("{*}url") or "").strip()
    return ""


def nameservers(path: Path) -> tuple[str, ...]:
    """The servers of a resolv.conf(5), as nginx writes them: IPv6 in brackets. Link-local ones are left out."""
    try:
        found = re.findall(r"^\s*nameserver\s+(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return ()
    return tuple(f"[{server}]" if ":" in server else server for server in found if "%" not in server)


def _own_apt_addresses() -> Iterator[str]:
    """The addresses of the distribution's own sources, without the sources of vendors."""
    _, codename = aptsources.vendor()
    try:
        for source in aptsources.for_release(aptsources.read(), release=codename, codename=codename):
            yield from source.uris
    except BaseUnavailable:
        return


def archives(addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Archive and address, the last first, so that in a dictionary the first one of an archive stays.

    Mirrors are recognised by the end of their path; an address with another end (for example a snapshot) is not used.
    """
    for url in reversed([url for url in addresses if url.startswith(("http://", "https://"))]):
        archive = urlsplit(url).path.rstrip("/").rpartition("/")[2]
        if archive in ARCHIVES:
            yield archive, url


def _maven_settings(home: Path) -> Iterator[Path]:
    """The user's file, then the installation's: Maven prefers mirrors in this order."""
    yield home / ".m2" / "settings.xml"
    if program := find_program("mvn"):
        yield Path(program).resolve().parents[1] / "conf" / "settings.xml"


def _super_pom() -> str:
    """Maven Central's address as the installed Maven has it built in; "" without one."""
    program = find_program("mvn")
    for jar in Path(program).resolve().parents[1].glob("lib/maven-model-builder-*.jar") if program else ():
        try:
            with zipfile.ZipFile(jar) as archive:
                root = ElementTree.fromstring(archive.read("org/apache/maven/model/pom-4.0.0.xml"))
        except (OSError, KeyError, zipfile.BadZipFile, ElementTree.ParseError):
            continue
        return (root.findtext("{*}repositories/{*}repository/{*}url") or "").strip()
    return ""


def _proxy(url: str) -> str:
    """The proxy that http_proxy, https_proxy and no_proxy give for an address; "" for none."""
    parts = urlsplit(url)
    proxies = getproxies()
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    return str(proxies.get(parts.scheme) or proxies.get("all") or "")


def apt_proxy(url: str, settings: Mapping[str, str]) -> str:
    """The proxy apt.conf(5) gives for an address: the proxy of the host, or of its scheme."""
    parts = urlsplit(url)
    own = settings.get(f"{parts.scheme}::Proxy::{parts.hostname}")
    proxy = own if own is not None else settings.get(f"{parts.scheme}::Proxy") or settings.get("http::Proxy", "")
    return "" if proxy.upper() == "DIRECT" else proxy


def _ask(program: str, *arguments: str) -> str:
    """What a tool prints; "" if it is not installed or fails."""
    path = find_program(program)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _settings(text: str, *, quoted: bool = False, pattern: str = r"(\S+?)=(.*)") -> dict[str, str]:
    """name → value of lines that match. pip writes section.name='value'; later sections (:env:) win there too."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(pattern, line.strip()):
            name, value = match.groups()
            found[name.rpartition(".")[2] if quoted else name] = value.strip("'\"") if quoted else value
    return found


def _given(value: str | None) -> str:
    """npm prints null and undefined for what is not set."""
    return "" if value in (None, "null", "undefined") else str(value)
