"""Every world of packages: what an image of each lists, by the right values that independent programs gave."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
from pathlib import Path

import pytest
import zstandard

from harness.surface import rpm
from harness.surface.finding import Ecosystem, Unreadable
from harness.surface.inspection import Inspection, inspect
from support import foreign_images
from support.images import KEY, File, Layer, elf, go_program, jar, layer, pieces, pom, saved

DATA = Path(__file__).parents[1] / "data" / "rpm"


def inspection(*layers: Layer) -> Inspection:
    image = saved([layer(files) for files in layers])
    return inspect(pieces(image), name="app-x", image="sha256:" + "a" * 64)


def listed(*layers: Layer) -> dict[str, str]:
    """Name and version of every package of an image, with a group in front."""
    found = inspection(*layers).inventory.packages
    return {"/".join(filter(None, (one.package.group, one.package.name))): one.package.version for one in found}


# ---- distributions


def test_dpkg_lists_of_a_distroless_image_may_lie_in_info() -> None:
    metadata = b"Name: thing\nVersion: 1.0\n\n" + b"x" * 623
    path = "usr/lib/python3/dist-packages/thing-1.0.dist-info/METADATA"
    found = inspection(
        {
            "var/lib/dpkg/status.d/python3-thing": b"Package: python3-thing\nVersion: 1.0-1\nArchitecture: all\n",
            "var/lib/dpkg/info/python3-thing.md5sums": b"d41d8cd98f00b204e9800998ecf8427e  " + path.encode() + b"\n",
            path: metadata,
        }
    ).inventory
    assert (found.counts()["packages"], found.counts()["libraries"], found.packages[0].size) == (1, 0, 649)


def test_packages_of_two_architectures_have_their_own_files() -> None:
    stanza = "Package: libz1\nStatus: install ok installed\nVersion: 1\nArchitecture: %s\nMulti-Arch: same\n\n"
    found = inspection(
        {
            "var/lib/dpkg/status": (stanza % "amd64" + stanza % "i386").encode(),
            "var/lib/dpkg/info/libz1:amd64.list": b"/usr/lib/x86_64-linux-gnu/libz.so.1\n",
            "var/lib/dpkg/info/libz1:i386.list": b"/usr/lib/i386-linux-gnu/libz.so.1\n",
            "usr/lib/x86_64-linux-gnu/libz.so.1": b"z" * 10,
            "usr/lib/i386-linux-gnu/libz.so.1": b"z" * 20,
        }
    ).inventory.packages
    assert {one.package.architecture: one.size for one in found} == {"amd64": 10, "i386": 20}


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages", "Packages-512"])
def test_rpm_databases_that_rpm_and_berkeley_db_wrote(name: str) -> None:
    """rpm -qa said: openssl-libs 1:3.0.7-27.el9 noarch, bash 5.1.8-27.el9 noarch. A small page holds no header."""
    data = gzip.decompress((DATA / f"{name}.gz").read_bytes())
    path = f"var/lib/rpm/{name.removesuffix('-512')}"
    found = inspection({path: data, "usr/lib64/libssl.so.3": b"lib\n"}).inventory
    assert {(one.package.name, one.package.version, one.size) for one in found.packages} == {
        ("openssl-libs", "1:3.0.7-27.el9", 4),
        ("bash", "5.1.8-27.el9", 0),
    }
    assert found.counts()["packages"] == 2


def test_rpm_in_a_file_of_suse() -> None:
    """The list is what rpm -qa says in that image; rpm of Debian cannot read NDB."""
    data = lzma.decompress((DATA / "suse-15.Packages.db.xz").read_bytes())
    found = inspection({"usr/lib/sysimage/rpm/Packages.db": data, "bin/bash": b"bash"}).inventory
    expected = (DATA / "suse-15.txt").read_text().splitlines()
    assert sorted(f"{one.package.name} {one.package.version}" for one in found.packages) == expected
    assert [(one.package.name, one.files) for one in found.packages if one.files] == [("bash", 1)]
    assert found.counts()["packages"] == len(expected) == 35


def test_rpm_in_a_file_of_red_hat_8() -> None:
    data = gzip.decompress((DATA / "rhel-8.Packages.gz").read_bytes())
    assert listed({"var/lib/rpm/Packages": data}) == {"libuuid": "2.32.1-42.el8_8"}


@pytest.mark.parametrize("place", ["lib", "usr/lib"])
def test_alpine_lists_its_packages_in_either_place(place: str) -> None:
    """The list is what apk info -v says."""
    data = (DATA.parent / "apk" / "installed").read_bytes()
    found = inspection({f"{place}/apk/db/installed": data, "lib/ld-musl-x86_64.so.1": b"musl"}).inventory.packages
    assert sorted(f"{one.package.name}-{one.package.version}" for one in found) == [
        "alpine-baselayout-3.2.0-r22",
        "alpine-baselayout-data-3.2.0-r22",
        "alpine-keys-2.4-r1",
        "apk-tools-2.12.9-r3",
        "busybox-1.35.0-r17",
        "ca-certificates-bundle-20220614-r0",
        "libc-utils-0.7.2-r3",
        "libcrypto1.1-1.1.1q-r0",
        "libssl1.1-1.1.1q-r0",
        "musl-1.2.3-r0",
        "musl-utils-1.2.3-r0",
        "scanelf-1.3.4-r0",
        "ssl_client-1.35.0-r17",
        "zlib-1.2.12-r3",
    ]
    assert {one.package.name for one in found if one.files} == {"musl"}


@pytest.mark.skipif(bool(foreign_images.missing()), reason="rpm, rpmbuild, pacman or makepkg is not on this machine")
def test_databases_that_rpm_and_pacman_write_here(tmp_path: Path) -> None:
    """rpm -qa and pacman -Q name the same packages, in the same versions."""
    layers = foreign_images.make(tmp_path, 10)
    for name in ("rpm-sqlite", "pacman"):
        root = tmp_path / name
        root.mkdir()
        subprocess.run(["tar", "-xf", layers[name], "-C", root], check=True)
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        found = inspection(files).inventory
        ours = {f"{one.package.name} {one.package.version}" for one in found.packages}
        theirs = foreign_images.pacman_list(root) if name == "pacman" else foreign_images.rpm_list(root)
        assert ours == theirs
        assert found.unread == {}


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0" + bytes(100), b"RpmP" + bytes(60), bytes(5000)])
def test_a_database_that_cannot_be_read_is_said_and_nothing_is_counted(data: bytes) -> None:
    with pytest.raises(Unreadable):
        rpm.installed(data)
    found = inspection({"var/lib/rpm/rpmdb.sqlite": data or b"x", "usr/bin/x": b"x"}).inventory
    assert list(found.unread) == ["var/lib/rpm/rpmdb.sqlite"]
    assert "packages" not in found.counts()


def test_chisel_says_what_it_cut() -> None:
    """zstdcat var/lib/chisel/manifest.wall | grep -c '"kind":"package"'."""
    lines = [
        {"jsonwall": "1.0", "schema": "1.0", "count": 5},
        {"kind": "package", "name": "libc6", "version": "2.39-0ubuntu8", "sha256": "00", "arch": "amd64"},
        {"kind": "slice", "name": "libc6_libs"},
        {"kind": "content", "slice": "libc6_libs", "path": "/usr/lib/libc.so.6"},
        {"kind": "path", "path": "/usr/lib/libc.so.6", "mode": "0644", "slices": ["libc6_libs"], "size": 9},
    ]
    wall = zstandard.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    found = inspection({"var/lib/chisel/manifest.wall": wall, "usr/lib/libc.so.6": b"c" * 9}).inventory
    assert [(one.package.name, one.package.version, one.size) for one in found.packages] == [
        ("libc6", "2.39-0ubuntu8", 9)
    ]


def test_pacman_and_conda_say_which_files_are_theirs() -> None:
    desc = b"%NAME%\nzlib\n\n%VERSION%\n1:1.3.1-2\n\n%BASE%\nzlib\n\n%ARCH%\nx86_64\n"
    record = {"name": "numpy", "version": "2.1.0", "build": "py313_0", "files": ["lib/numpy.so"]}
    found = inspection(
        {
            "var/lib/pacman/local/zlib-1:1.3.1-2/desc": desc,
            "var/lib/pacman/local/zlib-1:1.3.1-2/files": b"%FILES%\nusr/\nusr/lib/libz.so.1\n\n%BACKUP%\netc/x\n",
            "usr/lib/libz.so.1": b"z" * 5,
            "opt/conda/conda-meta/numpy-2.1.0-py313_0.json": json.dumps(record).encode(),
            "opt/conda/lib/numpy.so": b"n" * 7,
        }
    ).inventory.packages
    assert {(one.package.ecosystem, one.package.name, one.package.version, one.size) for one in found} == {
        (Ecosystem.PACMAN, "zlib", "1:1.3.1-2", 5),
        (Ecosystem.CONDA, "numpy", "2.1.0", 7),
    }


# ---- languages


def test_a_package_of_nodejs_may_be_a_hard_link_into_a_store() -> None:
    """find … -name package.json -exec jq .name: nice-try."""
    manifest = b'{"name": "nice-try", "version": "1.0.5"}'
    place = "usr/src/app/node_modules/.pnpm/nice-try@1.0.5/node_modules/nice-try"
    found = inspection(
        {
            ".pnpm-store/v3/files/24/c61e": manifest,
            ".pnpm-store/v3/files/24/ffff": b"module.exports = 1\n",
            f"{place}/package.json": File(hard=".pnpm-store/v3/files/24/c61e"),
            f"{place}/index.js": File(hard=".pnpm-store/v3/files/24/ffff"),
        }
    ).inventory
    assert found.counts()["libraries"] == 1
    assert [(one.package.name, one.path, one.files) for one in found.packages] == [
        ("nice-try", f"{place}/package.json", 2)
    ]


def test_a_python_package_may_be_a_hard_link_into_a_cache() -> None:
    metadata = b"Metadata-Version: 2.4\nName: idna\nVersion: 3.10\n\n"
    assert listed(
        {"cache/a1/x": metadata, "venv/lib/idna-3.10.dist-info/METADATA": File(hard="cache/a1/x")},
    ) == {"idna": "3.10"}


def test_yarn_keeps_packages_as_zips() -> None:
    package = jar({"node_modules/@scope/thing/package.json": b'{"name": "@scope/thing", "version": "2.0.0"}'})
    assert listed({"app/.yarn/cache/thing-npm-2.0.0-abc.zip": package, "app/photos.zip": package}) == {
        "@scope/thing": "2.0.0"
    }


SCRIPT = b"#!/bin/bash\n# starts the jar\nexit 0\n"


def test_an_executable_jar_is_a_script_and_then_a_jar() -> None:
    """python -m zipfile -l shows BOOT-INF/lib with two jars."""
    nested = {f"BOOT-INF/lib/{name}-1.0.jar": jar(pom("g", name, "1.0")) for name in ("one", "two")}
    found = inspection({"app/service.jar": File(SCRIPT + jar({**pom("g", "app", "1"), **nested}), 0o755)}).inventory
    assert found.counts()["libraries"] == 2
    assert found.unread == {}


def test_a_jar_of_debian_has_a_tilde_in_its_version() -> None:
    assert listed({"usr/share/java/jsr305-0.1~+svn49.jar": jar({"META-INF/MANIFEST.MF": b""})}) == {
        "jsr305": "0.1~+svn49"
    }


def test_an_executable_of_python_is_a_line_and_then_a_zip() -> None:
    inside = {".deps/idna-3.10-py3-none-any.whl/idna-3.10.dist-info/METADATA": b"Name: idna\nVersion: 3.10\n"}
    assert listed({"app/server": File(b"#!/usr/bin/env python3\n" + jar(inside), 0o755)}) == {"idna": "3.10"}
    assert listed({"app/server.pex": File(b"#!/usr/bin/env python3\n" + jar(inside), 0o755)}) == {"idna": "3.10"}


def test_a_shell_script_is_no_zip() -> None:
    found = inspection({"app/run": File(SCRIPT, 0o755), "app/broken.jar": File(SCRIPT, 0o755)}).inventory
    assert found.counts()["executables"] == 2
    assert found.unread == {}


def test_dotnet_gems_composer_and_what_python_packages_carry() -> None:
    deps = {"libraries": {"App/1.0.0": {"type": "project"}, "Newtonsoft.Json/13.0.3": {"type": "package"}}}
    gem = b'Gem::Specification.new do |s|\n  s.name = "rack".freeze\n  s.version = "3.1.0".freeze\nend\n'
    php = {"packages": [{"name": "monolog/monolog", "version": "v3.7.0"}], "dev": False}
    found = inspection(
        {
            "app/App.deps.json": json.dumps(deps).encode(),
            "usr/local/bundle/specifications/rack-3.1.0.gemspec": gem,
            "app/rack.gemspec": gem,
            "app/vendor/composer/installed.json": json.dumps(php).encode(),
            "venv/lib/pip/_vendor/vendor.txt": b"CacheControl==0.14.1\n  # a comment\ncertifi==2024.8.30\n",
        }
    ).inventory
    assert {(one.package.ecosystem.value, one.package.name, one.package.version) for one in found.packages} == {
        ("nuget", "App", "1.0.0"),
        ("nuget", "Newtonsoft.Json", "13.0.3"),
        ("gem", "rack", "3.1.0"),
        ("composer", "monolog", "3.7.0"),
        ("pypi", "cachecontrol", "0.14.1"),
        ("pypi", "certifi", "2024.8.30"),
    }
    assert found.counts()["libraries"] == 5


@pytest.mark.parametrize(
    "path",
    ["app/App.deps.json", "usr/local/bundle/specifications/rack-3.1.0.gemspec", "app/vendor/composer/installed.json"],
)
@pytest.mark.parametrize("data", [b"{", b"[" * 100_000, b'{"packages": 1, "libraries": []}', b"\xff\xfe\0"])
def test_a_broken_list_of_a_language_is_unread_and_no_library_is_counted(path: str, data: bytes) -> None:
    found = inspection({path: data, "usr/bin/x": b"x"}).inventory
    assert list(found.unread) == [path]
    assert not {"libraries", "components", "hidden"} & found.counts().keys()


def test_a_go_module_replaced_by_a_folder_keeps_its_name() -> None:
    """go version -m: dep example.com/lib v0.0.0, => ./lib/ (devel)."""
    modules = "path\texample.com/app\nmod\texample.com/app\t(devel)\t\ndep\texample.com/lib\tv0.0.0\n"
    modules += "=>\t./lib/\t(devel)\t\n\nbuild\t-buildmode=exe\n"
    found = inspection({"server": File(go_program("go1.26.8", modules), 0o755)})
    assert {one.package.name: one.package.version for one in found.inventory.packages} == {
        "stdlib": "1.26.8",
        "example.com/app": "(devel)",
        "example.com/lib": "v0.0.0",
    }
    assert found.documents()


def test_a_module_of_any_name_gives_bills_of_materials() -> None:
    modules = "mod\t/\tv1\t\ndep\t./x/\tv1\ndep\t\tv2\n"
    assert inspection({"server": File(go_program("go1.26.8", modules), 0o755)}).documents()


def test_a_packed_program_does_not_say_what_it_is_made_of() -> None:
    program = elf({".text": b"UPX!" + bytes(500)})
    found = inspection({"server": File(program, 0o755)}).inventory
    assert found.unlisted == {"server": "packed by UPX"}
    assert found.counts()["libraries"] == 0


# ---- settings


@pytest.mark.parametrize(
    ("path", "secrets"),
    [
        ("app/.env.production", 1),
        ("app/.env.production.local", 1),
        ("app/prod.env", 1),
        ("app/.env.example", 0),
        ("app/environment", 0),
    ],
)
def test_settings_of_an_environment_are_looked_through(path: str, secrets: int) -> None:
    found = inspection({path: b"PORT=80\nSTRIPE_API_KEY=abc123\n", "etc/none": b"x", "k": KEY}).inventory
    assert found.counts()["secrets"] == secrets + 1
