"""What an image holds: packages and their files, programs, rights, secrets; as a document and as SBOMs."""

from __future__ import annotations

import json
import struct

import pytest

from harness.store.documents import CYCLONEDX, SPDX, STEPS, SURFACE
from harness.surface import capabilities, tools
from harness.surface.inspection import Inspection, inspect
from harness.surface.inventory import Inventory
from harness.surface.sbom import purl
from support.images import DPKG_STATUS, KEY, File, Layer, elf, go_program, jar, layer, pieces, pom, saved

PROGRAM = File(elf({".text": b"x"}), 0o755)
OS_RELEASE = b'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'


def inspection(*layers: Layer, config: object = None, history: object = None) -> Inspection:
    image = saved([layer(files) for files in layers], config=config, history=history)
    return inspect(pieces(image), name="app-x", image="sha256:" + "a" * 64)


def inventory(*layers: Layer, config: object = None, history: object = None) -> Inventory:
    return inspection(*layers, config=config, history=history).inventory


DEBIAN: Layer = {
    "bin": File(link="usr/bin"),
    "usr/bin/bash": PROGRAM,
    "usr/bin/sh": File(link="dash"),
    "usr/bin/dash": PROGRAM,
    "usr/bin/awk": File(link="/etc/alternatives/awk"),
    "etc/alternatives/awk": File(link="/usr/bin/mawk"),
    "usr/bin/mawk": PROGRAM,
    "usr/bin/wget": File(b"no program", 0o644),
    "usr/bin/curl": File(link="nowhere"),
    "usr/bin/x86_64-linux-gnu-gcc-14": PROGRAM,
    "usr/share/doc/bash/examples/sh": PROGRAM,
    "usr/lib/libssl.so.3": File(b"s" * 1000),
    "usr/lib/os-release": OS_RELEASE,
    "var/lib/dpkg/status": DPKG_STATUS,
    "var/lib/dpkg/info/bash.list": b"/.\n/bin\n/bin/bash\n",
    "var/lib/dpkg/info/libssl3t64:amd64.list": b"/usr/lib\n/usr/lib/libssl.so.3\n",
}


def test_packages_have_the_files_their_lists_name_wherever_links_lead() -> None:
    found = {item.package.name: (item.files, item.size) for item in inventory(DEBIAN).packages}
    assert found == {"bash": (1, len(PROGRAM.content)), "libssl3t64": (1, 1000)}


def test_tools_are_names_that_lead_to_a_program_in_a_folder_of_programs() -> None:
    found = inventory(DEBIAN).tools
    assert found["shells"] == {
        "bash": ("usr/bin/bash",),
        "dash": ("usr/bin/dash",),
        "sh": ("usr/bin/sh",),
    }
    assert found["compilers"] == {"gcc": ("usr/bin/x86_64-linux-gnu-gcc-14",)}
    assert found["interpreters"] == {"awk": ("usr/bin/awk",), "mawk": ("usr/bin/mawk",)}
    assert found["downloaders"] == found["managers"] == {}


def test_a_folder_is_one_of_programs_where_path_says_so() -> None:
    files = {"opt/tools/sh": PROGRAM}
    assert inventory(files).tools["shells"] == {}
    assert inventory(files, config={"Env": ["PATH=/opt/tools"]}).tools["shells"] == {"sh": ("opt/tools/sh",)}


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("gcc", "gcc"),
        ("x86_64-linux-gnu-g++-14", "g++"),
        ("x86_64-alpine-linux-musl-gcc", "gcc"),
        ("pip3.13", "pip"),
        ("python3", "python"),
        ("ksh93", "ksh93"),
        ("bzip2", ""),
        ("shred", ""),
    ],
)
def test_versions_and_targets_are_taken_off_names(name: str, tool: str) -> None:
    assert next(iter(tools.kinds_of(name).values()), "") == tool


def test_deleted_and_replaced_files_are_not_in_the_inventory() -> None:
    found = inventory(DEBIAN, {"usr/bin/.wh.bash": b"", "usr/bin/dash": b"text"}).tools["shells"]
    assert found == {}


def test_a_distroless_image_tells_its_packages_by_status_d() -> None:
    stanza = b"Package: libc6\nVersion: 2.41\nArchitecture: amd64\n"
    found = inventory(
        {
            "lib/libc.so.6": File(b"c" * 500),
            "var/lib/dpkg/status.d/libc6": stanza,
            "var/lib/dpkg/status.d/libc6.md5sums": b"d41d8cd98f00b204e9800998ecf8427e  lib/libc.so.6\n",
        }
    )
    assert [(item.package.name, item.size, item.files) for item in found.packages] == [("libc6", 500, 1)]


def test_libraries_are_what_no_distribution_package_brought_each_version_once() -> None:
    metadata = b"Name: thing\nVersion: 1.0\n\n"
    files: Layer = {
        "usr/lib/python3/dist-packages/thing-1.0.dist-info/METADATA": metadata,
        "var/lib/dpkg/status": DPKG_STATUS,
        "var/lib/dpkg/info/bash.list": b"/usr/lib/python3/dist-packages/thing-1.0.dist-info/METADATA\n",
        "a/other-2.dist-info/METADATA": b"Name: other\nVersion: 2\n\n",
        "b/other-2.dist-info/METADATA": b"Name: other\nVersion: 2\n\n",
        "server": File(go_program("go1.24", "mod\tx/app\t(devel)\t\ndep\tx/y\tv1\th\n"), 0o755),
    }
    found = inventory(files)
    assert {item.package.name: item.owner for item in found.packages}["thing"] == "bash"
    assert found.counts()["libraries"] == 3  # other, stdlib, x/y; not thing, which is bash's, nor the app


def test_files_of_language_packages_are_theirs() -> None:
    found = inventory(
        {
            "v/thing/code.py": b"x" * 100,
            "v/thing-1.dist-info/METADATA": b"Name: thing\nVersion: 1\n\n",
            "v/thing-1.dist-info/RECORD": b"thing/code.py,sha256=x,100\n../bin/run,,\n",
            "bin/run": b"y" * 7,
            "node_modules/a/package.json": b'{"name": "a", "version": "1"}',
            "node_modules/a/lib/deep/x.js": b"z" * 50,
            "app.jar": jar(pom("g", "lib", "1")),
        }
    )
    sizes = {item.package.name: item.size for item in found.packages}
    assert sizes == {"thing": 131, "a": 79, "lib": len(jar(pom("g", "lib", "1")))}


def test_a_hard_linked_program_counts_once() -> None:
    found = inventory({"bin/a": PROGRAM, "bin/b": File(hard="bin/a", mode=0o755)})
    assert found.executables == ("bin/a",) or found.executables == ("bin/b",)


def test_rights_that_ask_for_a_look() -> None:
    net_raw = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0).decode("latin-1")
    found = inventory(
        {
            "bin/su": File(PROGRAM.content, 0o4755),
            "bin/wall": File(PROGRAM.content, 0o2755),
            "data": File(b"x", 0o2644),  # a set-group bit without execute bit means locking
            "tmp": File(folder=True, mode=0o1777),
            "srv": File(folder=True, mode=0o777),
            "log": File(b"x", 0o666),
            "link": File(link="log", mode=0o777),
            "bin/ping": File(PROGRAM.content, 0o755, pax={"SCHILY.xattr.security.capability": net_raw}),
        }
    )
    assert [special.path for special in found.setuid] == ["bin/su", "bin/wall"]
    assert [(special.path, special.detail) for special in found.writable] == [("log", "0666"), ("srv", "0777")]
    assert found.sticky == ("tmp",)
    assert [(special.path, special.detail) for special in found.capabilities] == [("bin/ping", "cap_net_raw")]


@pytest.mark.parametrize(
    ("attribute", "names"),
    [
        (struct.pack("<3I", 0x01000000, 1 << 10, 0), ("cap_net_bind_service",)),
        (struct.pack("<6I", 0x03000001, 0, 0, 1 << 8, 0, 1000), ("cap_checkpoint_restore",)),
        (struct.pack("<5I", 0x02000000, 0, 1, 0, 0), ()),
        (b"short", ("unknown",)),
        (struct.pack("<5I", 0x07000000, 1, 0, 0, 0), ("unknown",)),
    ],
)
def test_capabilities_are_read_as_the_kernel_reads_them(attribute: bytes, names: tuple[str, ...]) -> None:
    assert capabilities.names(attribute) == names


def test_secrets_of_deleted_files_count_and_those_of_packages_do_not() -> None:
    found = inventory(
        {"root/key": KEY, "usr/lib/x/test.pem": KEY},
        {
            "root/.wh.key": b"",
            "etc/key": KEY,
            "var/lib/dpkg/status": DPKG_STATUS,
            "var/lib/dpkg/info/bash.list": b"/usr/lib/x/test.pem\n",
        },
        config={"Env": ["DB_PASSWORD=hunter2"]},
        history=[{"created_by": "RUN |1 NPM_TOKEN=abc /bin/sh -c x"}],
    )
    told = {leak.place: (leak.layer, leak.deleted, leak.owner) for leak in found.secrets}
    assert told == {
        "DB_PASSWORD": (None, False, ""),
        "NPM_TOKEN": (None, False, ""),
        "root/key": (0, True, ""),
        "usr/lib/x/test.pem": (0, False, "bash"),
        "etc/key": (1, False, ""),
    }
    assert found.counts()["secrets"] == 4


@pytest.mark.parametrize(
    ("user", "root"),
    [
        ("", True),
        ("0", True),
        ("root", True),
        ("0:1000", True),
        ("toor", True),
        ("65532", False),
        ("app", False),
        ("00", True),
    ],
)
def test_who_the_app_runs_as(user: str, root: bool) -> None:
    passwd = b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"
    assert inventory({"etc/passwd": passwd}, config={"User": user}).root is root


def test_no_document_holds_what_a_secret_says() -> None:
    found = inspection({"etc/key": KEY, "root/.netrc": b"machine x login y password hunter2\n"})
    for data in found.documents().values():
        assert b"MIIEpAIB" not in data
        assert b"hunter2" not in data


def test_the_documents_are_the_same_for_the_same_image_and_hold_the_packages() -> None:
    documents = inspection(DEBIAN).documents()
    assert documents == inspection(DEBIAN).documents()
    surface = json.loads(documents[SURFACE])
    assert surface["counts"]["packages"] == len(surface["packages"]) == 2
    assert json.loads(documents[STEPS])["layers"][0]["content"] > 0
    bom = json.loads(documents[CYCLONEDX])
    assert (bom["bomFormat"], bom["specVersion"], bom["metadata"]["component"]["type"]) == (
        "CycloneDX",
        "1.6",
        "container",
    )
    expected = {
        "pkg:deb/debian/bash@5.2.37-2?arch=amd64&distro=debian-13",
        "pkg:deb/debian/libssl3t64@3.5.1-1%2Bdeb13u1?arch=amd64&distro=debian-13&upstream=openssl%403.5.1-1",
    }
    assert {component["purl"] for component in bom["components"]} == expected
    spdx = json.loads(documents[SPDX])
    locators = {ref["referenceLocator"] for package in spdx["packages"] for ref in package.get("externalRefs", ())}
    assert locators == expected
    assert {relation["relationshipType"] for relation in spdx["relationships"]} == {"DESCRIBES", "CONTAINS"}


def test_cyclonedx_is_what_its_schema_says() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(inspection(DEBIAN).documents()[CYCLONEDX].decode())
    assert fault is None


def test_package_urls_of_languages() -> None:
    files: Layer = {
        "s": File(go_program("go1.24", "dep\tgithub.com/gin-gonic/gin\tv1.10.0\th\n"), 0o755),
        "node_modules/@types/node/package.json": b'{"name": "@types/node", "version": "20.1.0"}',
        "l.jar": jar(pom("org.slf4j", "slf4j-api", "2.0.17")),
        "t-1.dist-info/METADATA": b"Name: typing_extensions\nVersion: 4\n\n",
    }
    assert {purl(item.package, {}) for item in inventory(files).packages} == {
        "pkg:golang/stdlib@1.24",
        "pkg:golang/github.com/gin-gonic/gin@v1.10.0",
        "pkg:npm/%40types/node@20.1.0",
        "pkg:maven/org.slf4j/slf4j-api@2.0.17",
        "pkg:pypi/typing-extensions@4",
    }
