"""Images for the tests of what is inside them: layers of files with content, saved as engines save."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class File:
    """A file of a layer. `link` makes it a symlink, `hard` a hard link, `folder` a folder."""

    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    hard: str = ""
    folder: bool = False
    pax: Mapping[str, str] = field(default_factory=dict)


Layer = Mapping[str, File | bytes]


def layer(files: Layer) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, file in files.items():
            file = file if isinstance(file, File) else File(file)
            member = tarfile.TarInfo(path)
            member.mode, member.pax_headers = file.mode, dict(file.pax)
            if file.link or file.hard:
                member.type = tarfile.SYMTYPE if file.link else tarfile.LNKTYPE
                member.linkname = file.link or file.hard
                archive.addfile(member)
            elif file.folder:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(file.content)
                archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def saved(layers: Sequence[bytes], *, config: object = None, history: object = None) -> bytes:
    """A docker-archive of layers."""
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers]
    said = {"config": config or {}, "rootfs": {"type": "layers", "diff_ids": digests}}
    if history is not None:
        said["history"] = history
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    members = dict(zip(names, layers, strict=True))
    members["config.json"] = json.dumps(said).encode()
    members["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    return layer(members)


def pieces(data: bytes, size: int = 1 << 16) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


# ---- files that say something


def elf(sections: Mapping[str, bytes]) -> bytes:
    """A 64-bit little-endian ELF file with these sections."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    body, headers = b"", [bytes(64)]
    at = 1
    for name, content in {**sections, ".shstrtab": names}.items():
        headers.append(struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 64 + len(body), len(content), 0, 0, 1, 0))
        at += len(name) + 1
        body += content
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(headers), len(headers) - 1
    )
    return head + body + b"".join(headers)


def go_program(version: str, modules: str) -> bytes:
    def text(value: bytes) -> bytes:
        length, out = len(value), b""
        while length >= 0x80:
            out += bytes([length & 0x7F | 0x80])
            length >>= 7
        return out + bytes([length]) + value

    marked = b"0123456789abcdef" + modules.encode() + b"fedcba9876543210" if modules else b""
    header = b"\xff Go buildinf:" + bytes([8, 2]) + bytes(16)
    return elf({".text": b"\x90" * 300, ".go.buildinfo": header + text(version.encode()) + text(marked)})


def rust_program(packages: Sequence[Mapping[str, object]]) -> bytes:
    return elf(
        {".dep-v0": zlib.compress(json.dumps({"packages": packages}).encode()), ".comment": b"rustc version 1.85"}
    )


def jar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of 1980, so that each run makes the same bytes
    return buffer.getvalue()


def pom(group: str, artifact: str, version: str) -> dict[str, bytes]:
    path = f"META-INF/maven/{group}/{artifact}/pom.properties"
    return {path: f"#Created\ngroupId={group}\nartifactId={artifact}\nversion={version}\n".encode()}


KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"MIIEpAIBAAKCAQEA" * 8 + b"\n-----END RSA PRIVATE KEY-----\n"
DPKG_STATUS = b"""Package: bash
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2
Description: shell
 Status: deinstall ok config-files

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: libssl3t64
Status: install ok installed
Source: openssl (3.5.1-1)
Architecture: amd64
Version: 3.5.1-1+deb13u1
"""
