"""The databases of packages that distributions and conda keep, with the paths of each package.

Formats: deb-control(5) and dpkg's status; APKINDEX of Alpine's apk (installed database); chisel's manifest.wall
(https://documentation.ubuntu.com/chisel/en/latest/reference/manifest/); pacman's local database (libalpm,
lib/libalpm/be_local.c); conda's conda-meta/NAME.json; os-release(5). rpm's is in harness/surface/rpm.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.image.compression import inflate
from harness.image.tar import LayerError
from harness.surface import rpm
from harness.surface.finding import Ecosystem, Listing, Package, Unreadable

CHISEL = "var/lib/chisel/manifest.wall"
_PLACES = ("var/lib/", "usr/lib/sysimage/", "usr/share/rpm/")  # asked first: an image has tens of thousands of files
_PACMAN = "var/lib/pacman/local/"
_MAX_WALL = 64 << 20  # B of a manifest.wall after inflation
_DPKG_FIELD = re.compile(rb"^(Package|Version|Architecture|Source|Status):[ \t]*(.*)$", re.MULTILINE)
_HEXADECIMAL = frozenset("0123456789abcdef")
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")


def dpkg(text: bytes, *, installed_only: bool) -> Iterator[Package]:
    """The packages of dpkg's status. For a file of status.d, which has no state, set `installed_only` to False."""
    for stanza in text.split(b"\n\n"):
        fields = {name: value.decode("utf-8", "replace").strip() for name, value in _DPKG_FIELD.findall(stanza)}
        name, version = fields.get(b"Package", ""), fields.get(b"Version", "")
        if not name or not version or (installed_only and not fields.get(b"Status", "").endswith(" installed")):
            continue
        source = _SOURCE.match(fields.get(b"Source", ""))
        yield Package(
            ecosystem=Ecosystem.DEB,
            name=name,
            version=version,
            architecture=fields.get(b"Architecture", ""),
            source=(source[1] or "") if source else "",
            source_version=(source[2] or "") if source else "",
        )


def checksums(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Paths and MD5s of a package's md5sums."""
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        digest, _, path = line.partition("  ")
        if len(digest) == 32 and set(digest) <= _HEXADECIMAL:
            yield path.strip("/"), bytes.fromhex(digest)


def apk(text: bytes) -> Iterator[Listing]:
    """The packages of apk's installed database, each with its paths."""
    for stanza in text.decode("utf-8", "replace").split("\n\n"):
        fields: dict[str, str] = {}
        paths = []
        folder = ""
        for line in stanza.splitlines():
            key, _, value = line.partition(":")
            if key == "F":
                folder = value
            elif key == "R":
                paths.append(f"{folder}/{value}" if folder else value)
            else:
                fields.setdefault(key, value)
        if "P" in fields and "V" in fields:
            package = Package(
                ecosystem=Ecosystem.APK,
                name=fields["P"],
                version=fields["V"],
                architecture=fields.get("A", ""),
                source=fields.get("o", ""),
            )
            yield Listing(package, tuple(paths))


def chisel(data: bytes) -> tuple[Listing, ...]:
    """The packages of a chiselled Ubuntu. If a path belongs to slices of several packages, the first package counts."""
    text = bytearray()
    try:
        for piece in inflate(data[:4], iter((memoryview(data),))):
            text += piece
            if len(text) > _MAX_WALL:
                raise Unreadable(f"more than {_MAX_WALL >> 20} MiB after inflation")
        packages: dict[str, Package] = {}
        paths: dict[str, list[str]] = {}
        for line in text.splitlines():
            item = json.loads(line)
            if item.get("kind") == "package":
                name, version = str(item["name"]), str(item["version"])
                packages[name] = Package(
                    ecosystem=Ecosystem.DEB, name=name, version=version, architecture=str(item.get("arch", ""))
                )
            elif item.get("kind") == "path" and item.get("slices"):
                owner = str(item["slices"][0]).partition("_")[0]
                paths.setdefault(owner, []).append(str(item["path"]).strip("/"))
    except LayerError as error:  # broken, or no module can read it
        raise Unreadable(error.what) from None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise Unreadable("a broken chisel manifest") from None
    return tuple(Listing(package, tuple(paths.get(name, ()))) for name, package in packages.items())


def pacman(text: bytes) -> Iterator[Package]:
    """The package of a `desc`: names between per cent signs, each followed by its lines."""
    fields = {}
    for block in text.decode("utf-8", "replace").split("\n\n"):
        head, _, value = block.strip("\n").partition("\n")
        fields[head] = value
    if fields.get("%NAME%") and fields.get("%VERSION%"):
        base = fields.get("%BASE%", "")
        yield Package(
            ecosystem=Ecosystem.PACMAN,
            name=fields["%NAME%"],
            version=fields["%VERSION%"],
            architecture=fields.get("%ARCH%", ""),
            source=base if base != fields["%NAME%"] else "",
        )


def pacman_paths(text: bytes) -> tuple[str, ...]:
    """The paths in the `files` beside a package's `desc`."""
    _, _, rest = text.decode("utf-8", "surrogateescape").partition("%FILES%\n")
    return tuple(line for line in rest.partition("\n\n")[0].splitlines() if not line.endswith("/"))


def conda(path: str, text: bytes) -> tuple[Listing, ...]:
    """The package of an environment's conda-meta/NAME.json; the paths of its files start at the environment's
    folder.
    """
    try:
        document = json.loads(text)
        name, version, build = (str(document[key]) for key in ("name", "version", "build"))
        files = [str(file) for file in document.get("files") or ()]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise Unreadable("a broken conda record") from None
    folder = path.rpartition("/conda-meta/")[0]
    package = Package(ecosystem=Ecosystem.CONDA, name=name, version=version, source_version=build)
    return (Listing(package, tuple(f"{folder}/{file}" if folder else file for file in files)),)


def is_database(path: str) -> bool:
    """Whether a file is a whole database that is read alone, whatever its size."""
    if path.endswith(".json"):
        return _is_conda(path)
    return path.startswith(_PLACES) and (path in rpm.PATHS or path in (rpm.MANIFEST, CHISEL))


def is_pacman(path: str) -> bool:
    """Whether a file belongs to pacman's list of installed packages."""
    return path.startswith(_PACMAN) and path.endswith(("/desc", "/files"))


def listings(path: str, data: bytes) -> tuple[Listing, ...]:
    """The packages of the database at `path`. Raises Unreadable."""
    if path in rpm.PATHS:
        return rpm.installed(data)
    if path == rpm.MANIFEST:
        return tuple(Listing(package, ()) for package in rpm.manifest(data))
    return chisel(data) if path == CHISEL else conda(path, data)


def _is_conda(path: str) -> bool:
    return path.startswith("conda-meta/") or "/conda-meta/" in path


def os_release(text: bytes) -> dict[str, str]:
    """The fields of an os-release(5)."""
    pairs = (line.partition("=") for line in text.decode("utf-8", "replace").splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if value}
