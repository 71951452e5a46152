"""Root file systems from distribution packages: a private apt, mmdebstrap, and installs on top of a parent.

Content-equal to the official images: the tweaks are those of debuerreotype, which makes Debian's
(https://github.com/debuerreotype/debuerreotype, debuerreotype-minimizing-config and -slimify).
Everything here needs root and writes only below the folders it is given. Programs run in mount, process and
host-name namespaces of their own and die with the harness, so that nothing stays mounted whatever happens.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

from harness.errors import BaseUnavailable
from harness.lab import aptsources

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Debian's own public name is what its official images carry; a mirror of this machine must not stay in one.
_SOURCES = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: {release} {release}-updates
Components: main
Signed-By: {keyring}

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: {release}-security
Components: main
Signed-By: {keyring}
"""
_CLEAN = '"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true";'
_TWEAKS = {
    "etc/apt/apt.conf.d/docker-clean": f"DPkg::Post-Invoke {{ {_CLEAN} }};\nAPT::Update::Post-Invoke {{ {_CLEAN} }};\n"
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
    "etc/apt/apt.conf.d/docker-gzip-indexes": 'Acquire::GzipIndexes "true";\n',
    "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n',
    "etc/apt/apt.conf.d/docker-autoremove-suggests": 'Apt::AutoRemove::SuggestsImportant "false";\n',
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
}
_SLIM_EXCLUDED = ("doc", "info", "linda", "lintian/overrides", "locale", "man")
_SLIM_KEPT = (
    "doc/*/copyright",
    "locale/all_languages",
    "locale/currency/*",
    "locale/l10n/*",
    "locale/languages",
    "locale/locale.alias",
)

# What a bootstrap leaves behind and no official image has. Folders in the second list keep their place.
_LEFTOVERS = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/apt/auth.conf",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
)
_EMPTIED = ("dev", "proc", "run", "sys", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log/apt", "var/tmp")


class Isolated:
    """Runs programs in namespaces of their own; `stop` ends all that are running."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Returns what it printed. Raises BaseUnavailable with its last words where it fails."""
        # A killed harness takes them along: setpriv's signal ends unshare, and that the process namespace. A process
        # group of their own keeps a terminal's Ctrl-C from cutting dpkg short before the harness has heard of it.
        prefix = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--uts"]
        prefix += ["--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", 'hostname localhost && exec "$@"', "sh"]
        with subprocess.Popen(
            [*prefix, *map(str, command)],
            cwd=cwd,
            env=_environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            self._running.add(process)
            if self._stopped:
                process.kill()
            output, _ = process.communicate()
            self._running.discard(process)
        if process.returncode:
            raise BaseUnavailable(_reason(output) or f"exit status {process.returncode}", where=Path(command[0]).name)
        return output

    def stop(self) -> None:
        self._stopped = True
        for process in list(self._running):
            process.kill()


class Apt:
    """A private apt root for one release: the host's sources, proxies and credentials, nothing else of the host.

    `debs` is the cache of fetched packages: files in it are complete, named as apt names them, and kept.
    """

    def __init__(self, folder: Path, debs: Path, *, release: str, architecture: str, isolated: Isolated) -> None:
        self.folder = folder
        self.debs = debs
        self.release = release
        self.architecture = architecture
        self.isolated = isolated
        self.dates: dict[str, str] = {}  # suite → date of its InRelease
        self.origins: tuple[str, ...] = ()
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        """Unix time of the release's main suite: the date of what bases are made of."""
        return int(parsedate_to_datetime(self.dates[self.release]).timestamp())

    @property
    def sources(self) -> Path:
        return self.folder / "etc/tare.sources"

    def update(self) -> None:
        """Fetch the package lists, once. Raises BaseUnavailable."""
        with self._lock:
            if self.dates:
                return
            identity, codename = aptsources.vendor()
            if identity != "debian":
                raise BaseUnavailable(
                    f"the packages lane makes Debian bases and this machine is {identity or 'unknown'}",
                    where="apt",
                    fix="Use TARE_LANE=upstream with a registry in reach, or run on Debian.",
                )
            keyrings = (Path(f"/usr/share/keyrings/debian-archive-keyring.{end}") for end in ("pgp", "gpg"))
            keyring = next((path for path in keyrings if path.exists()), None)
            found = aptsources.for_release(aptsources.read(), release=self.release, codename=codename, keyring=keyring)
            for name in ("etc/parts", "lists/partial", "cache/archives/partial", "log"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "status").touch()
            self.sources.write_text(aptsources.render(found), encoding="utf-8")
            (self.folder / "etc/acquire.conf").write_text(self._acquire(), encoding="utf-8")
            (self.folder / "etc/apt.conf").write_text(self._configuration(), encoding="utf-8")
            self.run("update", "--error-on=any")
            self.origins = tuple(aptsources.without_credentials(uri) for source in found for uri in source.uris)
            dates = {}
            for path in (self.folder / "lists").glob("*Release"):
                head = path.read_text(encoding="utf-8", errors="replace")[:4096]
                fields = dict(re.findall(r"^(Suite|Codename|Date): (.+)$", head, re.MULTILINE))
                dates[fields.get("Codename", fields.get("Suite", ""))] = fields["Date"]
            self.dates = dates

    def _acquire(self) -> str:
        """Proxies, time-outs and certificate files the host's apt uses; none of its hooks."""
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        lines = [line for line in dump.splitlines() if re.match(r"Acquire::(?!IndexTargets|Changelogs|Languages)", line)]
        options = [*lines, 'Acquire::Languages "none";', 'APT::Sandbox::User "root";']
        options += ['Dir::Etc::netrc "/etc/apt/auth.conf";', 'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";']
        return "\n".join(options) + "\n"

    def _configuration(self) -> str:
        folder = self.folder
        options = {
            "APT::Architecture": self.architecture,
            "APT::Install-Recommends": "false",
            "Dir::Cache": f"{folder}/cache",
            "Dir::Cache::pkgcache": "",
            "Dir::Etc::main": "-",
            "Dir::Etc::parts": f"{folder}/etc/parts",
            "Dir::Etc::preferences": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::Etc::sourcelist": str(self.sources),
            "Dir::Etc::sourceparts": "-",
            "Dir::Log": f"{folder}/log",
            "Dir::State": str(folder),
            "Dir::State::lists": f"{folder}/lists",
            "Dir::State::status": f"{folder}/status",
            "DPkg::Use-Pty": "false",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in options.items())
        return text + f'APT::Architectures {{ "{self.architecture}"; }};\n' + self._acquire()

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        return self.isolated.run(
            ["apt-get", "-q", *arguments], cwd=cwd, env={"APT_CONFIG": f"{self.folder}/etc/apt.conf"}
        )

    def download(self, packages: Sequence[str], into: Path) -> list[Path]:
        """Exactly these packages, from the cache where it has them. Sorted by name."""
        self.update()
        into.mkdir()
        listed = self.run("download", "--print-uris", *packages, cwd=into)
        wanted: dict[str, str] = {}  # file name → package=version, as apt asks for it
        for name, digest in re.findall(r"^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})", listed, re.MULTILINE):
            kept = self.debs / name
            if kept.exists() and _sha256(kept) == digest:
                os.link(kept, into / name)
            else:
                package, version, _ = name.rsplit("_", 2)
                wanted[name] = f"{package}={version.replace('%3a', ':')}"
        if wanted:
            self.run("download", *wanted.values(), cwd=into)
        self.keep(into)
        return sorted(into.glob("*.deb"))

    def install(self, root: Path, packages: Sequence[str], stage: Path) -> None:
        """apt-get install into the system at `root`, whose maintainer scripts run chrooted."""
        self.update()
        self.offer(stage)
        # devices are bound one by one onto a tmpfs: a script that tidies /dev must not reach the machine's own
        script = """
            root=$1 stage=$2; shift 2
            mount -t proc proc "$root/proc" && mount -t tmpfs tmpfs "$root/dev" || exit 1
            for device in null zero full random urandom; do
                : > "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device" || exit 1
            done
            ln -s /proc/self/fd "$root/dev/fd"
            mkdir -p "$root/var/cache/apt/archives" && mount --bind "$stage" "$root/var/cache/apt/archives" || exit 1
            exec apt-get -qq -y --no-install-recommends \
                -o "DPkg::Chroot-Directory=$root" \
                -o "Dir::State::status=$root/var/lib/dpkg/status" \
                -o "Dir::State::extended_states=$root/var/lib/apt/extended_states" \
                -o "Dir::Cache::archives=$root/var/cache/apt/archives" \
                install "$@"
        """
        command = ["sh", "-c", script, "apt-get", root, stage, *packages]
        self.isolated.run(command, env={"APT_CONFIG": f"{self.folder}/etc/apt.conf"})
        self.keep(stage)

    def offer(self, stage: Path) -> None:
        """Make `stage` an archive folder for apt that holds everything fetched before."""
        (stage / "partial").mkdir(parents=True)
        for deb in self.debs.glob("*.deb"):
            os.link(deb, stage / deb.name)

    def keep(self, folder: Path) -> None:
        """Keep what apt fetched into `folder`; it had verified each file."""
        for deb in folder.glob("*.deb"):
            kept = self.debs / deb.name
            if kept.exists() and kept.samefile(deb):
                continue
            deb.replace(kept)
            os.link(kept, deb)


def full(root: Path, apt: Apt, packages: Sequence[str], stage: Path) -> None:
    """Debian's minbase with the tweaks of its official image, in the new folder `root`."""
    apt.update()
    apt.offer(stage)
    # the cache is bound in, not copied; the mount is undone before mmdebstrap empties the folder
    archives = '"$1/var/cache/apt/archives"'
    command = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"),
        f"--architectures={apt.architecture}",
        "--skip=output/dev,download/empty,essential/unlink",
        f"--aptopt={apt.folder}/etc/acquire.conf",
        f'--setup-hook=mkdir -p {archives} && mount --bind "$TARE_STAGE" {archives}',
        f"--customize-hook=umount {archives}",
        *((f"--include={','.join(packages)}",) if packages else ()),
        *(apt.release, root, apt.sources),
    ]
    env = {"SOURCE_DATE_EPOCH": str(apt.epoch), "TARE_STAGE": str(stage), "TMPDIR": str(root.parent)}
    apt.isolated.run(command, env=env)
    apt.keep(stage)
    for path in [root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").glob("*")]:
        path.unlink(missing_ok=True)
    keyrings = (f"usr/share/keyrings/debian-archive-keyring.{end}" for end in ("pgp", "gpg"))
    keyring = next(path for path in keyrings if (root / path).exists())
    _write(root, "etc/apt/sources.list.d/debian.sources", _SOURCES.format(release=apt.release, keyring=f"/{keyring}"))
    for name, text in _TWEAKS.items():
        _write(root, name, text)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    tidy(root)


def slim(root: Path) -> None:
    """Take from a full system what the official slim images leave out, and have dpkg leave it out from now on."""
    share = root / "usr/share"
    lines = [f"path-exclude /usr/share/{path}/*\n" for path in _SLIM_EXCLUDED]
    lines += [f"path-include /usr/share/{path}\n" for path in _SLIM_KEPT]
    _write(root, "etc/dpkg/dpkg.cfg.d/docker", "".join(lines))
    kept = {path for pattern in _SLIM_KEPT for path in share.glob(pattern)}
    for name in _SLIM_EXCLUDED:
        for path in sorted((share / name).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in kept:
                path.unlink()
    for section in range(1, 10):  # update-alternatives fails where a manual page's folder is missing
        (share / f"man/man{section}").mkdir(parents=True, exist_ok=True)


def tidy(root: Path) -> None:
    """Remove what making a system leaves in it: logs, caches, locks, and what names this machine."""
    for pattern in _LEFTOVERS:
        for path in root.glob(pattern):
            path.unlink()
    for name in _EMPTIED:
        for path in (root / name).glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (root / name).mkdir(parents=True, exist_ok=True)


def installed(root: Path) -> dict[str, tuple[str, str]]:
    """Packages of the system at `root`: name → (version, architecture)."""
    found = {}
    for stanza in (root / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = (fields["Version"], fields["Architecture"])
    return found


def locked(packages: Mapping[str, tuple[str, str]], debs: Path) -> list[dict[str, str]]:
    """The lock of a base: each package with version and SHA-256 of its file, sorted by name."""
    lock = []
    for name, (version, architecture) in sorted(packages.items()):
        deb = debs / f"{name}_{quote(version, safe='+~.-').replace('%3A', '%3a')}_{architecture}.deb"
        lock.append({"package": name, "version": version, "sha256": _sha256(deb)})
    return lock


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _environment() -> dict[str, str]:
    """Nothing of this machine reaches a maintainer script but the proxies apt itself reads from the environment.

    SOURCE_DATE_EPOCH is not among them: with it Python compiles byte-code that re-reads its source at every
    import, which no installed system has.
    """
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **proxies}


def _reason(output: str) -> str:
    """The sentence of apt's or mmdebstrap's output that says why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "Err:", "dpkg: error"))]
    return "; ".join(_short(errors or lines[-3:]))


def _short(lines: Iterable[str]) -> list[str]:
    return [line[:300] for line in list(lines)[:3]]
