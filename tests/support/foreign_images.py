"""Makes images of distributions other than Debian: their databases are written by rpm and by pacman themselves.

    python tests/support/foreign_images.py FOLDER

The packages have names and versions of Debian's packages that are on this machine, and one file each. rpmbuild and
makepkg build them, and rpm and pacman install them into an empty root, whose content becomes FOLDER/NAME.tar: the only
layer of an image. Debian's rpm writes only SQLite, and Debian has no apk. The other databases are of real images and
lie in tests/data: an NDB file of SUSE, a Berkeley DB file of RHEL 8, and the database of Alpine.
Needs root, and Debian's packages rpm, pacman-package-manager, makepkg and libarchive-tools.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAMS = ("rpm", "rpmbuild", "pacman", "makepkg", "bsdtar", "fakeroot", "runuser")
NAMES = ("rpm-sqlite", "rpm-ndb", "rpm-bdb", "apk", "pacman")
_DATA = Path(__file__).parents[1] / "data"
_NDB = "usr/lib/sysimage/rpm/Packages.db"
_BERKELEY = "var/lib/rpm/Packages"
_SYSTEMS = {"rpm-sqlite": "rhel", "rpm-ndb": "sles", "rpm-bdb": "rhel", "apk": "alpine", "pacman": "arch"}
_PACKAGES = 40
_SHARE_OF_PACMAN = 5  # one in five: makepkg takes a second for each
_MAKER = "nobody"  # makepkg refuses root

_SPEC = """Name: everything
Version: 1
Release: 1
Summary: made for a comparison
License: none
BuildArch: noarch
%description
none
{packages}
%install
{install}
{files}
"""
_SUBPACKAGE = """%package -n {name}
Summary: none
Version: {version}
Release: {release}
{epoch}
%description -n {name}
none
"""
_PKGBUILD = """pkgbase=everything
pkgname=({names})
pkgver={version}
pkgrel=2
epoch={epoch}
arch=(any)
{functions}
"""


def missing() -> tuple[str, ...]:
    """Programs that are not on this machine."""
    return tuple(name for name in PROGRAMS if not shutil.which(name))


def debian_packages(count: int) -> Sequence[tuple[str, str, str, str]]:
    """Name, epoch, version and release of installed packages, those with an epoch first."""
    form = "${Package} ${Version}\n"
    lines = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in lines.splitlines():
        name, _, version = line.partition(" ")
        if match := re.fullmatch(r"(?:(\d+):)?([\w.+~]+)(?:-([\w.+~]+))?", version):
            found[name] = (name, match[1] or "", match[2], match[3] or "1")
    return sorted(found.values(), key=lambda item: (not item[1], item[0]))[:count]


def make(folder: Path, count: int = _PACKAGES) -> Mapping[str, Path]:
    """The layers by the names of the images."""
    layers = {name: folder / f"{name}.tar" for name in NAMES}
    # not in TMPDIR: makepkg refuses to run as root, and another user may not be allowed to enter that folder
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        work = Path(place)
        work.chmod(0o755)
        for name, root in _roots(work, debian_packages(count)).items():
            _run("tar", "-C", root, "-cf", layers[name], ".")
    return layers


def rpm_list(root: Path) -> frozenset[str]:
    """What `rpm -qa` lists; what it said in its image of an NDB file, which Debian's rpm cannot read."""
    if (root / _NDB).is_file():
        return frozenset((_DATA / "rpm/suse-15.txt").read_text().splitlines())
    database = root / "var/lib/rpm"
    if not database.is_dir():
        return frozenset()
    backend = "bdb_ro" if (root / _BERKELEY).is_file() else "sqlite"
    form = "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n"
    command = ("rpm", "--dbpath", database, "--define", f"_db_backend {backend}", "-qa", "--qf", form)
    return frozenset(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def pacman_list(root: Path) -> frozenset[str]:
    """What `pacman -Q` lists: names and versions."""
    database = root / "var/lib/pacman"
    if not database.is_dir():
        return frozenset()
    command = ("pacman", "--config", "/dev/null", "--root", root, "--dbpath", database, "-Q")
    return frozenset(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def _roots(work: Path, packages: Sequence[tuple[str, str, str, str]]) -> Mapping[str, Path]:
    roots = {name: work / name for name in NAMES}
    built = _rpms(work / "rpms", packages)
    root = roots["rpm-sqlite"]
    (root / "var/lib/rpm").mkdir(parents=True)
    _run("rpm", "--root", root, "--dbpath", "/var/lib/rpm", "-i", "--nodeps", "--nosignature", *built)
    samples = {
        roots["rpm-ndb"] / _NDB: lzma.decompress((_DATA / "rpm/suse-15.Packages.db.xz").read_bytes()),
        roots["rpm-bdb"] / _BERKELEY: gzip.decompress((_DATA / "rpm/rhel-8.Packages.gz").read_bytes()),
        roots["apk"] / "lib/apk/db/installed": (_DATA / "apk/installed").read_bytes(),
    }
    for path, data in samples.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    root = roots["pacman"]
    (root / "var/lib/pacman").mkdir(parents=True)
    archives = _pacman_packages(work / "pacman-build", packages[: len(packages) // _SHARE_OF_PACMAN])
    settings = work / "pacman.conf"
    settings.write_text("[options]\nSigLevel = Never\nArchitecture = auto\n")
    _run("pacman", "--config", settings, "--root", root, "--dbpath", root / "var/lib/pacman", "--noconfirm",
         "--noprogressbar", "-Udd", *archives)  # fmt: skip
    for name, root in roots.items():
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/os-release").write_text(f"ID={_SYSTEMS[name]}\n")
    return roots


def _rpms(folder: Path, packages: Sequence[tuple[str, str, str, str]]) -> Sequence[Path]:
    folder.mkdir()
    spec = folder / "everything.spec"
    made = "".join(
        _SUBPACKAGE.format(name=name, version=version, release=release, epoch=f"Epoch: {epoch}" if epoch else "")
        for name, epoch, version, release in packages
    )
    install = "\n".join(
        f"mkdir -p %{{buildroot}}/opt/{name}; echo {name} > %{{buildroot}}/opt/{name}/README" for name, *_ in packages
    )
    files = "\n".join(f"%files -n {name}\n/opt/{name}/README" for name, *_ in packages)
    spec.write_text(_SPEC.format(packages=made, install=install, files=files))
    _run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}", spec)
    return sorted(folder.glob("RPMS/noarch/*.rpm"))


def _pacman_packages(folder: Path, packages: Sequence[tuple[str, str, str, str]]) -> Sequence[Path]:
    """makepkg gives all packages of one file the same version, so that there is one file for each package."""
    folder.mkdir()
    found = []
    for epoch in ("0", "1"):
        names = [name for name, *_ in packages[int(epoch) :: 2]]
        place = folder / epoch
        place.mkdir()
        functions = "\n".join(
            f"package_{name}() {{ install -Dm644 /etc/hostname $pkgdir/opt/{name}/README; }}" for name in names
        )
        text = _PKGBUILD.format(names=" ".join(names), version=f"{epoch}.4+git7", epoch=epoch, functions=functions)
        (place / "PKGBUILD").write_text(text)
        _run("chown", "-R", _MAKER, place)
        environment = ("env", f"HOME={place}", "PKGEXT=.pkg.tar.gz", f"PKGDEST={place}", f"BUILDDIR={place}")
        _run("runuser", "-u", _MAKER, "--", *environment, "makepkg", "-d", "--nocheck", cwd=place)
        found += sorted(place.glob("*.pkg.tar.gz"))
    return found


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    # rpm and fakeroot close every file descriptor that they might have, one by one
    limited = ("prlimit", "--nofile=1024", *command)
    done = subprocess.run(limited, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


if __name__ == "__main__":
    if lacking := missing():
        raise SystemExit(f"not on this machine: {', '.join(lacking)}. Install them with apt-get.")
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    print(*(f"{name}={path}" for name, path in make(target).items()), sep="\n")
