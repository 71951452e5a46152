"""Images that are cut off, broken or made to harm: a clear error or a sound answer, in bounded time and memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.image.read import read_image
from harness.image.tar import LayerError
from harness.surface.examine import Examiner
from harness.surface.inspection import Inspection, inspect, inspection_of
from support.images import DPKG_STATUS, KEY, File, elf, go_program, jar, layer, pieces, pom, saved

WHOLE = saved(
    [
        layer(
            {
                "bin": File(link="usr/bin"),
                "usr/bin/sh": File(elf({".text": b"x"}), 0o4755),
                "usr/bin/app": File(go_program("go1.24", "dep\ta/b\tv1\th\n"), 0o755),
                "var/lib/dpkg/status": DPKG_STATUS,
                "var/lib/dpkg/info/bash.list": b"/usr/bin/sh\n",
            }
        ),
        layer({"app.jar": jar(pom("g", "a", "1")), "usr/bin/.wh.sh": b"", "etc/key": KEY}),
    ],
    config={"User": "app", "Env": ["PATH=/usr/bin"]},
)


def look(data: bytes) -> Inspection | None:
    """None for a LayerError, which says what to do."""
    try:
        found = inspect(pieces(data), name="x", image="sha256:0")
    except LayerError as error:
        assert error.what
        assert error.fix
        return None
    assert found.documents()
    return found


@settings(max_examples=200)
@given(st.integers(0, len(WHOLE) - 1))
def test_an_image_cut_off_anywhere_is_an_error_or_whole(at: int) -> None:
    found = look(WHOLE[:at])
    assert found is None or found.inventory.counts()["packages"] == 2


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_a_damaged_image_never_crashes(damage: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, byte in damage:
        data[at] = byte
    look(bytes(data))


def one(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A layer of a single entry, as a writer without scruples makes it."""
    return member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512) + bytes(1024)


def entry(path: str, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    for name, value in fields.items():
        setattr(member, name, value)
    return member


@pytest.mark.parametrize("path", ["../../etc/passwd", "a/../../b", "/../x"])
def test_paths_that_leave_the_root_are_refused(path: str) -> None:
    with pytest.raises(LayerError, match="leaves the root"):
        read_image([saved([one(entry(path))])])


def test_links_out_of_the_root_lead_to_the_root_and_write_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    layers = [
        one(entry("way", type=tarfile.SYMTYPE, linkname="/../../../../" + str(tmp_path))),
        one(entry("way/evil", size=4), b"evil"),
        one(entry("up", type=tarfile.SYMTYPE, linkname="../../../..")),
        one(entry("up/bin/sh", size=2, mode=0o755), b"#!"),
    ]
    found = look(saved(layers))
    assert found is not None
    assert found.inventory.tools["shells"] == {"sh": ("bin/sh",)}
    assert list(tmp_path.iterdir()) == []


def test_circles_of_links_are_an_error_and_lead_nowhere() -> None:
    circle = [
        one(entry("bin/sh", type=tarfile.SYMTYPE, linkname="bash")),
        one(entry("bin/bash", type=tarfile.SYMTYPE, linkname="sh")),
    ]
    found = look(saved(circle))
    assert found is not None
    assert found.inventory.tools["shells"] == {}
    circle = [one(entry("a", type=tarfile.SYMTYPE, linkname="a")), one(entry("a/b"))]
    assert look(saved(circle)) is None


def test_devices_and_pipes_are_entries_and_no_more() -> None:
    layers = [
        one(entry("dev/sda", type=tarfile.BLKTYPE, devmajor=8, mode=0o666)),
        one(entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)),
        one(entry("run/pipe", type=tarfile.FIFOTYPE, mode=0o622)),
    ]
    found = look(saved(layers))
    assert found is not None
    assert [special.path for special in found.inventory.writable] == ["dev/null", "dev/sda", "run/pipe"]


def test_a_name_of_4_gb_is_refused_before_it_is_read() -> None:
    member = entry("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=4 << 30)
    with pytest.raises(LayerError, match="extended header"):
        read_image([saved([member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)])])


def test_a_sparse_file_of_terabytes_is_a_number() -> None:
    member = entry("disk", size=0)
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "disk", "GNU.sparse.realsize": str(1 << 42)}
    found = look(saved([member.tobuf(tarfile.PAX_FORMAT) + bytes(1024)]))
    assert found is not None
    assert found.account.unpacked == 1 << 42


def test_a_layer_of_another_digest_is_refused() -> None:
    data = WHOLE.replace(b"Essential: yes", b"Essential: no ")
    with pytest.raises(LayerError, match="as the config says"):
        read_image([data], digests=True)


def measured(stream: Iterator[bytes]) -> tuple[str, float, int]:
    """What a hostile stream comes to, the processor's seconds and the peak of memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        inspect(stream, name="x", image="sha256:0")
    except LayerError as error:
        outcome = error.what
    else:
        outcome = "read"
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return outcome, seconds, peak


def stream_of(entries: Iterator[bytes], size: int) -> Iterator[bytes]:
    """A docker-archive whose layer is made as it is read."""
    yield entry("layer.tar", size=size).tobuf(tarfile.GNU_FORMAT)
    yield from entries


def test_more_entries_than_the_limit_are_passed_over_not_kept(monkeypatch) -> None:
    """With the limit lowered, so that the test is quick."""
    from harness.image import read as imageread

    monkeypatch.setattr(imageread, "MAX_ENTRIES", 2_000)
    count = 20_000
    headers = [entry(f"d/{number}").tobuf(tarfile.GNU_FORMAT) for number in range(count)]  # not part of the peak
    outcome, _, peak = measured(stream_of(iter(headers), 512 * count))
    assert outcome == "not an image: it has neither manifest.json nor index.json"
    assert peak < 2 << 20  # ten times as much if all were kept


def test_a_compressed_layer_of_zeros_is_walked_in_pieces() -> None:
    """A quarter of a gigabyte in 260 kB: one file of zeros, gzipped."""
    size = 256 << 20
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as packed:
        packed.write(entry("zeros", size=size).tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
        packed.write(bytes(1024))
    image = saved([out.getvalue()])
    outcome, seconds, peak = measured(iter([image]))
    assert (outcome, seconds < 30, peak < 64 << 20) == ("read", True, True)


def test_the_base_is_the_lowest_layers_even_if_one_of_them_comes_again() -> None:
    """Base: 3 MB and an empty layer. The cell adds 5 MB and the same empty layer."""
    empty = layer({})
    tars = [layer({"usr/base": b"b" * 3_000_000}), empty, layer({"app/own": b"a" * 5_000_000}), empty]
    contents = read_image(pieces(saved(tars)), examine=Examiner())
    assert contents.layers[1].diff_id == contents.layers[3].diff_id
    found = inspection_of(contents, name="x", image="sha256:0", packed=[], base=2)
    assert (found.base_unpacked, found.account.unpacked) == (3_000_000, 8_000_000)
    assert found.contents == (3_000_000, 0, 5_000_000, 0)
