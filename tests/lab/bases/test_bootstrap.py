from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BaseUnavailable
from harness.lab.apt import root as aptroot
from harness.lab.bases import bootstrap
from harness.lab.bases.truststore import truststore


def plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_slim_keeps_what_the_official_image_keeps(tmp_path):
    kept = {
        "usr/share/doc/apt/copyright",
        "usr/share/locale/locale.alias",
        "usr/share/locale/currency/x",
        "usr/share/doc-base/x",
        "usr/bin/env",
    }
    plant(tmp_path, *kept, "usr/share/doc/apt/README", "usr/share/man/man1/ls.1", "usr/share/locale/de/x")
    plant(tmp_path, "usr/share/doc/deep/copyright/not", "usr/share/lintian/overrides/x", "usr/share/info/dir")
    (tmp_path / "usr/share/man/ls").symlink_to("man1/ls.1")
    bootstrap.slim(tmp_path)
    assert files(tmp_path) == kept | {"etc/dpkg/dpkg.cfg.d/docker"}
    assert sorted(path.name for path in (tmp_path / "usr/share/man").iterdir()) == [f"man{n}" for n in range(1, 10)]
    lines = (tmp_path / "etc/dpkg/dpkg.cfg.d/docker").read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line.startswith("path-include"))  # dpkg: the last match counts


def test_tidy_removes_what_names_the_machine_and_keeps_the_folders(tmp_path):
    plant(tmp_path, "etc/resolv.conf", "etc/machine-id", "etc/hostname", "var/log/apt/term.log", "var/log/dpkg.log")
    plant(tmp_path, "var/cache/apt/pkgcache.bin", "var/cache/apt/archives/x.deb", "var/lib/apt/lists/x_InRelease")
    plant(tmp_path, "tmp/x", "run/x/y", "dev/null", "var/lib/dpkg/status-old", "etc/passwd", "var/lib/dpkg/status")
    bootstrap.tidy(tmp_path)
    assert files(tmp_path) == {"etc/passwd", "var/lib/dpkg/status"}
    for name in ("tmp", "run", "dev", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log/apt"):
        assert (tmp_path / name).is_dir()


def test_tidy_follows_no_link(tmp_path):
    plant(tmp_path / "outside", "precious")
    (tmp_path / "root/tmp").mkdir(parents=True)
    (tmp_path / "root/tmp/link").symlink_to(tmp_path / "outside")
    bootstrap.tidy(tmp_path / "root")
    assert files(tmp_path / "outside") == {"precious"}


def test_installed_packages_and_their_lock(tmp_path):
    plant(tmp_path, "var/lib/dpkg/status")
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.0+x~1-3\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    found = bootstrap.installed(tmp_path)
    assert found == {"a": ("1:2.0+x~1-3", "amd64")}
    (tmp_path / "a_1%3a2.0+x~1-3_amd64.deb").write_bytes(b"deb")  # as apt names it
    digest = hashlib.sha256(b"deb").hexdigest()
    assert bootstrap.locked(found, tmp_path) == [{"package": "a", "version": "1:2.0+x~1-3", "sha256": digest}]


def test_the_reason_is_what_apt_said():
    output = "Reading lists…\nW: old\nE: Unable to locate package nosuch\nE: No packages found\n"
    assert aptroot._reason(output) == "Unable to locate package nosuch"
    assert aptroot._reason("a\nb\n\nc\nd\n") == "b; c; d"
    assert aptroot._reason("") == ""


def test_maintainer_scripts_see_proxies_and_nothing_else_of_the_environment(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.test:1")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    seen = aptroot._environment()
    assert seen["https_proxy"] == "http://proxy.test:1"
    assert not {"SECRET_TOKEN", "SOURCE_DATE_EPOCH", "SSL_CERT_FILE"} & seen.keys()


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.integers(0, 2**32))
def test_a_trust_store_holds_every_certificate_under_its_seal(certificates, at):
    import ssl

    bundle = "# a remark\n" + "".join(map(ssl.DER_cert_to_PEM_cert, certificates))
    store = truststore(bundle, at=at)
    assert store == truststore(bundle, at=at)
    assert store[:12] == b"\xfe\xed\xfe\xed\0\0\0\2" + len(certificates).to_bytes(4, "big")
    assert all(der in store for der in certificates)
    sealed = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]
    assert store[-20:] == hashlib.sha1(sealed, usedforsecurity=False).digest()


needs_root = pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="namespaces need root on Linux")


@needs_root
def test_programs_run_apart_from_the_machine(tmp_path):
    isolated = aptroot.Isolated()
    said = isolated.run(["sh", "-c", f"hostname; echo $$; mount -t tmpfs x {tmp_path} && touch {tmp_path}/inside"])
    assert said.split() == ["localhost", "1"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BaseUnavailable, match="sh: no such thing"):
        isolated.run(["sh", "-c", "echo E: no such thing; exit 3"])
    isolated.stop()
    with pytest.raises(BaseUnavailable):
        isolated.run(["sleep", "60"])


@needs_root
def test_programs_end_with_a_killed_harness(tmp_path):
    script = f"""
import threading
from harness.lab.apt.root import Isolated
worker = threading.Thread(target=Isolated().run, args=(["sh", "-c", "echo > {tmp_path}/up; sleep 600; : {tmp_path}"],))
worker.start()
"""
    harness = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "up").exists():
        assert harness.poll() is None
    harness.kill()
    harness.wait()

    def alive() -> bool:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if f"{tmp_path}".encode() in path.read_bytes():
                    return True
            except OSError:
                continue
        return False

    while alive():  # the kernel ends them at once; a hang here is the failure
        time.sleep(0.01)
