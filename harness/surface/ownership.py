"""The packages of the tree, and which file belongs to which package.

By the distribution's own lists (dpkg's info/*.list or *.md5sums, the lists beside a distroless image's status.d, the
databases of apk, rpm, pacman and chisel), by conda's records, by a Python package's RECORD, by a Node.js package's
folder; a jar or a program that lists its parts belongs to the first package in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.image.tree import Tree, TreeNode
from harness.surface import databases
from harness.surface.examine import APK, INFO, STATUS, STATUS_D
from harness.surface.finding import DISTRIBUTION, Ecosystem, Finding, Package

_ARCHITECTURE = re.compile(r":[a-z0-9-]+$")


class ComponentEvidence(StrEnum):
    """The evidence that a component is in an image."""

    DECLARED = "declared"  # a database or document in the image lists it
    NOTE = "ELF note"  # a program declares its package
    RELEASE = "release file"  # a runtime declares itself
    CONTENT = "content"  # a file has the content of a file of the package
    PATH = "path"  # a file has the path of a file of the package
    STRING = "version string"  # a program carries a version
    SONAME = "SONAME"  # a library carries a name, and its version is unknown


_SAID_INSIDE = frozenset((ComponentEvidence.DECLARED, ComponentEvidence.NOTE, ComponentEvidence.RELEASE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A package of the tree."""

    package: Package
    path: str  # the file that lists it
    layer: int  # the layer of that file
    owner: str = ""  # the distribution package that contains it; then it does not count as a package of its own
    size: int = 0  # B of its files that are in the tree
    files: int = 0
    evidence: ComponentEvidence = ComponentEvidence.DECLARED
    origin: str = ""  # of a traced component: the origin of its file, or the evidence in the file

    @property
    def is_distribution(self) -> bool:
        """Whether it is a package of a distribution, declared by the image or traced."""
        return self.package.ecosystem in DISTRIBUTION

    @property
    def is_traced(self) -> bool:
        return self.evidence is not ComponentEvidence.DECLARED

    @property
    def is_hidden(self) -> bool:
        """Nothing in the image declares it, so a scanner of the image does not find it."""
        return self.evidence not in _SAID_INSIDE

    @property
    def is_library(self) -> bool:
        """A language package beside the distribution's packages, without the app itself."""
        return not (self.is_distribution or self.package.application or self.owner or self.is_traced)

    @property
    def is_component(self) -> bool:
        """A component that others made and that may need their fix."""
        return self.is_distribution or self.is_library or self.is_traced


class Owners:
    """`found` are the files of the tree in which packages were found, `texts` the documents, both by path."""

    def __init__(self, tree: Tree, texts: Mapping[str, bytes], found: Mapping[str, tuple[TreeNode, Finding]]) -> None:
        self.installed: list[Installed] = []
        self._tree = tree
        self._by_node: dict[TreeNode, int] = {}
        self._by_path: dict[str, int] = {}  # paths of the distribution's lists, as they are written
        self._folders: dict[str, int] = {}  # folders of Node.js packages
        self._recent = "/", -1  # a folder (at first a folder that no path has), and its package
        self._dpkg(texts)
        self._databases(texts, found)
        self._libraries(texts, found)

    def of(self, node: TreeNode, path: str) -> int:
        """The index (in `installed`) of the package a file belongs to, -1 for none."""
        index = self._by_node.get(node, -1)
        if index < 0 and self._folders:
            folder = path.rpartition("/")[0]
            if folder != self._recent[0]:  # files come folder by folder
                self._recent = folder, self._of_folder(folder)
            index = self._recent[1]
        return index

    def _of_folder(self, folder: str) -> int:
        while folder:
            if (index := self._folders.get(folder, -1)) >= 0:
                return index
            folder = folder.rpartition("/")[0]
        return self._folders.get("", -1)

    def of_path(self, path: str) -> int:
        """The same for a path that may no longer be in the tree, by the distribution's lists alone."""
        return self._by_path.get(path, -1)

    def trace(self, package: Package, path: str, layer: int, evidence: ComponentEvidence, origin: str) -> int:
        """A component that no list of the image names; its index."""
        self.installed.append(Installed(package=package, path=path, layer=layer, evidence=evidence, origin=origin))
        return len(self.installed) - 1

    def give(self, inode: TreeNode, index: int) -> None:
        """Assign a file that has no package yet to that component."""
        self._by_node.setdefault(inode, index)

    def _add(self, package: Package, path: str, owner: str = "") -> int:
        node = self._tree.at(path)
        layer = node.inode.layer if node else 0
        self.installed.append(Installed(package=package, path=path, layer=layer, owner=owner))
        return len(self.installed) - 1

    def _dpkg(self, texts: Mapping[str, bytes]) -> None:
        indices: dict[str, int] = {}
        for path, text in texts.items():
            if path == STATUS or (path.startswith(STATUS_D) and not path.endswith(".md5sums")):
                for package in databases.dpkg(text, installed_only=path == STATUS):
                    index = self._add(package, path)
                    indices[f"{package.name}:{package.architecture}"] = index
                    indices.setdefault(package.name, index)  # a list names the architecture only if it has to
        for path, text in texts.items():
            name, _, kind = posixpath.basename(path).rpartition(".")
            index = indices.get(name, indices.get(_ARCHITECTURE.sub("", name), -1))
            if index < 0:
                continue
            if kind == "list" and path.startswith(INFO):
                self._own(index, (line.strip("/") for line in _lines(text)))
            elif kind == "md5sums" and path.startswith((STATUS_D, INFO)) and f"{INFO}{name}.list" not in texts:
                self._own(index, (line.partition("  ")[2].strip("/") for line in _lines(text)))

    def _databases(self, texts: Mapping[str, bytes], found: Mapping[str, tuple[TreeNode, Finding]]) -> None:
        for path, text in texts.items():
            if path in APK:
                for package, paths in databases.apk(text):
                    self._own(self._add(package, path), paths)
            elif databases.is_pacman(path) and path.endswith("/desc"):
                for package in databases.pacman(text):
                    files = texts.get(f"{path.removesuffix('desc')}files", b"")
                    self._own(self._add(package, path), databases.pacman_paths(files))
        for path, (_, finding) in found.items():
            for package, paths in finding.listings:
                self._own(self._add(package, path), paths)

    def _own(self, index: int, paths: Iterable[str]) -> None:
        for path in paths:
            node = self._tree.at(path)
            if node is not None and node.inode.children is None:  # folders are shared
                self._by_node.setdefault(node.inode, index)
            self._by_path.setdefault(path, index)

    def _libraries(self, texts: Mapping[str, bytes], found: Mapping[str, tuple[TreeNode, Finding]]) -> None:
        for path, (node, finding) in sorted(found.items(), key=lambda item: item[0]):
            owner = self._by_node.get(node, -1)
            name = self.installed[owner].package.name if owner >= 0 else ""
            indices = [self._add(package, path, name) for package in finding.packages]
            if owner >= 0 or not indices:
                continue
            self._by_node[node] = indices[0]
            folder = posixpath.dirname(path)
            if finding.packages[0].ecosystem is Ecosystem.NODE:
                self._folders[folder] = indices[0]
            elif record := texts.get(f"{folder}/RECORD"):
                self._own_record(indices[0], posixpath.dirname(folder), record)

    def _own_record(self, index: int, folder: str, record: bytes) -> None:
        for line in _lines(record):
            path = posixpath.normpath(posixpath.join(folder, line.rsplit(",", 2)[0].strip('"')))
            if (node := self._tree.at(path)) is not None and node.inode.children is None:
                self._by_node.setdefault(node.inode, index)


def _lines(text: bytes) -> Iterator[str]:
    return iter(text.decode("utf-8", "surrogateescape").splitlines())
