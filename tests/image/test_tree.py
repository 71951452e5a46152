"""Reading the layers of an image, and the tree and the numbers they make."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.util
import io
import json
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.engine.docker import DockerEngine
from harness.image.read import read_layers
from harness.image.tar import clean
from harness.image.tree import (
    Entry,
    ImageContents,
    Kind,
    Layer,
    LayerError,
    account,
    beyond,
    flatten,
    read_image,
    read_layer,
)
from harness.settings import LABEL
from support.engine_contract import new_name

calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.SYMLINK: tarfile.SYMTYPE,
    Kind.HARDLINK: tarfile.LNKTYPE,
    Kind.CHARACTER: tarfile.CHRTYPE,
    Kind.BLOCK: tarfile.BLKTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}


# ---- making archives


def entry(path: str, kind: Kind = Kind.FILE, *, size: int = 0, link: str = "", mode: int = 0o644) -> Entry:
    device = (1, 3) if kind in (Kind.CHARACTER, Kind.BLOCK) else None
    return Entry(path, kind, mode, 0, 0, size, link, device)


def folder(path: str) -> Entry:
    return entry(path, Kind.DIRECTORY, mode=0o755)


def tar(entries: Sequence[Entry], *, form: str = "pax", prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[form]) as archive:
        for item in entries:
            member = tarfile.TarInfo(prefix + item.path)
            member.type, member.mode, member.uid, member.gid = TYPES[item.kind], item.mode, item.uid, item.gid
            member.size, member.linkname = item.size, item.link
            member.devmajor, member.devminor = item.device or (0, 0)
            archive.addfile(member, io.BytesIO(b"x" * item.size))
    return buffer.getvalue()


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """`data` cut into pieces of the sizes of `cuts`, over and over."""
    at = number = 0
    while at < len(data):
        size = cuts[number % len(cuts)]
        yield data[at : at + size]
        at += size
        number += 1


def bundle(members: Sequence[tuple[str, bytes | str]]) -> bytes:
    """An archive of files; a text as content makes a symlink."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def docker_members(tars: Sequence[bytes]) -> list[tuple[str, bytes | str]]:
    """The form of docker 20.10: a repeated layer is a symlink to its first place."""
    members: list[tuple[str, bytes | str]] = []
    names: list[str] = []
    first: dict[bytes, str] = {}
    for number, data in enumerate(tars):
        name = f"{number:064x}/layer.tar"
        members.append((f"{number:064x}/VERSION", b"1.0"))
        members.append((name, f"../{first[data]}" if data in first else data))
        first.setdefault(data, name)
        names.append(name)
    rootfs = {"type": "layers", "diff_ids": [digest(data) for data in tars]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["tare.local/x:y"], "Layers": names}]
    return [*members, ("config.json", config), ("manifest.json", json.dumps(manifest).encode())]


def oci_members(tars: Sequence[bytes], *, compress: bool = True) -> list[tuple[str, bytes | str]]:
    """As BuildKit and containerd save: an index of the image and its provenance, the latter of no platform."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes) -> dict[str, object]:
        blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def document(content: object) -> dict[str, object]:
        return blob(json.dumps(content).encode())

    layers = [blob(gzip.compress(data, mtime=0) if compress else data) for data in tars]
    config = document({"rootfs": {"type": "layers", "diff_ids": [digest(data) for data in tars]}})
    image = document({"config": config, "layers": layers})
    proof = document({"config": document({}), "layers": [document({"_type": "in-toto"})]})
    proof["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    other = {"digest": "sha256:" + "0" * 64, "platform": {"architecture": "arm64"}}  # in the index, but not saved
    index = document({"manifests": [image, proof, other]})
    members: list[tuple[str, bytes | str]] = [("index.json", json.dumps({"manifests": [index]}).encode())]
    members += [("blobs/" + name.replace(":", "/"), data) for name, data in blobs.items()]
    return [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *members]


def image(*layers: Sequence[Entry]) -> ImageContents:
    return ImageContents(layers=tuple(read_layer([tar(layer)]) for layer in layers), config={})


# ---- the tar reader

names = st.text("ab.wh- \\\n=ÄŋЖ中🐋", min_size=1, max_size=70)
paths = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=6).map("/".join)
numbers = st.one_of(st.integers(0, 2000), st.integers(0, 2**31 - 1))


@st.composite
def any_entry(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(Kind))
    link = draw(paths) if kind in (Kind.SYMLINK, Kind.HARDLINK) else ""
    size = draw(st.integers(0, 2000)) if kind is Kind.FILE else 0
    device = (draw(st.integers(0, 4095)), draw(st.integers(0, 4095))) if entry("", kind).device else None
    return Entry(draw(paths), kind, draw(st.integers(0, 0o7777)), draw(numbers), draw(numbers), size, link, device)


entry_lists = st.lists(any_entry(), max_size=8)
cut_lists = st.lists(st.integers(1, 3000), min_size=1, max_size=5)


@calm
@given(entry_lists, st.sampled_from(sorted(FORMATS)), st.sampled_from(["", "./", "/"]), cut_lists)
def test_reads_back_what_tarfile_writes(entries: list[Entry], form: str, prefix: str, cuts: list[int]) -> None:
    try:
        data = tar(entries, form=form, prefix=prefix)
    except ValueError:  # ustar cannot say everything
        assume(False)
    layer = read_layer(pieces(data, cuts), digest=True)
    sizes = [item.size for item in entries if not item.path.rpartition("/")[2].startswith(".wh.") and item.size]
    assert layer.entries == tuple(entries)
    assert (layer.diff_id, layer.size, layer.packed, layer.content) == (digest(data), len(data), None, sum(sizes))


@calm
@given(entry_lists, cut_lists, st.integers(1, 3))
def test_gzip_of_one_or_more_members_reads_as_its_content(entries: list[Entry], cuts: list[int], parts: int) -> None:
    data = tar(entries)
    step = len(data) // parts + 1
    packed = b"".join(gzip.compress(data[at : at + step]) for at in range(0, len(data), step))
    layer = read_layer(pieces(packed, cuts), digest=True)
    assert (layer.entries, layer.diff_id, layer.packed) == (tuple(entries), digest(data), len(packed))


@calm
@given(st.data(), entry_lists, st.booleans())
def test_cut_off_anywhere_is_an_error_or_a_prefix_between_entries(
    data: st.DataObject, entries: list[Entry], compressed: bool
) -> None:
    whole = gzip.compress(tar(entries)) if compressed else tar(entries)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        layer = read_layer([cut])
    except LayerError:
        return
    assert layer.entries == tuple(entries[: len(layer.entries)])
    assert not compressed or cut == b""  # gzip knows its own end
    assert len(cut) % 512 == 0 or layer.entries == tuple(entries)  # behind the end mark nothing matters


@calm
@given(st.data(), entry_lists, st.booleans())
def test_damage_is_an_error_or_another_archive_never_a_crash(
    data: st.DataObject, entries: list[Entry], compressed: bool
) -> None:
    damaged = bytearray(gzip.compress(tar(entries)) if compressed else tar(entries))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        read_layer([bytes(damaged)])
    except LayerError as error:
        assert error.fix


@calm
@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=4))
def test_sparse_files_have_the_size_they_unpack_to(holes: list[int]) -> None:
    """The old GNU form, with its map in the header, and further map blocks behind it."""
    header = bytearray(tarfile.TarInfo("disk").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"%011o\0" % 700  # stored
    header[156:157] = b"S"
    header[482] = 1
    header[483:495] = b"%011o\0" % (700 + sum(holes))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more = [bytes(504) + bytes([number + 1 < len(holes)]) + bytes(7) for number in range(len(holes))]
    layer = read_layer([bytes(header), *more, b"x" * 700, bytes(-700 % 512), tar([entry("after", size=3)])])
    assert [(item.path, item.size) for item in layer.entries] == [("disk", 700 + sum(holes)), ("after", 3)]


def test_sparse_files_of_the_pax_form_have_their_name_and_size() -> None:
    member = tarfile.TarInfo("GNUSparseFile.0/disk")
    member.size = 600
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "disk", "GNU.sparse.realsize": "9000"}
    data = member.tobuf(tarfile.PAX_FORMAT) + b"x" * 600 + bytes(-600 % 512) + bytes(1024)
    assert read_layer([data]).entries == (entry("disk", size=9000),)


def test_a_folder_of_v7_and_signed_checksums_are_understood() -> None:
    header = bytearray(tarfile.TarInfo("böse/".encode().decode()).tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    header[156:157] = b"\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in header)
    (only,) = read_layer([bytes(header)]).entries
    assert (only.path, only.kind) == ("böse", Kind.DIRECTORY)


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("./a/b/", "a/b"), ("/a", "a"), ("a//b/./c", "a/b/c"), ("a/../b", "b"), (".", ""), ("./", ""), (".a/.b", ".a/.b")],
)
def test_paths_are_cleaned(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


@pytest.mark.parametrize("path", ["../a", "a/../../b", "..", "a\0b", "a" * 5000])
def test_paths_that_cannot_be_are_refused(path: str) -> None:
    with pytest.raises(LayerError):
        clean(path)


def test_hostile_lengths_are_refused_before_they_are_read() -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    with pytest.raises(LayerError, match="extended header of 1099511627776 bytes"):
        read_layer([header.tobuf(tarfile.GNU_FORMAT)])


def test_an_entry_type_no_layer_may_have_is_refused() -> None:
    header = tarfile.TarInfo("label")
    header.type = b"V"
    with pytest.raises(LayerError, match="type b'V'"):
        read_layer([header.tobuf(tarfile.GNU_FORMAT)])


def test_zstd_is_read_or_refused_with_what_to_do() -> None:
    if importlib.util.find_spec("zstandard") is None:
        with pytest.raises(LayerError, match=r"zstd.*Install"):
            read_layer([b"\x28\xb5\x2f\xfd" + bytes(20)])
        return
    zstandard = importlib.import_module("zstandard")
    data = tar([entry("a", size=100_000), entry("b", size=3)])
    packed = b"".join(zstandard.compress(half) for half in (data[:70_000], data[70_000:]))
    layer = read_layer(pieces(packed, [7, 100]), digest=True)
    assert (layer.diff_id, layer.packed) == (digest(data), len(packed))
    with pytest.raises(LayerError):
        read_layer([packed[:-20]])


# ---- image archives

LAYERS = (
    [folder("etc"), entry("etc/a", size=700)],
    [entry("etc/.wh.a"), entry("b", size=5000)],
    [],
    [folder("etc"), entry("etc/a", size=700)],  # the same as the first
)


@pytest.mark.parametrize("digests", [False, True])
@calm
@given(st.data())
def test_images_read_alike_from_every_archive_in_any_order(digests: bool, data: st.DataObject) -> None:
    tars = [tar(layer) for layer in LAYERS]
    make = data.draw(st.sampled_from([docker_members, oci_members, lambda tars: oci_members(tars, compress=False)]))
    archive = bundle(data.draw(st.permutations(make(tars))))
    contents = read_image(pieces(archive, data.draw(cut_lists)), digests=digests)
    assert [layer.diff_id for layer in contents.layers] == [digest(data) for data in tars]
    assert [layer.entries for layer in contents.layers] == [tuple(layer) for layer in LAYERS]
    assert contents.config["rootfs"]["diff_ids"] == [digest(data) for data in tars]


@calm
@given(st.data(), st.sampled_from([docker_members, oci_members]))
def test_an_archive_cut_off_is_an_error_unless_the_whole_image_is_there(data: st.DataObject, make: object) -> None:
    assert callable(make)
    archive = bundle(make([tar(layer) for layer in LAYERS]))
    whole = read_image([archive])
    try:
        contents = read_image([archive[: data.draw(st.integers(0, len(archive)))]])
    except LayerError:
        return
    assert contents == whole


def pax_layer(records: bytes) -> bytes:
    """A layer whose one file has these bytes for a pax header."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    return header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512) + tar([entry("a")], form="ustar")


@pytest.mark.parametrize("records", [b"=\n", b"a=b\n", b" =\n", b"0 a=\n", b"1 a=\n", b"9999999999 a=b\n", b"6 a=b"])
def test_a_broken_pax_header_is_an_error_and_not_read_forever(records: bytes) -> None:
    with pytest.raises(LayerError, match="a broken pax header"):
        read_layer([pax_layer(records)])


@calm
@given(st.text(alphabet="0123456789 =\nab", max_size=40))
def test_whatever_a_pax_header_says_it_is_read_to_its_end(records: str) -> None:
    with contextlib.suppress(LayerError):
        assert [one.path for one in read_layer([pax_layer(records.encode())]).entries] == ["a"]


@calm
@given(st.data())
def test_layers_from_a_registry_are_read_as_those_of_an_archive(data: st.DataObject) -> None:
    tars = [tar(layer) for layer in LAYERS]
    archived = read_image([bundle(docker_members(tars))])
    packed = [gzip.compress(one) if data.draw(st.booleans()) else one for one in tars]
    contents = read_layers(archived.config, (pieces(one, data.draw(cut_lists)) for one in packed))
    assert [replace(layer, packed=None) for layer in contents.layers] == list(archived.layers)
    assert [layer.packed for layer in contents.layers] == [
        len(one) if one[:2] == b"\x1f\x8b" else None for one in packed
    ]


def test_a_broken_layer_of_a_registry_is_named() -> None:
    tars = [tar(layer) for layer in LAYERS]
    config = read_image([bundle(docker_members(tars))]).config
    with pytest.raises(LayerError, match="layer 1: cut off"):
        read_layers(config, [[tars[0]], [tars[1][:700]], *([one] for one in tars[2:])])
    with pytest.raises(LayerError, match="4 diff_ids for 3 layers"):
        read_layers(config, [[one] for one in tars[1:]])
    with pytest.raises(LayerError, match=r"no rootfs\.diff_ids"):
        read_layers({}, [[one] for one in tars])


def test_all_layers_of_a_registry_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    one = tar([entry("a"), entry("b")])
    config = {"rootfs": {"diff_ids": [digest(one)] * 2}}
    monkeypatch.setattr("harness.image.read.MAX_ENTRIES", 3)
    with pytest.raises(LayerError, match="layer 1: the archive has more entries"):
        read_layers(config, [[one], [one]])


def without(members: list[tuple[str, bytes | str]], name: str) -> list[tuple[str, bytes | str]]:
    return [member for member in members if member[0] != name]


def test_mistakes_of_an_archive_say_what_is_wrong() -> None:
    one = tar([entry("a")])
    members = docker_members([one])
    layer_name = f"{0:064x}/layer.tar"
    manifest = [{"Config": "config.json", "Layers": [layer_name]}]

    def fault(members: list[tuple[str, bytes | str]], **options: bool) -> str:
        with pytest.raises(LayerError) as caught:
            read_image([bundle(members)], **options)
        return str(caught.value)

    assert "neither manifest.json nor index.json" in fault([("x", b"{}")])
    assert "missing in the archive, or not a layer" in fault(without(members, layer_name))
    assert "missing in the archive, or not a JSON document" in fault(without(members, "config.json"))
    broken = [*without(members, layer_name), (layer_name, one[:512] + b"y" * 512)]
    assert f"{layer_name}: no tar header at byte 512" in fault(broken)
    several = json.dumps(manifest * 2).encode()
    assert "2 images in one archive" in fault([*without(members, "manifest.json"), ("manifest.json", several)])
    assert "not a list of one image" in fault([*without(members, "manifest.json"), ("manifest.json", b'{"a": 1}')])
    assert "not JSON" in fault([*without(members, "manifest.json"), ("manifest.json", b"[" * 100_000)])
    assert "0 diff_ids" in fault([*without(members, "config.json"), ("config.json", b'{"rootfs": {"diff_ids": []}}')])
    assert "no rootfs" in fault([*without(members, "config.json"), ("config.json", b"[1]")])
    other = json.dumps({"rootfs": {"diff_ids": [digest(b"")]}}).encode()
    assert "as the config says" in fault([*without(members, "config.json"), ("config.json", other)], digests=True)
    circle: list[tuple[str, bytes | str]] = [(layer_name, f"../{layer_name}")]
    assert "not a layer" in fault([*without(members, layer_name), *circle])


def test_the_error_of_the_stream_itself_passes_through() -> None:
    def stream() -> Iterator[bytes]:
        yield bundle(docker_members([tar([entry("a", size=9000)])]))[:5000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        read_image(stream())


# ---- the tree

KINDS = (Kind.FILE, Kind.DIRECTORY, Kind.HARDLINK)
steps = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
        st.sampled_from([*KINDS, "whiteout", "opaque"]),
        st.integers(0, 99),
    ),
    max_size=8,
)


def simple_tree(layers: Sequence[Sequence[Entry]]) -> tuple[dict[str, tuple[Entry, int]], int]:
    """The tree and its unpacked bytes as layer.md words them, slowly, over a flat dictionary; no symlinks."""
    tree: dict[str, tuple[Entry, int]] = {}
    inodes: dict[str, tuple[int, int]] = {}  # path → layer and position of the file's entry

    def remove(path: str, *, below: bool) -> None:
        for other in list(tree):
            if (other.startswith(f"{path}/" if path else "") and other) or (other == path and not below):
                tree.pop(other)
                inodes.pop(other, None)

    for number, layer in enumerate(layers):
        for item in layer:
            parent, _, name = item.path.rpartition("/")
            if any(tree[up][0].kind is not Kind.DIRECTORY for up in [parent] if up in tree):
                continue
            if name == ".wh..wh..opq":
                remove(parent, below=True)
            elif name.startswith(".wh."):
                remove(item.path.replace(".wh.", ""), below=False)
        for position, item in enumerate(layer):
            if ".wh." in item.path:
                continue
            parts = item.path.split("/")
            for depth in range(1, len(parts)):
                above = "/".join(parts[:depth])
                if above in tree and tree[above][0].kind is not Kind.DIRECTORY:
                    remove(above, below=False)
            source = inodes.get(item.link) if item.kind is Kind.HARDLINK else (number, position)
            merges = item.kind is Kind.DIRECTORY and (item.path not in tree or tree[item.path][0].kind == item.kind)
            if not merges:
                remove(item.path, below=False)
            tree[item.path] = (item, number)
            if item.kind is not Kind.DIRECTORY and source:
                inodes[item.path] = source
    return tree, sum(layers[number][position].size for number, position in set(inodes.values()))


@calm
@given(st.lists(steps, min_size=1, max_size=4))
def test_the_tree_is_what_the_specification_says(plan: list[list[tuple[str, Kind | str, int]]]) -> None:
    layers: list[list[Entry]] = []
    for step in plan:
        layers.append([])
        for path, kind, size in step:
            parent, _, name = path.rpartition("/")
            if kind == "opaque":
                layers[-1].append(entry(f"{path}/.wh..wh..opq"))
            elif kind == "whiteout":
                layers[-1].append(entry(f"{parent}/.wh.{name}".lstrip("/")))
            elif kind is Kind.HARDLINK:
                tree, _ = simple_tree(layers)  # an engine writes all names of a file into one layer
                here = {other: item for other, (item, layer) in tree.items() if layer == len(layers) - 1}
                targets = sorted(other for other, item in here.items() if item.kind is not Kind.DIRECTORY)
                if targets and targets[size % len(targets)] != path:
                    target = targets[size % len(targets)]
                    if not target.startswith(f"{path}/") and not path.startswith(f"{target}/"):
                        layers[-1].append(entry(path, Kind.HARDLINK, link=target))
            else:
                assert isinstance(kind, Kind)
                layers[-1].append(entry(path, kind, size=size if kind is Kind.FILE else 0))
    contents = image(*layers)
    tree, expected = simple_tree(layers)
    assert dict(flatten(contents)) == tree
    total = account(contents)
    assert (total.unpacked, total.entries, total.layers) == (expected, len(tree), len(layers))
    assert total.files == sum(item.kind in (Kind.FILE, Kind.HARDLINK) for item, _ in tree.values())
    assert sum(total.hidden) == total.wasted == total.content - total.unpacked
    assert all(0 <= hidden <= layer.content for hidden, layer in zip(total.hidden, contents.layers, strict=True))


def test_whiteouts_hide_lower_layers_only() -> None:
    contents = image(
        [folder("d"), entry("d/old", size=10), entry("d/kept", size=1)],
        [entry("d/new", size=100), entry("d/.wh..wh..opq"), entry(".wh.e"), entry("e", size=1000)],
    )
    assert set(flatten(contents)) == {"d", "d/new", "e"}
    assert account(contents).hidden == (11, 0)
    assert account(contents).unpacked == 1100


def test_entries_below_a_symlinked_folder_go_where_it_leads() -> None:
    """Debian's /bin is a link to usr/bin: what a layer brings as bin/tool is one file, and bin stays a link."""
    contents = image(
        [folder("usr"), folder("usr/bin"), entry("bin", Kind.SYMLINK, link="usr/bin"), entry("usr/bin/sh", size=8)],
        [entry("bin/tool", size=1), entry("bin/sh", size=16), entry("sbin", Kind.SYMLINK, link="/bin/../bin/.")],
        [entry("sbin/tool", size=2), entry("alias", Kind.HARDLINK, link="bin/sh")],
        [entry("sbin/.wh.sh")],
    )
    tree = flatten(contents)
    assert {path: placed.layer for path, placed in tree.items()} == {
        "usr": 0,
        "usr/bin": 0,
        "bin": 0,
        "sbin": 1,
        "usr/bin/tool": 2,
        "alias": 2,
    }
    assert (account(contents).unpacked, account(contents).wasted) == (18, 9)


def test_a_folder_entry_replaces_a_symlink() -> None:
    contents = image([entry("bin", Kind.SYMLINK, link="usr/bin")], [folder("bin"), entry("bin/sh", size=1)])
    assert set(flatten(contents)) == {"bin", "bin/sh"}


def test_hard_links_count_once_and_outlive_their_first_name() -> None:
    contents = image(
        [entry("a", size=100), entry("b", Kind.HARDLINK, link="a"), entry("c", Kind.HARDLINK, link="b")],
        [entry(".wh.a"), entry("b", size=7)],
    )
    assert (account(contents).unpacked, account(contents).files, account(contents).wasted) == (107, 2, 0)


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        ([entry("b", Kind.HARDLINK, link="a")], "b is a hard link to a, which is not there"),
        ([entry("a", Kind.SYMLINK, link="a"), entry("a/b")], "in a circle"),
        ([Entry("", Kind.FIFO, 0, 0, 0, 0, "", None)], "in place of the root"),
    ],
)
def test_trees_that_cannot_be_are_refused(layer: list[Entry], fault: str) -> None:
    with pytest.raises(LayerError, match=fault):
        flatten(image(layer))


def test_a_path_of_two_thousand_folders_is_no_matter() -> None:
    path = "/".join("a" * 2000)
    assert list(flatten(image([entry(path)]))) == [path]


def test_beyond_a_base_are_the_layers_it_does_not_have() -> None:
    def layer(name: str) -> Layer:
        return Layer(diff_id=name, packed=None, size=1024, content=0, files=0, entries=())

    contents = ImageContents(layers=(layer("a"), layer("b"), layer("c")), config={})
    assert [layer.diff_id for layer in beyond(contents, {"a", "x"})] == ["b", "c"]


def test_many_entries_keep_their_order() -> None:
    shuffled = [entry(f"d/{number}", size=number % 7) for number in range(3000)]
    random.Random(1).shuffle(shuffled)
    assert read_layer(pieces(tar(shuffled), [4096])).entries == tuple(shuffled)


@pytest.mark.live
def test_an_engine_unpacks_an_image_as_it_is_read_here(live_engine: DockerEngine, tmp_path: Path) -> None:
    """A saved image has the layers that the engine was given, and a container's file system is the same tree."""
    layers = (
        [folder("d"), entry("d/old", size=10), folder("d/below"), entry("d/below/x", size=20), entry("e", size=40)],
        [folder("d"), entry("d/.wh..wh..opq"), entry("d/new", size=100), entry(".wh.e"), entry("p", Kind.FIFO)],
        [folder("e"), entry("e/a" + "ä" * 120, size=3000), entry("e/b", Kind.HARDLINK, link="e/a" + "ä" * 120)],
        [entry("e/.wh.a" + "ä" * 120), entry("to", Kind.SYMLINK, link="e/b"), entry("null", Kind.CHARACTER)],
        [],
        [folder("d"), entry("d/new", size=7)],
        [],
    )
    archive = tmp_path / "image.tar"
    archive.write_bytes(bundle(docker_members([tar(layer) for layer in layers])))
    name = new_name()
    live_engine.load(archive, tag=name)
    contents = read_image(live_engine.save(name), digests=True)
    assert [set(layer.entries) for layer in contents.layers] == [set(layer) for layer in layers]

    client = docker.APIClient(base_url=live_engine.info.endpoint, version="auto")
    try:
        container = client.create_container(name, ["none"], labels={LABEL: "test"})["Id"]
        exported = read_layer(client.export(container), digest=True)
    finally:
        client.close()
    own = {
        item.path for item in exported.entries if item.path.split("/")[0] in (".dockerenv", "dev", "etc", "proc", "sys")
    }
    assert {item.path for item in exported.entries} - own == set(flatten(contents))
    assert exported.content == account(contents).unpacked == 3007
    assert account(contents).wasted == 170
