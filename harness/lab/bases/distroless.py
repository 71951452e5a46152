"""Root file systems in the manner of distroless: packages unpacked, no scripts run, no package manager.

Lists and files are those of https://github.com/GoogleContainerTools/distroless (debian13).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from harness.lab.apt.root import Apt
from harness.lab.bases.bootstrap import Packages
from harness.lab.bases.truststore import BUNDLE, TRUSTSTORE, truststore

_PASSWD = """\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
"""
_GROUP = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
_NSSWITCH = """\
passwd:         compat
group:          compat
shadow:         compat
hosts:          files dns
networks:       files
protocols:      db files
services:       db files
ethers:         db files
rpc:            db files
netgroup:       nis
"""


def make(
    root: Path,
    apt: Apt,
    packages: Sequence[str],
    work: Path,
    *,
    options: Mapping[str, object],
    bottom: bool,
) -> Packages:
    """Unpack `packages` into the folder `root` and add what no package contains; returns the packages.

    `bottom` is for a root without another root below it: accounts, CA bundle, folders. Options, all from bases.toml:
    links {path: target} with {architecture} in the target, pick {package: [paths]} to take only parts of a
    package, ldconfig (a cache of shared libraries), truststore (Java's copy of the CA bundle).
    """
    debs = apt.download(packages, work / "debs")
    # base-files brings the links /bin, /lib …; a package unpacked before it would make folders there
    for deb in sorted(debs, key=lambda deb: (not deb.name.startswith("base-files_"), deb.name)):
        _unpack(deb, root)
        _record(deb, root)
    picked = _mapping(options.get("pick"))
    if bottom:
        picked = {**picked, "ca-certificates": ["usr/share/ca-certificates"]}
    for package, paths in picked.items():
        parts = work / f"pick-{package}"
        more = apt.download([package], work / f"debs-{package}")
        _unpack(more[0], parts)
        debs += more
        if bottom and package == "ca-certificates":
            _bottom(root, parts)
            continue
        _record(more[0], root)
        for path in map(str, paths) if isinstance(paths, list) else ():
            shutil.copytree(parts / path, root / path, symlinks=True, dirs_exist_ok=True)
    for path, target in _mapping(options.get("links")).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(str(target).format(architecture=apt.architecture))
    if options.get("truststore"):
        store = root / TRUSTSTORE
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_bytes(truststore((root / BUNDLE).read_text(encoding="ascii"), at=apt.epoch))
    if options.get("ldconfig"):
        apt.isolated.run(["ldconfig", "-X", "-r", root])
        shutil.rmtree(root / "var/cache/ldconfig", ignore_errors=True)
    return {name: (unquote(version), kind) for name, version, kind in (deb.stem.rsplit("_", 2) for deb in debs)}


def _unpack(deb: Path, root: Path) -> None:
    root.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--extract", deb, root], check=True, capture_output=True)


def _record(deb: Path, root: Path) -> None:
    """What scanners read if there is no package database: control file and checksums under status.d."""
    folder = root / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True, exist_ok=True)
    name = deb.name.partition("_")[0]
    for member, target in (("control", folder / name), ("md5sums", folder / f"{name}.md5sums")):
        text = subprocess.run(["dpkg-deb", "--info", deb, member], check=True, capture_output=True).stdout
        target.write_bytes(text)


def _bottom(root: Path, certificates: Path) -> None:
    for path, mode in (("root", 0o700), ("home/nonroot", 0o700), ("tmp", 0o1777), ("etc/ssl/certs", 0o755)):
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path).chmod(mode)
    os.chown(root / "home/nonroot", 65532, 65532)
    for name, text in (("etc/passwd", _PASSWD), ("etc/group", _GROUP), ("etc/nsswitch.conf", _NSSWITCH)):
        (root / name).write_text(text, encoding="ascii")
        (root / name).chmod(0o644)
    files = sorted((certificates / "usr/share/ca-certificates").rglob("*.crt"))
    (root / BUNDLE).write_bytes(b"".join(path.read_bytes().rstrip(b"\n") + b"\n" for path in files))
    (root / BUNDLE).chmod(0o644)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
