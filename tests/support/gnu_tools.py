"""Compares the findings of GNU tar, find, dpkg-query, getcap and Python's own metadata about an image with Tare's.

The image is unpacked as an engine would, and asked with programs that share nothing with harness/surface. As a script,
of cells of a run whose images are still kept (TARE_IMAGES):

    python tests/support/gnu_tools.py results/RUN go-scratch python-distroless shop-full
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from tabulate import tabulate

from harness.surface.ownership import ComponentEvidence

# the default PATH of every engine
_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "csh", "tcsh", "busybox", "rbash"))
_DOWNLOADERS = frozenset(
    ("curl", "wget", "ftp", "git", "ssh", "scp", "sftp", "rsync", "nc", "telnet", "lynx", "w3m", "axel", "socat")
)


@dataclass(frozen=True)
class Row:
    """One thing that both were asked for; `ours` and `theirs` are numbers, or sets of names."""

    what: str
    how: str
    ours: object
    theirs: object

    @property
    def agree(self) -> bool:
        return self.ours == self.theirs

    def cells(self) -> tuple[str, ...]:
        return self.what, _short(self.ours), _short(self.theirs), "yes" if self.agree else self.difference(), self.how

    def difference(self) -> str:
        if isinstance(self.ours, frozenset) and isinstance(self.theirs, frozenset):
            return f"ours only {sorted(self.ours - self.theirs)[:5]}, theirs only {sorted(self.theirs - self.ours)[:5]}"
        return "NO"


def _short(value: object) -> str:
    return str(len(value)) if isinstance(value, frozenset) else str(value)


def layers_of(kept: Path) -> list[Path]:
    """Files of the layers of a kept image, lowest first: what the registry stored of `current`."""

    def blob(digest: str) -> Path:
        return kept / "blobs" / digest.removeprefix("sha256:")

    link = (kept / "repository/_manifests/tags/current/current/link").read_text()
    return [blob(layer["digest"]) for layer in json.loads(blob(link).read_bytes())["layers"]]


def unpack(layers: Iterable[Path], root: Path) -> int:
    """Unpack layers over each other as an engine does; B of the regular files of all of them. Needs root."""
    content = 0
    for layer in layers:
        listed = _lines("tar", "-tvf", layer, "--numeric-owner", "--quoting-style=literal")
        content += sum(int(line.split()[2]) for line in listed if line.startswith("-"))
        for name in _lines("tar", "-tf", layer, "--quoting-style=literal"):
            folder, _, last = name.rstrip("/").rpartition("/")
            if last == ".wh..wh..opq":  # of a folder that may be this layer's own
                for entry in (root / folder).glob("*"):
                    subprocess.run(["rm", "-rf", "--", entry], check=True)
            elif last.startswith(".wh."):
                subprocess.run(["rm", "-rf", "--", root / folder / last.removeprefix(".wh.")], check=True)
        tar = ["tar", "-xpf", layer, "-C", root, "--numeric-owner", "--xattrs", "--xattrs-include=*"]
        subprocess.run([*tar, "--exclude=.wh.*"], check=True)
    return content


def rows(surface: Mapping[str, object], size: Mapping[str, float], root: Path, content: int) -> list[Row]:
    """`surface` is surface.json, `size` the metrics of the size probe, by their names after the last dot."""
    names = [line.split(" ", 2) for line in _find(root, "-type", "f", "-printf", "%i %s %P\\n")]
    sizes = {inode: int(size) for inode, size, _ in names}
    first = {path: min(others) for others in _by_inode(names).values() for path in others}  # a file may have several
    packages = surface["packages"]
    assert isinstance(packages, list)

    def ours(key: str) -> frozenset[str]:
        found = surface[key]
        assert isinstance(found, list)
        return frozenset(item["path"] if isinstance(item, dict) else item for item in found)

    def of_kind(kind: str, names: Iterable[str]) -> frozenset[str]:
        tools = surface["tools"]
        assert isinstance(tools, dict)
        return frozenset(name for name in tools[kind] if name in names)

    def named(ecosystem: str) -> frozenset[str]:
        # a database of the image lists these; GNU's tools read nothing else
        found = (item["package"] for item in packages if item["evidence"] == ComponentEvidence.DECLARED)
        return frozenset(f"{each['name']} {each['version']}" for each in found if each["ecosystem"] == ecosystem)

    def one_each(paths: Iterable[str]) -> frozenset[str]:
        return frozenset(first[path] for path in paths)

    left = sum(sizes.values())
    return [
        Row("unpacked, B", "find -type f, each inode once", int(size["unpacked"]), left),
        Row("files", "find -type f", int(size["files"]), len(names)),
        Row("waste, B", "tar -tv of all layers, less what is left", int(size["waste"]), content - left),
        Row("packages", "dpkg-query, or status.d", named("deb"), _debian(root)),
        Row("Python packages", "importlib.metadata", named("pypi"), _python(root)),
        Row("programs", "find -perm /111, #! or readelf", one_each(ours("executables")), one_each(_programs(root))),
        Row("shells", "test -x in the folders of PATH", of_kind("shells", _SHELLS), _there(root, _SHELLS)),
        Row("download tools", "the same", of_kind("downloaders", _DOWNLOADERS), _there(root, _DOWNLOADERS)),
        Row("setuid, setgid", "find -perm -4000, -2010", ours("setuid"), _setuid(root)),
        Row("writable by all", "find -perm -0002", ours("writable"), _writable(root)),
        Row("capabilities", "getcap -r", ours("capabilities"), _capable(root)),
        Row("private keys", "grep -rl", _keys_of(surface), _keys(root)),
    ]  # fmt: skip


def _lines(*command: str | Path) -> list[str]:
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").splitlines()


def _find(root: Path, *expression: str) -> list[str]:
    return _lines("find", root, "-xdev", *expression)


def _paths(root: Path, *expression: str) -> frozenset[str]:
    return frozenset(_find(root, *expression, "-printf", "%P\\n"))


def _by_inode(names: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    """Paths by inode; `names` are inode, size and path."""
    found: dict[str, list[str]] = {}
    for inode, _, path in names:
        found.setdefault(inode, []).append(path)
    return found


def _programs(root: Path) -> frozenset[str]:
    """Scripts, and of ELF files those that can be started; shared objects are none, though libc.so.6 can be."""
    found, elf = set(), []
    for path in sorted(_paths(root, "-type", "f", "-perm", "/111", "!", "-name", "*.so", "!", "-name", "*.so.[0-9]*")):
        with (root / path).open("rb") as file:
            start = file.read(4)
        if start[:2] == b"#!":
            found.add(path)
        elif start == b"\x7fELF":
            elf.append(path)
    for path in elf:
        said = _lines("readelf", "--wide", "--file-header", "--program-headers", root / path)
        if any(re.search(r"Type:\s+EXEC|Position-Independent Executable|^\s+INTERP\s", line) for line in said):
            found.add(path)
    return frozenset(found)


def _debian(root: Path) -> frozenset[str]:
    found = set()
    if (root / "var/lib/dpkg/status").exists():
        form = "-f=${db:Status-Status} ${Package} ${Version}\\n"
        lines = _lines("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", form)
        found |= {line.removeprefix("installed ") for line in lines if line.startswith("installed ")}
    for path in (root / "var/lib/dpkg").glob("status.d/*"):
        if path.suffix != ".md5sums":
            fields = dict(line.split(": ", 1) for line in path.read_text().splitlines() if ": " in line[:40])
            found.add(f"{fields['Package']} {fields['Version']}")
    return frozenset(found)


def _python(root: Path) -> frozenset[str]:
    folders = {
        str((root / path).parent)
        for path in _paths(root, "(", "-name", "*.dist-info", "-o", "-name", "*.egg-info", ")")
    }
    found = distributions(path=sorted(folders))
    return frozenset(
        f"{re.sub('[-_.]+', '-', each.metadata['Name']).lower()} {each.version}" for each in found
    )  # PEP 503


def _there(root: Path, names: Iterable[str]) -> frozenset[str]:
    """Links of an image lead to the same place as within the image."""

    def target(path: Path, left: int = 40) -> Path:
        resolved = root
        for part in path.relative_to(root).parts:
            resolved /= part
            if resolved.is_symlink() and left:
                link = resolved.readlink()
                base = root if link.is_absolute() else resolved.parent
                resolved = target(Path(os.path.normpath(base / str(link).lstrip("/"))), left - 1)
        return resolved

    places = [root / folder for folder in _FOLDERS]
    found = ((name, target(place / name)) for name in names for place in places)
    return frozenset(name for name, path in found if path.is_file() and path.stat().st_mode & 0o111)


def _setuid(root: Path) -> frozenset[str]:
    return _paths(root, "-type", "f", "(", "-perm", "-4000", "-o", "-perm", "-2010", ")")


def _writable(root: Path) -> frozenset[str]:
    return _paths(root, "!", "-type", "l", "-perm", "-0002", "!", "(", "-type", "d", "-perm", "-1000", ")") - {""}


def _capable(root: Path) -> frozenset[str]:
    program = shutil.which("getcap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert program, "getcap is missing: package libcap2-bin"
    return frozenset(line.split(" ")[0].removeprefix(f"{root}/") for line in _lines(program, "-r", root))


def _keys(root: Path) -> frozenset[str]:
    form = "-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----$"
    found = subprocess.run(["grep", "-rlIE", "-e", form, root], capture_output=True, text=True, check=False)
    return frozenset(line.removeprefix(f"{root}/") for line in found.stdout.splitlines())


def _keys_of(surface: Mapping[str, object]) -> frozenset[str]:
    secrets = surface["secrets"]
    assert isinstance(secrets, list)
    return frozenset(leak["place"] for leak in secrets if "private key" in leak["kind"] and not leak["deleted"])


def check(kept: Path, documents: Path, size: Mapping[str, float]) -> list[Row]:
    """Every row of a cell whose image is kept in the folder `kept`; `documents` are its artefacts."""
    surface = json.loads((documents / "surface.json").read_bytes())
    with tempfile.TemporaryDirectory(prefix="tare-gnu-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        content = unpack(layers_of(kept), root)
        return rows(surface, size, root, content)


def kept_of(shelf: Path, image: str) -> Path:
    """The folder of the kept image of an id."""
    return next(
        record.parent
        for record in shelf.glob("*/record.json")
        if json.loads(record.read_text(encoding="utf-8"))["image"] == image
    )


def main(say: Callable[[str], None] = print) -> int:
    from harness.settings import Settings
    from harness.store.run import read_run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cells", nargs="+")
    asked = parser.parse_args()
    run = read_run(asked.run)
    images = {cell: image for session in run.sessions for cell, image in session.images.items()}
    agree = True
    for cell in asked.cells:
        names = ("unpacked", "files", "waste")
        size = {name: run.series()[cell, f"size.{name}"].value[0] for name in names}
        kept = kept_of(Settings.from_environ().cache / "shelf", images[cell])
        found = check(kept, asked.run / "artefacts" / cell, size)
        agree &= all(row.agree for row in found)
        headers = ("", "Tare", "GNU", "agree", "asked with")
        say(f"\n{cell}\n")
        say(tabulate([row.cells() for row in found], headers=headers, tablefmt="github", disable_numparse=True))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
