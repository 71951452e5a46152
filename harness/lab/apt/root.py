"""A private apt root on the host's own sources, and programs in namespaces of their own.

Programs run in mount, process and host-name namespaces and die with the harness, so nothing stays mounted or running,
whatever happens to the harness.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path

from harness.errors import BaseUnavailable
from harness.lab.apt import sources as aptsources

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Isolated:
    """Runs programs in namespaces of their own; `stop` ends all that are running."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        name: str = "",
    ) -> str:
        """Returns what the program printed. If it fails, raises BaseUnavailable for `name` with its last lines."""
        # They die with a killed harness: setpriv's signal ends unshare, and unshare's end ends the process namespace. A
        # process group of their own keeps a terminal's Ctrl-C from interrupting dpkg before the harness gets it.
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
            raise BaseUnavailable(
                _reason(output) or f"exit status {process.returncode}", where=name or Path(command[0]).name
            )
        return output

    def stop(self) -> None:
        self._stopped = True
        for process in list(self._running):
            process.kill()


class Apt:
    """A private apt root for one release: the host's sources, proxies and credentials, nothing else of the host.

    `debs` is the cache of fetched packages: files in it are complete, have apt's names, and are kept.
    """

    def __init__(
        self,
        folder: Path,
        debs: Path,
        *,
        release: str,
        architecture: str,
        isolated: Isolated,
        only: Collection[str] = (),
        past_date: bool = False,
    ) -> None:
        """`only` names the suites of the host to use; if it is empty, all of them. With `past_date`, expired lists are
        accepted; their signatures are checked all the same.
        """
        self.folder = folder
        self.debs = debs
        self.release = release
        self.architecture = architecture
        self.isolated = isolated
        self._only = only
        self._past_date = past_date
        self.dates: dict[str, str] = {}  # suite → date of its InRelease
        self.origins: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._failed: BaseUnavailable | None = None

    @property
    def epoch(self) -> int:
        """Unix time of the release's main suite: the date of what bases are made of."""
        return int(parsedate_to_datetime(self.dates[self.release]).timestamp())

    @property
    def sources(self) -> Path:
        return self.folder / "etc/tare.sources"

    def update(self) -> None:
        """Fetch the package lists, once; a failure is not tried again for the next base. Raises BaseUnavailable."""
        with self._lock:
            if self._failed:
                raise self._failed
            if not self.dates:
                try:
                    self._update()
                except BaseUnavailable as error:
                    error.fix = error.fix or "Check the network and this machine's apt sources."
                    self._failed = error
                    raise

    def _update(self) -> None:
        identity, codename = aptsources.vendor()
        if identity != "debian":
            raise BaseUnavailable(
                f"the packages lane makes Debian bases, but this machine is {identity or 'unknown'}",
                where="apt",
                fix="Use TARE_LANE=upstream with a registry that this machine can reach, or run on Debian.",
            )
        keyrings = (Path(f"/usr/share/keyrings/debian-archive-keyring.{end}") for end in ("pgp", "gpg"))
        keyring = next((path for path in keyrings if path.exists()), None)
        found = aptsources.for_release(aptsources.read(), release=self.release, codename=codename, keyring=keyring)
        if self._only:
            kept = ((source, tuple(suite for suite in source.suites if suite in self._only)) for source in found)
            found = tuple(replace(source, suites=suites) for source, suites in kept if suites)
            if not found:
                raise BaseUnavailable(f"this machine's apt does not accept {' '.join(self._only)}", where="apt")
        for name in ("etc/parts", "lists/partial", "cache/archives/partial", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        self.sources.write_text(aptsources.render(found), encoding="utf-8")
        (self.folder / "etc/acquire.conf").write_text(self._acquire(), encoding="utf-8")
        (self.folder / "etc/apt.conf").write_text(self._configuration(), encoding="utf-8")
        self.run("update", "--error-on=any")
        self.origins = tuple(aptsources.without_credentials(uri) for source in found for uri in source.uris)
        dates: dict[str, str] = {}
        for path in (self.folder / "lists").glob("*Release"):
            head = path.read_text(encoding="utf-8", errors="replace")[:4096]
            fields: dict[str, str] = dict(re.findall(r"^(Suite|Codename|Date): (.+)$", head, re.MULTILINE))
            dates[fields.get("Codename", fields.get("Suite", ""))] = fields["Date"]
        self.dates = dates

    def _acquire(self) -> str:
        """Proxies, time-outs and certificate files the host's apt uses; none of its hooks."""
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        lines = [
            line for line in dump.splitlines() if re.match(r"Acquire::(?!IndexTargets|Changelogs|Languages)", line)
        ]
        options = [*lines, 'Acquire::Languages "none";', 'APT::Sandbox::User "root";']
        options += ['Dir::Etc::netrc "/etc/apt/auth.conf";', 'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";']
        if self._past_date:
            options.append('Acquire::Check-Valid-Until "false";')
        return "\n".join(options) + "\n"

    def _configuration(self) -> str:
        folder = self.folder
        options = {
            "APT::Architecture": self.architecture,
            "APT::Install-Recommends": "false",
            "Dir::Cache": f"{folder}/cache",
            "Dir::Cache::pkgcache": "",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": f"{folder}/etc/parts",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::sourcelist": str(self.sources),
            "Dir::Etc::sourceparts": "/dev/null",
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
        """Exactly these packages, from the cache if it has them. Sorted by name."""
        self.update()
        into.mkdir()
        listed = self.run("download", "--print-uris", *packages, cwd=into)
        wanted: dict[str, str] = {}  # file name → package=version, as apt asks for it
        for name, digest in re.findall(r"^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})", listed, re.MULTILINE):
            kept = self.debs / name
            if kept.exists() and sha256(kept) == digest:
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
        # devices are bound one by one onto a tmpfs: a script that tidies /dev must not reach the /dev of this machine
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
        command: list[str | Path] = ["sh", "-c", script, "apt-get", root, stage, *packages]
        self.isolated.run(command, env={"APT_CONFIG": f"{self.folder}/etc/apt.conf"}, name="apt-get")
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


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _environment() -> dict[str, str]:
    """The only settings of this machine that reach a maintainer script are the proxies that apt reads from the
    environment.

    SOURCE_DATE_EPOCH is not among them: with it Python compiles byte-code that re-reads its source at every
    import, which no installed system has.
    """
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **proxies}


def _reason(output: str) -> str:
    """The sentence of apt's or mmdebstrap's output that gives the reason, otherwise its last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(("E:", "dpkg: error"))), None)
    return first.removeprefix("E: ")[:300] if first else "; ".join(line[:300] for line in lines[-3:])
