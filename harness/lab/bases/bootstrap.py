"""Root file systems from distribution packages: mmdebstrap, and installs on top of a parent.

Their content equals that of the official images: the tweaks are those of debuerreotype, which makes Debian's images
(https://github.com/debuerreotype/debuerreotype, debuerreotype-minimizing-config and -slimify).
Everything here needs root and writes only below the folders it is given.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from harness.lab.apt.root import Apt, sha256
from harness.lab.bases.truststore import BUNDLE, TRUSTSTORE, truststore

# Debian's own public name is what its official images carry; no mirror of this machine may stay in an image.
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
_SLIM_INCLUDED = (
    "doc/*/copyright",
    "locale/all_languages",
    "locale/currency/*",
    "locale/l10n/*",
    "locale/languages",
    "locale/locale.alias",
)

# What a bootstrap leaves behind and no official image has. Folders in the second list are emptied and stay.
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


Packages = dict[str, tuple[str, str]]  # name → (version, architecture)


def full(root: Path, apt: Apt, packages: Sequence[str], stage: Path) -> Packages:
    """Debian's minbase with the tweaks of its official image, in the new folder `root`; returns the packages in it."""
    apt.update()
    apt.offer(stage)
    # the cache is bound in, not copied; the mount is undone before mmdebstrap empties the folder
    archives = '"$1/var/cache/apt/archives"'
    command = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"),
        f"--architectures={apt.architecture}",
        "--skip=output/dev,download/empty,essential/unlink",
        f"--aptopt={apt.folder}/etc/acquire.conf",
        "--dpkgopt=force-unsafe-io",
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
    return installed(root)


def install(root: Path, apt: Apt, packages: Sequence[str], stage: Path) -> Packages:
    """Install packages without Recommends into the system at `root`; returns what was added or upgraded."""
    before = installed(root)
    apt.install(root, packages, stage)
    store = root / TRUSTSTORE
    if store.exists():  # ca-certificates-java dates its entries with the day of the installation
        store.write_bytes(truststore((root / BUNDLE).read_text(encoding="ascii"), at=apt.epoch))
    tidy(root)
    return {name: found for name, found in installed(root).items() if before.get(name) != found}


def slim(root: Path) -> None:
    """Take from a full system what the official slim images leave out, and have dpkg leave it out from then on."""
    share = root / "usr/share"
    lines = [f"path-exclude /usr/share/{path}/*\n" for path in _SLIM_EXCLUDED]
    lines += [f"path-include /usr/share/{path}\n" for path in _SLIM_INCLUDED]
    _write(root, "etc/dpkg/dpkg.cfg.d/docker", "".join(lines))
    included = {path for pattern in _SLIM_INCLUDED for path in share.glob(pattern)}
    for name in _SLIM_EXCLUDED:
        for path in sorted((share / name).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in included:
                path.unlink()
    for section in range(1, 10):  # update-alternatives fails if a manual page's folder is missing
        (share / f"man/man{section}").mkdir(parents=True, exist_ok=True)


def tidy(root: Path) -> None:
    """Remove what the making of a system leaves in it: logs, caches, locks, and the names of this machine."""
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


def installed(root: Path) -> Packages:
    """Packages of the system at `root`."""
    found = {}
    for stanza in (root / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = (fields["Version"], fields["Architecture"])
    return found


def locked(packages: Packages, debs: Path) -> list[dict[str, str]]:
    """The lock of a base: each package with version and SHA-256 of its file, sorted by name."""
    lock = []
    for name, (version, architecture) in sorted(packages.items()):
        deb = debs / f"{name}_{quote(version, safe='+~.-').replace('%3A', '%3a')}_{architecture}.deb"
        lock.append({"package": name, "version": version, "sha256": sha256(deb)})
    return lock


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
