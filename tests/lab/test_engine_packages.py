"""Engines of other releases: what is taken from packages, and what must not be."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness.engine.programs import Programs
from harness.errors import LabError
from harness.lab import engine_packages
from harness.lab.engine_packages import EnginePackages, take


def deb(folder: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    """A Debian package of these members, written by ar(1)'s format with tarfile's help."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for member in members:
            if isinstance(member, tuple):
                name, content = member
                member, body = tarfile.TarInfo(name), io.BytesIO(content)
                member.size = len(content)
                tar.addfile(member, body)
            else:
                tar.addfile(member)
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w"):
        pass
    path = folder / "tool_1_all.deb"
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        parts = {"debian-binary": b"2.0\n", "control.tar": control.getvalue(), "data.tar": data.getvalue()}
        for name, content in parts.items():
            head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
            file.write(head.encode() + content + b"\n" * (len(content) % 2))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_only_the_named_programs_are_taken(tmp_path):
    package = deb(
        tmp_path,
        ("./usr/bin/tool", b"program"),
        ("./usr/bin/other", b"other"),
        ("./usr/share/doc/tool", b"no program"),
        ("./usr/lib/x86_64-linux-gnu/libtool.so.1.0.3", b"library"),
        link("./usr/lib/x86_64-linux-gnu/libtool.so.1", "libtool.so.1.0.3"),
    )
    (tmp_path / "bin").mkdir()
    take(package, ("tool", "libtool.so.1"), tmp_path / "bin")
    assert {path.name: path.read_bytes() for path in (tmp_path / "bin").iterdir()} == {
        "tool": b"program",
        "libtool.so.1": b"library",
    }
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_no_link_is_followed_out_of_the_folder(tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "tool").write_bytes(b"theirs")
    (tmp_path / "bin").mkdir()
    package = deb(tmp_path, link("./usr/bin", str(outside)), link("./usr/bin/tool", str(outside / "tool"), kind))
    with pytest.raises(LabError, match=r"tool_1_all\.deb.*no tool"):
        take(package, ("tool",), tmp_path / "bin")
    assert (outside / "tool").read_bytes() == b"theirs"
    assert not list((tmp_path / "bin").iterdir())


def test_a_file_that_is_no_package_is_named(tmp_path):
    (tmp_path / "x.deb").write_bytes(b"<html>")
    with pytest.raises(LabError, match=r"x\.deb.*not a package"):
        take(tmp_path / "x.deb", ("tool",), tmp_path)


class Debian:
    """Apt, as far as it is asked here: a release whose dockerd is a shell script."""

    version = "26.1.5+dfsg1"
    asked = 0

    def __init__(self, folder: Path, debs: Path, **options: object) -> None:
        folder.mkdir()
        self.options = options

    def download(self, packages: list[str], into: Path) -> list[Path]:
        type(self).asked += 1
        into.mkdir()
        found = []
        for package in packages:
            names = {**engine_packages._DOCKER, **engine_packages._PODMAN, **engine_packages._LIBRARIES["forky"]}[
                package
            ]
            says = f"#!/bin/sh\necho Docker version {self.version}, build 1\n".encode()
            made = deb(into, *((f"./usr/bin/{name}", says) for name in names))
            found.append(made.rename(into / f"{package}_1_all.deb"))
        return found


@pytest.fixture
def debian(monkeypatch):
    monkeypatch.setattr(engine_packages, "Apt", Debian)
    monkeypatch.setattr(Debian, "asked", 0)
    return Debian


@pytest.mark.parametrize("release", ["trixie", "forky"])
def test_an_engine_is_unpacked_once(tmp_path, debian, release):
    said: list[str] = []
    packages = EnginePackages(tmp_path, announce=said.append)
    assert packages.at_hand(release) is None
    programs = packages.programs(release)
    assert programs.version() == "26.1.5+dfsg1"
    assert programs.find("dockerd") == str(tmp_path / f"programs/{release}/bin/dockerd")
    assert packages.programs(release) == packages.at_hand(release) == programs
    assert debian.asked == 1
    assert len(said) == 1
    assert said[0].startswith(f"Docker 26.1.5+dfsg1 of {release} unpacked")
    assert sorted(path.name for path in (tmp_path / "programs").iterdir()) == sorted(["lock", release])


def test_a_dockerd_that_does_not_run_here_is_an_error(tmp_path, debian, monkeypatch):
    monkeypatch.setattr(Programs, "version", lambda _: "")
    with pytest.raises(LabError, match=r"docker of trixie does not run"):
        EnginePackages(tmp_path).programs("trixie")


def test_what_needs_a_newer_c_library_is_left_to_this_machine(tmp_path):
    (tmp_path / "runc").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "runc").chmod(0o755)
    (tmp_path / "pigz").write_text("#!/bin/sh\necho pigz 2.8 $LD_LIBRARY_PATH\n")
    (tmp_path / "pigz").chmod(0o755)
    engine_packages._finish(tmp_path)
    assert not (tmp_path / "runc").exists()
    told = subprocess.run([tmp_path / "unpigz", "--version"], capture_output=True, text=True, check=True).stdout
    assert told == f"pigz 2.8 {tmp_path}/lib\n"
