"""Whose file it is: images without a database of packages, traced by content, by path and by what files say."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.image.read import read_image, read_layer
from harness.image.tree import Tree
from harness.lab.origins import CellOrigins
from harness.store.documents import CYCLONEDX, SPDX
from harness.surface.examine import Examiner
from harness.surface.finding import Ecosystem, Package
from harness.surface.inspection import Inspection, inspection_of
from harness.surface.inventory import list_files
from harness.surface.origins import Documents, FileLists, Hashing, ListedFile, Wanted, canonical
from harness.surface.ownership import ComponentEvidence
from support.images import File, Layer, elf, layer, pieces, saved

LIBC = File(elf({".text": b"libc" * 100}), 0o755)
SSL = File(elf({".text": b"ssl" * 100}))
SQLITE = File(elf({".text": b"sqlite" * 100}))
SYSTEM = {"ID": "debian", "VERSION_ID": "13", "VERSION_CODENAME": "trixie"}


def deb(name: str, version: str = "1") -> Package:
    return Package(ecosystem=Ecosystem.DEB, name=name, version=version, architecture="amd64")


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[FileLists]:
    """A base with a merged /usr, and one available package."""
    lists = FileLists(tmp_path / "files.sqlite")
    base = [
        ListedFile(md5(LIBC.content), "lib/x86_64-linux-gnu/libc.so.6", deb("libc6", "2.41-12")),
        ListedFile(md5(SSL.content), "usr/lib/x86_64-linux-gnu/libssl.so.3", deb("libssl3t64", "3.5.1-1")),
        ListedFile(md5(SQLITE.content), "usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6", deb("libsqlite3-0")),
        ListedFile(md5(b"GPL"), "usr/share/common-licenses/LICENSE", deb("base-files")),
        ListedFile(md5(b"import os\n" * 200), "usr/lib/python3.13/socket.py", deb("libpython3.13-stdlib")),
        ListedFile(md5(b"made"), "usr/local/bin/made", None),
        ListedFile(None, "usr/sbin/update-ca-certificates", deb("ca-certificates")),
    ]
    lists.add("sha256:base", "base sdk-python", SYSTEM, base)
    zones = [ListedFile(md5(b"TZif"), "usr/share/zoneinfo/Europe/Berlin", deb("tzdata"))]
    lists.add("tzdata.deb", "tzdata_1_amd64.deb", {}, zones)
    yield lists
    lists.close()


def inspection(lists: FileLists | None, *layers: Layer, app: Iterable[bytes] = (), base: int = 0) -> Inspection:
    tars = [layer(files) for files in layers]

    def sums(wanted: Mapping[int, frozenset[str]]) -> dict[tuple[int, str], bytes]:
        found = {}
        for number, paths in wanted.items():
            look = Wanted(paths)
            read_layer(pieces(tars[number]), examine=look)
            found |= {(number, path): digest for path, digest in look.found.items()}
        return found

    contents = read_image(pieces(saved(tars)), examine=Examiner())
    own = {md5(content): "main.py" for content in app}
    origins = CellOrigins(lists, frozenset(("base sdk-python",)), own, sums) if lists else None
    return inspection_of(contents, name="app-scratch", image="sha256:0", packed=[], base=base, origins=origins)


def traced(found: Inspection) -> dict[str, tuple[str, ComponentEvidence]]:
    items = found.inventory.packages
    return {item.package.name: (item.package.version, item.evidence) for item in items if item.is_traced}


SCRATCH: Layer = {
    "usr/lib/x86_64-linux-gnu/libc.so.6": LIBC,  # copied from /lib, its path in the package
    "usr/lib/x86_64-linux-gnu/libssl.so.3": File(elf({".text": b"stripped"})),
    "opt/lib/libsqlite3.so.0": SQLITE,  # under the name that programs load it by
    "usr/share/zoneinfo/Europe/Berlin": b"TZif",
    "etc/ssl/certs/ca-certificates.crt": b"-----BEGIN CERTIFICATE-----\n",
    "app/main.py": b"print(1)\n",
    "app/LICENSE": b"GPL",
    "app/notes": b"12345",
}


def test_files_without_a_database_are_traced_to_their_packages(lists: FileLists) -> None:
    found = inspection(lists, SCRATCH, app=[b"print(1)\n"])
    assert traced(found) == {
        "libc6": ("2.41-12", ComponentEvidence.CONTENT),
        "libssl3t64": ("3.5.1-1", ComponentEvidence.PATH),
        "libsqlite3-0": ("1", ComponentEvidence.CONTENT),
        "tzdata": ("1", ComponentEvidence.CONTENT),
        "ca-certificates": ("1", ComponentEvidence.PATH),
    }
    counts = found.inventory.counts()
    assert (counts["components"], counts["hidden"], counts["packages"]) == (5, 5, 0)
    assert found.inventory.explained == {"the app's folder": len(b"print(1)\n")}
    assert counts["unexplained"] == len(b"GPL") + len(b"12345")  # a licence is no component
    assert found.inventory.system == SYSTEM


def test_bills_of_materials_hold_what_the_image_does_not_declare(lists: FileLists) -> None:
    documents = inspection(lists, SCRATCH).documents()
    components = {one["name"]: one for one in json.loads(documents[CYCLONEDX])["components"]}
    libc = components["libc6"]
    assert libc["purl"] == "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13"
    (identity,) = (
        libc["evidence"]["identity"]
        if isinstance(libc["evidence"]["identity"], list)
        else [libc["evidence"]["identity"]]
    )
    assert identity["methods"][0]["technique"] == "hash-comparison"
    assert "base sdk-python: lib/x86_64-linux-gnu/libc.so.6" in identity["methods"][0]["value"]
    infos = {one["name"]: one.get("sourceInfo", "") for one in json.loads(documents[SPDX])["packages"]}
    assert "known by content: base sdk-python" in infos["libc6"]


def test_a_library_beside_a_database_is_found_and_is_hidden(lists: FileLists) -> None:
    status = b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n"
    base: Layer = {
        "var/lib/dpkg/status": status,
        "var/lib/dpkg/info/libc6.list": b"/lib/x86_64-linux-gnu/libc.so.6\n",
        "lib/x86_64-linux-gnu/libc.so.6": LIBC,
        "etc/ld.so.cache": b"written",
    }
    found = inspection(lists, base, {"usr/local/lib/libssl.so.3": SSL, "usr/local/lib/libc.so.6": LIBC}, base=1)
    assert traced(found) == {"libssl3t64": ("3.5.1-1", ComponentEvidence.CONTENT)}
    assert {item.package.name: item.files for item in found.inventory.packages} == {"libc6": 2, "libssl3t64": 1}
    assert found.inventory.counts()["hidden"] == 1


def test_byte_code_belongs_to_what_its_source_belongs_to(lists: FileLists) -> None:
    found = inspection(
        lists,
        {
            "usr/lib/python3.13/socket.py": b"import os\n" * 200,
            "usr/lib/python3.13/__pycache__/socket.cpython-313.pyc": b"code",
            "app/main.py": b"print(1)\n",
            "app/__pycache__/main.cpython-313.pyc": b"12",
        },
        app=[b"print(1)\n"],
    )
    assert {item.package.name: item.files for item in found.inventory.packages} == {"libpython3.13-stdlib": 2}
    assert found.inventory.counts()["unexplained"] == 0


def test_a_file_of_no_package_counts_only_of_a_base_of_the_build(lists: FileLists) -> None:
    lists.add("sha256:other", "base sdk-go", SYSTEM, [ListedFile(md5(b"other"), "usr/local/bin/other", None)])
    found = inspection(lists, {"usr/local/bin/made": b"made", "usr/local/bin/other": b"other"}).inventory
    assert found.explained == {"base sdk-python, of no package there": 4}
    assert found.unexplained == len(b"other")


# ---- without lists: what files say of themselves


def noted(kind: int, content: bytes, owner: bytes) -> bytes:
    owner += b"\0"
    return (
        struct.pack("<3I", len(owner), len(content), kind)
        + owner.ljust(-(-len(owner) // 4) * 4, b"\0")
        + content.ljust(-(-len(content) // 4) * 4, b"\0")
    )


def test_a_program_declares_its_package_in_a_note() -> None:
    said = json.dumps({"type": "rpm", "name": "curl", "version": "8.9.1-2.fc41", "architecture": "x86_64"}).encode()
    program = elf({".note.package": noted(0xCAFE1A7E, said, b"FDO")})
    found = inspection(None, {"usr/bin/curl": File(program, 0o755)})
    assert traced(found) == {"curl": ("8.9.1-2.fc41", ComponentEvidence.NOTE)}
    assert found.inventory.counts()["hidden"] == 0


@pytest.mark.parametrize(
    ("path", "content", "name", "version"),
    [
        ("lib/libcrypto.so.3", b"\0OpenSSL 3.0.15 3 Sep 2024\0", "openssl", "3.0.15"),
        ("lib/libc.so.6", b"GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\n", "glibc", "2.41"),
        ("lib/libexpat.so.1.10.2", b"\0expat_2.7.1\0", "expat", "2.7.1"),
        ("lib/libz.so.1.3.1", b" deflate 1.3.1 Copyright 1995-2024", "zlib", "1.3.1"),
        ("usr/local/bin/python3.13", b"\0003.13.5\0", "python", "3.13.5"),
        ("usr/bin/node", b"node/v20.19.2\0OpenSSL 3.0.16 11 Feb", "node", "20.19.2"),
        ("bin/busybox", b"BusyBox v1.37.0 (2025)", "busybox", "1.37.0"),
    ],
)
def test_a_program_carries_its_version(path: str, content: bytes, name: str, version: str) -> None:
    found = inspection(None, {path: File(elf({".rodata": content}), 0o755)})
    assert traced(found) == {name: (version, ComponentEvidence.STRING)}


def test_a_library_without_more_is_known_by_the_name_it_is_loaded_by() -> None:
    names = b"\0libfoo.so.2\0"
    program = elf({".dynamic": struct.pack("<4Q", 14, 1, 0, 0), ".dynstr": names})
    found = inspection(None, {"opt/libfoo.so.2.1": File(program)})
    assert traced(found) == {"libfoo.so.2": ("", ComponentEvidence.SONAME)}
    assert found.documents()


def test_the_folder_of_a_java_runtime_belongs_to_it() -> None:
    release = b'IMPLEMENTOR="Debian"\nJAVA_VERSION="21.0.8"\nMODULES="java.base"\n'
    found = inspection(None, {"opt/java/release": release, "opt/java/lib/modules": b"m" * 9, "opt/other": b"12"})
    assert traced(found) == {"openjdk": ("21.0.8", ComponentEvidence.RELEASE)}
    assert found.inventory.counts()["unexplained"] == 2


def test_a_stripped_program_does_not_say() -> None:
    found = inspection(None, {"service": File(elf({".text": b"x" * 50}), 0o755)}).inventory
    assert found.unlisted == {"service": "unknown"}
    assert (found.counts()["components"], found.unexplained > 0) == (0, True)


def test_what_cannot_be_read_leaves_components_unmeasured() -> None:
    found = inspection(None, {"app/x.jar": b"PK\x03\x04broken", "usr/bin/x": b"1"}).inventory
    assert list(found.unread) == ["app/x.jar"]
    assert not {"components", "hidden", "unexplained", "libraries"} & found.counts().keys()
    assert found.counts()["packages"] == 0


# ---- lists of bases


@pytest.mark.parametrize("examine", [Hashing, Documents])
def test_a_base_is_listed_with_the_packages_its_database_gives(examine: type[Hashing | Documents]) -> None:
    files: Layer = {
        "lib": File(link="usr/lib"),
        "usr/lib/libc.so.6": LIBC,
        "usr/lib/os-release": b"ID=debian\nVERSION_ID=13\n",
        "var/lib/dpkg/status": b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n",
        "var/lib/dpkg/info/libc6.list": b"/lib/libc.so.6\n",
        "var/lib/dpkg/info/libc6.md5sums": md5(LIBC.content).hex().encode() + b"  lib/libc.so.6\n",
    }
    contents = read_image(pieces(saved([layer(files)])), examine=examine())
    system, listed = list_files(contents, Tree(contents))
    assert system["ID"] == "debian"
    assert ListedFile(md5(LIBC.content), "usr/lib/libc.so.6", deb("libc6", "2")) in listed


def test_a_list_is_kept_once_and_outlives_its_process(tmp_path: Path) -> None:
    for number in range(2):
        lists = FileLists(tmp_path / "files.sqlite")
        lists.add("one", "base one", {}, [ListedFile(b"m" * 16, f"bin/{number}", deb("x"))])
        assert lists.names() == {"one"}
        assert [origin.path for origin in lists.by_content(b"m" * 16)] == ["bin/0"]
        lists.close()


@pytest.mark.parametrize(
    ("path", "same"),
    [("usr/lib/x", "lib/x"), ("lib/x", "lib/x"), ("usr/share/x", "usr/share/x"), ("opt/usr/lib/x", "opt/usr/lib/x")],
)
def test_a_merged_usr_has_one_path(path: str, same: str) -> None:
    assert canonical(path) == same
