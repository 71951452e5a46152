"""Vulnerability records in OSV's form, held against bills of materials: also of what an image does not declare."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.image.read import read_image, read_layer
from harness.lab.origins import CellOrigins
from harness.store.documents import CYCLONEDX
from harness.surface import osv
from harness.surface.examine import Examiner
from harness.surface.finding import Ecosystem, Package
from harness.surface.inspection import inspection_of
from harness.surface.origins import FileLists, ListedFile, Wanted
from support.images import File, elf, layer, pieces, saved

# as https://osv.dev has such records: Debian names the source package
OPENSSL = {
    "id": "DEBIAN-CVE-2025-9230",
    "modified": "2025-10-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "Debian:13", "name": "openssl"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.5.1-1+deb13u1"}]}],
            "ecosystem_specific": {"urgency": "high"},
        }
    ],
}


def records(folder: Path, *documents: object) -> Path:
    folder.mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        (folder / f"{number}.json").write_text(json.dumps(document))
    return folder


def test_a_scanner_of_the_bill_finds_what_nothing_in_the_image_declares(tmp_path: Path) -> None:
    """Of an image from scratch with a vulnerable OpenSSL: the image alone says nothing, its bill of materials does."""
    library = elf({".text": b"libssl"})
    tar = layer({"usr/lib/libssl.so.3": File(library)})
    package = Package(
        ecosystem=Ecosystem.DEB, name="libssl3t64", version="3.5.1-1", architecture="amd64", source="openssl"
    )
    lists = FileLists(tmp_path / "files.sqlite")
    md5 = hashlib.md5(library, usedforsecurity=False).digest()
    system = {"ID": "debian", "VERSION_ID": "13"}
    lists.add("base", "base os-slim", system, [ListedFile(md5, "usr/lib/libssl.so.3", package)])

    def sums(wanted: object) -> dict[tuple[int, str], bytes]:
        look = Wanted(frozenset(("usr/lib/libssl.so.3",)))
        read_layer(pieces(tar), examine=look)
        return {(0, path): digest for path, digest in look.found.items()}

    found = {}
    for name, origins in (("declared", None), ("traced", CellOrigins(lists, frozenset(("base os-slim",)), {}, sums))):
        contents = read_image(pieces(saved([tar])), examine=Examiner())
        image = inspection_of(contents, name="x", image="sha256:0", packed=[], base=0, origins=origins)
        (tmp_path / name).write_bytes(image.documents()[CYCLONEDX])
        found[name] = osv.scan(tmp_path / name, records(tmp_path / "osv", OPENSSL)).found
    lists.close()
    assert found["declared"] == ()
    (one,) = found["traced"]
    assert (one.id, one.package, one.installed, one.fixed, one.severity) == (
        "DEBIAN-CVE-2025-9230",
        "libssl3t64",
        "3.5.1-1",
        "3.5.1-1+deb13u1",
        "high",
    )


def affected(ecosystem: str, name: str, *events: dict[str, str], versions: tuple[str, ...] = ()) -> dict[str, object]:
    package = {"ecosystem": ecosystem, "name": name}
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"id": "X-1", "affected": [{"package": package, "ranges": ranges, "versions": list(versions)}]}


@pytest.mark.parametrize(
    ("purl", "record", "fixed"),
    [
        ("pkg:pypi/idna@3.6", affected("PyPI", "idna", {"introduced": "0"}, {"fixed": "3.7"}), "3.7"),
        ("pkg:pypi/idna@3.7", affected("PyPI", "idna", {"introduced": "0"}, {"fixed": "3.7"}), None),
        ("pkg:pypi/idna@3.7rc1", affected("PyPI", "idna", {"introduced": "0"}, {"fixed": "3.7"}), "3.7"),
        ("pkg:npm/%40a/b@1.10.0", affected("npm", "@a/b", {"introduced": "1.9.0"}, {"last_affected": "1.10.0"}), ""),
        ("pkg:npm/%40a/b@1.10.1", affected("npm", "@a/b", {"introduced": "1.9.0"}, {"last_affected": "1.10.0"}), None),
        ("pkg:npm/c@2.0.0-rc.2", affected("npm", "c", {"introduced": "0"}, {"fixed": "2.0.0-rc.10"}), "2.0.0-rc.10"),
        ("pkg:golang/golang.org/x/net@v0.1.0", affected("Go", "golang.org/x/net", {"introduced": "0"}), ""),
        ("pkg:golang/stdlib@1.24.4", affected("Go", "stdlib", {"introduced": "1.24.0"}, {"fixed": "1.24.6"}), "1.24.6"),
        ("pkg:maven/org.a/b@1.0", affected("Maven", "org.a:b", versions=("1.0",)), ""),
        ("pkg:maven/org.a/b@1.1", affected("Maven", "org.a:b", {"introduced": "0"}, versions=("1.0",)), None),
        ("pkg:deb/debian/x@1:2.0-1~deb13u1?distro=debian-13", affected("Debian:13", "x", {"introduced": "0"}), ""),
        ("pkg:deb/debian/x@1?distro=debian-12", affected("Debian:13", "x", {"introduced": "0"}), None),
    ],
)
def test_a_version_is_in_a_range_or_not(tmp_path: Path, purl: str, record: object, fixed: str | None) -> None:
    (tmp_path / "bom.json").write_text(json.dumps({"components": [{"purl": purl}]}))
    found = osv.scan(tmp_path / "bom.json", records(tmp_path / "osv", record)).found
    assert [one.fixed for one in found] == ([] if fixed is None else [fixed])


def test_records_come_as_a_zip_and_withdrawn_ones_do_not_count(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.json", json.dumps(OPENSSL))
        archive.writestr("b.json", json.dumps({"id": "B", "withdrawn": "2025-01-01T00:00:00Z"}))
    assert [record["id"] for record in osv.read(tmp_path / "all.zip")] == ["DEBIAN-CVE-2025-9230"]


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_what_is_no_record_is_an_error_that_says_where(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UsageError) as error:
        list(osv.read(tmp_path / "a.json"))
    assert "a.json" in str(error.value)
    with pytest.raises(UsageError):
        list(osv.read(tmp_path / "none"))
