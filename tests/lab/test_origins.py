"""The available distribution packages: in the folder of bases and among the answers that the depot keeps."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.engine.fake.engine import FakeEngine
from harness.lab.origins import KnownFiles

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb makes the packages of this test")


def package(folder: Path, name: str) -> bytes:
    """A package that dpkg-deb built, of one file."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/lib").mkdir(parents=True)
    (tree / f"usr/lib/{name}.so").write_bytes(name.encode())
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    (tree / "DEBIAN/md5sums").write_text(f"{digest}  usr/lib/{name}.so\n")
    control = f"Package: {name}\nVersion: 1.2-3\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n"
    (tree / "DEBIAN/control").write_text(control)
    (tree).chmod(0o755)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, folder / f"{name}.deb"], check=True)
    return (folder / f"{name}.deb").read_bytes()


def test_packages_of_bases_and_of_the_depot_are_known_by_their_content(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "debs").mkdir(parents=True)
    (cache / "depot/a/bc").mkdir(parents=True)
    (cache / "debs/libone_1.2-3_amd64.deb").write_bytes(package(tmp_path, "libone"))
    answer = b"\x05\0\nKEY: http://depot/debian/pool/libtwo_1.2-3_amd64.deb plain\nHTTP/1.1 200 OK\r\n\r\n"
    (cache / "depot/a/bc" / ("0" * 32)).write_bytes(answer + package(tmp_path, "libtwo"))
    (cache / "depot/a/bc" / ("1" * 32)).write_bytes(
        b"\x05\0\nKEY: http://depot/simple/ plain\nHTTP/1.1 200 OK\r\n\r\n[]"
    )
    (cache / "debs/broken.deb").write_bytes(b"!<arch>\nbroken")
    known = KnownFiles(FakeEngine(), cache)
    lists = known.ensure(())
    for name in ("libone", "libtwo"):
        (origin,) = lists.by_content(hashlib.md5(name.encode(), usedforsecurity=False).digest())
        assert origin.package is not None
        assert (origin.package.name, origin.package.version, origin.path) == (name, "1.2-3", f"lib/{name}.so")
        assert origin.label == f"{name}_1.2-3_amd64.deb"
    known.close()


def test_an_app_is_what_its_author_wrote(tmp_path: Path) -> None:
    (tmp_path / "app/node_modules/x").mkdir(parents=True)
    (tmp_path / "app/main.js").write_bytes(b"main")
    (tmp_path / "app/node_modules/x/index.js").write_bytes(b"other")
    known = KnownFiles(FakeEngine(), tmp_path / "cache")
    assert list(known.of_app(tmp_path / "app").values()) == ["main.js"]
