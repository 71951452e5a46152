"""What other programs list of the packages in an image, beside what Tare lists: recall and precision by ecosystem.

    python tests/support/agreement.py --cache CACHE [--syft PATH] NAME=LAYER.tar[,LAYER.tar…] NAME=KEPT …

An image is the layers of a made base (CACHE/bases/layers) or a kept image (CACHE/shelf/KEY). Layers are unpacked as an
engine does and read by programs that share nothing with harness/surface: dpkg-query, rpm, pacman, Python's
importlib.metadata, find with a JSON parser for package.json, `go version -m`, and syft if it is there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tabulate import tabulate

from harness.engine.fake.engine import FakeEngine
from harness.image.read import ImageContents, read_layer, read_layers
from harness.lab.origins import CellOrigins, KnownFiles
from harness.surface.examine import Examiner
from harness.surface.inspection import inspection_of
from harness.surface.inventory import Inventory
from harness.surface.origins import Wanted
from support.foreign_images import pacman_list, rpm_list
from support.gnu_tools import _debian, _python, layers_of, unpack

_SYFT = {"deb": "deb", "python": "pypi", "npm": "npm", "go-module": "golang", "java-archive": "maven", "rpm": "rpm"}
_SYFT |= {"rust-crate": "cargo", "apk": "apk", "alpm": "alpm"}
_ECOSYSTEMS = ("deb", "rpm", "apk", "alpm", "pypi", "npm", "maven", "golang", "cargo")
_NAMED = 4  # differences that are listed by name


@dataclass(frozen=True)
class Agreement:
    """One ecosystem of one image: names with versions."""

    image: str
    ecosystem: str
    ours: frozenset[str]
    theirs: frozenset[str]
    reader: str
    syft: frozenset[str] | None

    @property
    def recall(self) -> float:
        return len(self.ours & self.theirs) / len(self.theirs) if self.theirs else 1.0

    @property
    def precision(self) -> float:
        return len(self.ours & self.theirs) / len(self.ours) if self.ours else 1.0

    def row(self) -> tuple[str, ...]:
        syft = "–" if self.syft is None else str(len(self.syft))
        shares = f"{self.recall:.3f}", f"{self.precision:.3f}"
        return (
            *(self.image, self.ecosystem, str(len(self.ours)), f"{len(self.theirs)} ({self.reader})", syft),
            *(*shares, self.difference()),
        )

    def difference(self) -> str:
        texts = []
        for who, names in (("Tare only", self.ours - self.theirs), ("reader only", self.theirs - self.ours)):
            if names:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                texts.append(f"{who}: {', '.join(sorted(names)[:_NAMED])}{more}")
        return "; ".join(texts)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def inventory(layers: Sequence[Path], known: KnownFiles) -> Inventory:
    """Tare's own reading, with the available packages for tracing."""
    config = {"rootfs": {"diff_ids": [f"sha256:{number}" for number in range(len(layers))]}}
    contents: ImageContents = read_layers(config, map(pieces, layers), examine=Examiner())

    def md5(wanted: Mapping[int, frozenset[str]]) -> Mapping[tuple[int, str], bytes]:
        found = {}
        for number, paths in wanted.items():
            look = Wanted(paths)
            read_layer(pieces(layers[number]), examine=look)
            found |= {(number, path): digest for path, digest in look.found.items()}
        return found

    origins = CellOrigins(known.ensure(()), frozenset(), {}, md5)
    return inspection_of(contents, name="x", image="sha256:0", packed=[], base=0, origins=origins).inventory


def go_modules(root: Path) -> frozenset[str]:
    found = set()
    done = subprocess.run(["go", "version", "-m", root], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        fields = line.split("\t")
        if len(fields) >= 4 and fields[1] == "dep":
            found.add(f"{fields[2]} {fields[3]}")
        elif match := re.match(r"\S.*: go(\d\S*)", line):
            found.add(f"stdlib {match[1]}")
    return frozenset(found)


def node_packages(root: Path) -> frozenset[str]:
    """By the places of npm's folders, without following links."""
    found = set()
    folders = chain(root.rglob("node_modules/*"), root.rglob("node_modules/@*/*"), root.glob("usr/share/nodejs/*"))
    for folder in chain(folders, root.glob("usr/share/nodejs/@*/*")):
        path = folder / "package.json"
        if folder.is_symlink() or path.is_symlink() or not path.is_file():
            continue
        document = json.loads(path.read_bytes())
        if document.get("name") and document.get("version"):
            found.add(f"{document['name']} {document['version']}")
    return frozenset(found)


READERS: Mapping[str, tuple[str, Callable[[Path], frozenset[str]]]] = {
    "deb": ("dpkg-query", _debian),
    "pypi": ("importlib.metadata", _python),
    "npm": ("find, JSON", node_packages),
    "golang": ("go version -m", go_modules),
    "rpm": ("rpm -qa", rpm_list),
    "alpm": ("pacman -Q", pacman_list),
}


def syft_list(program: Path, root: Path) -> list[tuple[str, str, str]]:
    """Ecosystem, name and version of all that syft finds, each jar once.

    syft lists a jar by the artifact of its pom.properties and, if the file has another name, by the file's name too.
    """
    done = subprocess.run([program, "scan", f"dir:{root}", "-q", "-o", "json"], capture_output=True, check=True)
    listed = json.loads(done.stdout)["artifacts"]
    said = [item["metadata"] for item in listed if item["type"] == "java-archive"]
    named = {data["virtualPath"].partition(":")[0] for data in said if "pomProperties" in data}
    return [
        (_SYFT.get(item["type"], item["type"]), item["name"], item["version"])
        for item in listed
        if item["type"] != "java-archive"
        or "pomProperties" in item["metadata"]
        or item["metadata"]["virtualPath"] not in named
    ]


def compare(
    name: str, layers: Sequence[Path], known: KnownFiles, syft: Path | None
) -> tuple[list[Agreement], list[str]]:
    """The ecosystems of one image, and a row of totals."""
    found = inventory(layers, known)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        unpack(layers, root)
        others = syft_list(syft, root) if syft else None
        agreements = [one for kind in _ECOSYSTEMS if (one := _agreement(name, kind, found, root, others))]
    counts = found.counts()
    theirs = "–" if others is None else str(len(set(others)))
    totals = [name, *(str(counts.get(key, "not measured")) for key in ("components", "hidden", "unexplained")), theirs]
    return agreements, totals


def _agreement(
    name: str, kind: str, found: Inventory, root: Path, others: list[tuple[str, str, str]] | None
) -> Agreement | None:
    ours = frozenset(_named(found, kind))
    listed = None
    if others is not None:
        listed = frozenset(
            _normal(kind, package, version) for ecosystem, package, version in others if ecosystem == kind
        )
    reader, read = READERS.get(kind, ("syft", None))
    theirs = frozenset(_normal(kind, *line.rsplit(" ", 1)) for line in read(root)) if read else listed
    if theirs is None or not (ours or theirs):
        return None
    return Agreement(name, kind, ours, theirs, reader, listed)


def _named(found: Inventory, kind: str) -> Iterator[str]:
    """What the image declares, without the app itself if readers leave it out."""
    for item in found.packages:
        package = item.package
        if package.ecosystem == kind and not item.is_traced and not (package.application and kind == "golang"):
            group = package.group if kind == "npm" else ""
            yield _normal(kind, f"{group}/{package.name}" if group else package.name, package.version)


def _normal(kind: str, name: str, version: str) -> str:
    if kind == "pypi":
        name = re.sub(r"[-_.]+", "-", name).lower()
    version = "" if version == "UNKNOWN" else version  # in syft: the jar states no version
    return f"{name} {version.removeprefix('go') if name == 'stdlib' else version}"


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--syft", type=Path)
    parser.add_argument("images", nargs="+")
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    known = KnownFiles(FakeEngine(), options.cache)
    rows, totals = [], []
    for image in options.images:
        name, _, where = image.partition("=")
        kept = Path(where)
        layers = layers_of(kept) if kept.is_dir() else [Path(path) for path in where.split(",")]
        agreements, total = compare(name, layers, known, options.syft)
        rows += [one.row() for one in agreements]
        totals.append(total)
    known.close()
    heads = ("image", "packages of", "Tare", "reader", "syft", "recall", "precision", "differences")
    print(tabulate(rows, headers=heads, tablefmt="github", disable_numparse=True))
    print()
    heads = ("image", "components", "hidden", "unexplained, B", "syft's artifacts")
    print(tabulate(totals, headers=heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
