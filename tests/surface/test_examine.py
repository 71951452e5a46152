"""Looking into files: programs, jars, package lists, secrets; and what is broken or hostile among them."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.image.read import read_layer
from harness.surface import databases, jars, packages, secrets
from harness.surface import elf as elf_reader
from harness.surface.examine import LARGE, Examiner
from harness.surface.finding import Ecosystem, Finding, Package, Program
from support.images import DPKG_STATUS, KEY, File, elf, go_program, jar, layer, pieces, pom, rust_program


def look(files: dict[str, File | bytes]) -> dict[str, Finding]:
    """What an Examiner finds in the files of one layer."""
    found = read_layer(pieces(layer(files)), examine=Examiner()).findings
    assert all(isinstance(finding, Finding) for finding in found.values())
    return dict(found)  # type: ignore[arg-type]


def named(found: tuple[Package, ...]) -> list[tuple[str, str, bool]]:
    return [(package.name, package.version, package.application) for package in found]


# ---- programs


def test_a_go_program_tells_its_modules_and_the_library_it_was_built_with() -> None:
    modules = (
        "path\tcommand-line-arguments\nmod\texample.com/app\t(devel)\t\n"
        "dep\tgithub.com/gin-gonic/gin\tv1.10.0\th1:x=\ndep\tgolang.org/x/net\tv0.1.0\th1:y=\n"
        "=>\tgithub.com/fork/net\tv0.2.0\th1:z=\nbuild\tCGO_ENABLED=0\n"
    )
    found, language = elf_reader.packages(go_program("go1.24.4 X:nocoverageredesign", modules))
    assert language == "go"
    assert named(found) == [
        ("stdlib", "1.24.4", False),
        ("example.com/app", "(devel)", True),
        ("github.com/gin-gonic/gin", "v1.10.0", False),
        ("github.com/fork/net", "v0.2.0", False),
    ]


def test_a_go_program_of_one_file_tells_the_library_alone() -> None:
    assert named(elf_reader.packages(go_program("go1.22", ""))[0]) == [("stdlib", "1.22", False)]


def test_an_audited_rust_program_tells_its_crates_but_not_what_only_built_it() -> None:
    listed = [
        {"name": "app", "version": "0.1.0", "source": "local", "root": True},
        {"name": "tokio", "version": "1.43.0", "source": "crates.io"},
        {"name": "cc", "version": "1.2.0", "source": "crates.io", "kind": "build"},
    ]
    found, language = elf_reader.packages(rust_program(listed))
    assert (named(found), language) == ([("app", "0.1.0", True), ("tokio", "1.43.0", False)], "rust")


def test_a_rust_program_without_audit_data_tells_its_language() -> None:
    assert elf_reader.packages(elf({".comment": b"GCC: 14\0rustc version 1.85.0\0"})) == ((), "rust")


@given(st.binary(max_size=2000), st.sampled_from([b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02"]))
def test_whatever_is_taken_for_a_program_never_crashes(data: bytes, head: bytes) -> None:
    found, language = elf_reader.packages(head + data)
    assert language or not found


@given(
    st.data(), st.sampled_from([go_program("go1.24", "dep\ta\tv1\th"), rust_program([{"name": "a", "version": "1"}])])
)
def test_a_damaged_program_never_crashes(data: st.DataObject, program: bytes) -> None:
    damaged = bytearray(program)
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    found, language = elf_reader.packages(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    assert language or not found


def test_programs_are_files_with_an_execute_bit_but_no_libraries() -> None:
    program = elf({".text": b"x"})
    found = look(
        {
            "app": File(program, 0o755),
            "run": File(b"#!/bin/sh\n", 0o700),
            "lib/libc.so.6": File(program, 0o755),
            "lib/libz.so": File(program, 0o755),
            "data": File(program, 0o644),
            "text": File(b"no program", 0o755),
        }
    )
    programs = {path: finding.program for path, finding in found.items() if finding.program}
    assert programs == {"app": Program.ELF, "run": Program.SCRIPT}


# ---- jars


def test_a_jar_is_told_by_its_poms_its_manifest_or_its_name() -> None:
    found = look(
        {
            "a.jar": jar(pom("org.slf4j", "slf4j-api", "2.0.17")),
            "b.jar": jar({"META-INF/MANIFEST.MF": b"Implementation-Version: 3.1\r\n"}),
            "jackson-core-2.19.0.jar": jar({"x": b""}),
            "server.jar": jar({"META-INF/MANIFEST.MF": b"Main-Class: tare.Main\n"}),
        }
    )
    assert named(found["a.jar"].packages) == [("slf4j-api", "2.0.17", False)]
    assert found["a.jar"].packages[0].group == "org.slf4j"
    assert named(found["b.jar"].packages) == [("b", "3.1", False)]
    assert named(found["jackson-core-2.19.0.jar"].packages) == [("jackson-core", "2.19.0", False)]
    assert named(found["server.jar"].packages) == [("server", "", True)]


def test_nested_jars_are_the_libraries_of_the_outer_one() -> None:
    inner = jar(pom("g", "deep", "1"))
    middle = jar({**pom("g", "middle", "2"), "lib/deep.jar": inner})
    (finding,) = look({"app/app.jar": jar({**pom("dev", "app", "0"), "BOOT-INF/lib/middle.jar": middle})}).values()
    assert [(p.name, p.inside, p.application) for p in finding.packages] == [
        ("app", "", True),
        ("middle", "BOOT-INF/lib/middle.jar", True),
        ("deep", "BOOT-INF/lib/middle.jar!/lib/deep.jar", False),
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (jars.MAGIC + b"nothing", "no end of central directory"),
        (jar({"a": b"x"})[:-10], "no end of central directory"),
        (jars.MAGIC + b"PK\x05\x06" + struct.pack("<4HIIH", 0, 0, 1, 1, 1 << 30, 0, 0), "directory of more than"),
    ],
    ids=["no directory", "a truncated directory", "a directory that is too large"],
)
def test_a_jar_that_cannot_be_read_says_why(data: bytes, why: str) -> None:
    (finding,) = look({"x.jar": data}).values()
    assert why in finding.unread


def test_jars_nested_without_end_end() -> None:
    data = jar({"x": b""})
    for _ in range(8):
        data = jar({"in.jar": data})
    assert "deeper" in look({"x.jar": data})["x.jar"].unread


def test_a_bomb_of_nested_jars_is_not_inflated() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in.jar", bytes(100 << 20))
    assert "more bytes" in look({"x.jar": buffer.getvalue()})["x.jar"].unread


@given(st.data())
def test_a_damaged_jar_never_crashes(data: st.DataObject) -> None:
    damaged = bytearray(
        jar({**pom("g", "a", "1"), "META-INF/MANIFEST.MF": b"x: y\n", "l.jar": jar(pom("g", "b", "2"))})
    )
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    found, _ = jars.Jars().packages(bytes(damaged), "x.jar")
    assert all(package.name for package in found)


# ---- lists of packages


def test_dpkg_counts_what_is_installed() -> None:
    found = list(databases.dpkg(DPKG_STATUS, installed_only=True))
    assert [(p.name, p.version, p.source, p.source_version) for p in found] == [
        ("bash", "5.2.37-2", "", ""),
        ("libssl3t64", "3.5.1-1+deb13u1", "openssl", "3.5.1-1"),
    ]


def test_apk_tells_packages_and_their_files() -> None:
    musl = b"C:Q1x=\nP:musl\nV:1.2.5-r9\nA:x86_64\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\nZ:Q1\nF:etc\nR:x\n"
    text = musl + b"\nP:busybox\nV:1\n\n"
    found = list(databases.apk(text))
    assert [(package.name, package.version, paths) for package, paths in found] == [
        ("musl", "1.2.5-r9", ("lib/ld-musl-x86_64.so.1", "etc/x")),
        ("busybox", "1", ()),
    ]


def test_packages_of_languages_are_told_by_their_own_files_only() -> None:
    metadata = b"Metadata-Version: 2.4\nName: Pydantic_Core\nVersion: 2.41.5\nSummary: Name: no\n\nName: body\n"
    manifest = b'{"name": "@scope/thing", "version": "1.2.3"}'
    found = look(
        {
            "venv/lib/pydantic_core-2.41.5.dist-info/METADATA": metadata,
            "venv/lib/other/METADATA": metadata,
            "app/node_modules/@scope/thing/package.json": manifest,
            "app/node_modules/@scope/thing/esm/package.json": manifest,
            "app/package.json": manifest,
            "old.egg-info": b"Name: old\nVersion: 1\n",
        }
    )
    told = {
        path: [(p.ecosystem, p.group, p.name, p.version) for p in f.packages] for path, f in found.items() if f.packages
    }
    assert told == {
        "venv/lib/pydantic_core-2.41.5.dist-info/METADATA": [(Ecosystem.PYTHON, "", "pydantic-core", "2.41.5")],
        "app/node_modules/@scope/thing/package.json": [(Ecosystem.NODE, "@scope", "thing", "1.2.3")],
        "old.egg-info": [(Ecosystem.PYTHON, "", "old", "1")],
    }


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"name": 3, "version": "1"}', b'{"name": "x"}', b"[" * 100_000, b"\xff"]
)
def test_a_package_json_that_tells_no_package_is_none(text: bytes) -> None:
    assert list(packages.node(text)) == []


# ---- secrets


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("etc/ssl/server.key", KEY, "private key"),
        ("app/account.json", b'{"private_key": "' + KEY.replace(b"\n", b"\\n") + b'"}', "private key"),
        ("root/.netrc", b"machine example.com login me password hunter2\n", "password in .netrc"),
        ("root/.npmrc", b"//registry/:_authToken=abc\n", "npm credentials"),
        ("root/.docker/config.json", b'{"auths": {"r": {"auth": "bWU6cHc="}}}', "registry credentials"),
        (
            "root/.config/pip/pip.conf",
            b"[global]\nindex-url = https://me:pw@host/simple\n",
            "password in an index address",
        ),
        ("etc/shadow", b"root:*:1::\nme:$y$j9T$abc:2::\n", "password hash"),
        ("app/.env", b"DEBUG=1\nDB_PASSWORD=hunter2\n", "secret in .env"),
        ("app/settings.py", b"key = 'AKIAQYLPMN5HHHFPZAM2'\n", "AWS access key"),
        ("home/me/notes", b"ghp_" + b"a1" * 18 + b"\n", "GitHub token"),
    ],
)
def test_secrets_are_found_by_what_they_look_like(path: str, content: bytes, kind: str) -> None:
    assert [secret.kind for secret in look({path: content})[path].secrets] == [kind]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("etc/ssl/certs/ca.crt", b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64),
        ("app/readme", b"a key begins with -----BEGIN PRIVATE KEY----- and goes on\n"),
        ("app/.npmrc", b"//registry/:_authToken=${NPM_TOKEN}\n"),
        ("app/docs", b"AKIAIOSFODNN7EXAMPLE\n"),
        ("usr/lib/x/data", b"AKIAQYLPMN5HHHFPZAM2\n"),  # what packages bring is public
        ("etc/shadow", b"root:*:1::\nme:!:2::\n"),
        ("etc/binary.key", b"\0" + KEY),
    ],
)
def test_what_only_resembles_a_secret_is_none(path: str, content: bytes) -> None:
    assert path not in look({path: content})


def test_settings_and_history_are_looked_through_by_name() -> None:
    assert list(secrets.in_environment(["PATH=/bin", "DB_PASSWORD=x", "API_TOKEN=", "TOKEN_FILE=/run/t"])) == [
        "DB_PASSWORD"
    ]
    steps = [{"created_by": "RUN |2 NPM_TOKEN=abc PORT=1 /bin/sh -c npm ci # buildkit"}, {"created_by": "COPY . ."}]
    assert list(secrets.in_history(steps)) == ["NPM_TOKEN"]


@given(st.binary(max_size=3000), st.sampled_from(["a/.env", "a/.netrc", "etc/shadow", "x/.m2/settings.xml", "k"]))
def test_secrets_of_anything_are_few_and_quick(data: bytes, path: str) -> None:
    assert len(list(secrets.in_file(path, data))) <= 100


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "line", [b"\n", b"A", b"SECRET", b" ", b"machine password ", b"://a:", b"-----BEGIN PRIVATE KEY-----", b"ghp_"]
)
@pytest.mark.parametrize("path", ["a/.env", "etc/apt/auth.conf", ".pypirc", ".git-credentials", ".pgpass"])
def test_no_file_makes_the_search_slow(path: str, line: bytes) -> None:
    """A megabyte of what the patterns begin with: quadratic time would be minutes."""
    assert len(list(secrets.in_file(path, line * ((1 << 20) // len(line))))) <= 100


# ---- limits


def test_files_too_large_to_read_are_told_not_read() -> None:
    big = File(b"\x7fELF" + bytes(LARGE), 0o755)
    finding = look({"node": big})["node"]
    assert (finding.program, finding.unread) == (Program.ELF, f"more than {LARGE >> 20} MiB")


def test_lists_are_kept_up_to_a_limit() -> None:
    listing = {f"var/lib/dpkg/info/p{number}.list": b"/x\n" * (1 << 20) for number in range(14)}
    found = look(listing)
    assert sum(len(finding.text) for finding in found.values()) <= 32 << 20
    assert any("package lists" in finding.unread for finding in found.values())
