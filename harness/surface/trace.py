"""Traces the files that no list of the image assigns to a package to their origin.

By these facts about the build, in this order:
- the same content as a file of the app's own folder: the app, which is no component;
- the same content as a file of a package, in the bases of the build or in the distribution's packages;
- the same path, links of a merged /usr followed, as such a file: changed since, for example by `strip`;
- byte-code beside its source file: its source file's package;
- the content of the file: an ELF note, a version string, a Java runtime's `release`, a library's SONAME.

A text of a few bytes may be the same in many packages: it counts only at its own path.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.image.tree import TreeNode
from harness.surface.examine import RECORDS, is_package_document
from harness.surface.finding import Ecosystem, Finding, Mark, Package, Program
from harness.surface.origins import Origin, Origins, canonical
from harness.surface.ownership import ComponentEvidence, Owners

APP = "the app's folder"
_OF_MANAGERS = "records of package managers"
_TELLING = 1024  # B: two texts of that size and the same name are not the same by chance
# Put together from the files of the package that this program belongs to.
_CERTIFICATES, _CERTIFICATES_BY = "etc/ssl/certs/ca-certificates.crt", "usr/sbin/update-ca-certificates"
_PLACES = ("var/", "lib/", "usr/")  # checked first, because an image has tens of thousands of files
# Folders in which the installation of packages writes files that no list names; not looked up in an image with a
# database.
_WRITTEN = ("etc/", "var/", "run/", "tmp/", "root/")


@dataclass(slots=True)
class Tracer:
    """Traces the files of one image. `files` are its files by inode, with their first path; the lowest `base` layers
    belong to a base.
    """

    owners: Owners
    files: Mapping[TreeNode, str]
    found: Mapping[str, tuple[TreeNode, Finding]]
    origins: Origins | None
    base: int
    left: dict[TreeNode, str] = field(default_factory=dict)  # the files that no list of the image claims
    explained: dict[TreeNode, str] = field(default_factory=dict)  # files without a component, and what they are
    system: Mapping[str, str] = field(default_factory=dict)  # os-release of where the components came from
    _indices: dict[tuple[str, ...], int] = field(default_factory=dict)

    def trace(self) -> None:
        for number, item in enumerate(self.owners.installed):
            self._indices.setdefault(_key(item.package), number)
        declared = any(item.is_distribution for item in self.owners.installed)
        left, of_base = self._left(declared)
        if self.origins:
            left = self._by_origin(left, self.origins, declared)
        self.explained |= dict.fromkeys(of_base, "written when the base was made")
        self._by_marks(left | of_base)
        self._byte_code()

    def _left(self, declared: bool) -> tuple[dict[TreeNode, str], dict[TreeNode, str]]:
        """The files that no list assigns to a package; separately the ones in a base that has a database of
        packages.
        """
        left: dict[TreeNode, str] = {}
        of_base: dict[TreeNode, str] = {}
        for inode, path in self.files.items():
            if self.owners.of(inode, path) >= 0:
                continue
            self.left[inode] = path
            if path.startswith(_PLACES) and (path.startswith(RECORDS) or is_package_document(path)):
                self.explained[inode] = _OF_MANAGERS
            else:
                (of_base if declared and inode.layer < self.base else left)[inode] = path
        return left, of_base

    def _by_origin(self, left: dict[TreeNode, str], origins: Origins, declared: bool) -> dict[TreeNode, str]:
        wanted: dict[int, set[str]] = {}
        for inode, path in left.items():
            if inode.entry is not None and not (declared and path.startswith(_WRITTEN)):
                wanted.setdefault(inode.layer, set()).add(inode.entry.path)
        sums = origins.md5({layer: frozenset(paths) for layer, paths in wanted.items()})
        votes: list[tuple[TreeNode, str, list[Origin], ComponentEvidence]] = []
        rest = {}
        for inode, path in left.items():
            assert inode.entry is not None
            md5 = sums.get((inode.layer, inode.entry.path))
            if md5 and origins.in_app(md5):
                self.explained[inode] = APP
                continue
            program = self._is_program(path)
            same = [one for one in origins.by_content(md5) if _alike(one, path, inode, program)] if md5 else []
            evidence = ComponentEvidence.CONTENT
            if not same and (md5 or not declared):
                same, evidence = [one for one in origins.by_path(path) if one.package], ComponentEvidence.PATH
            if path == _CERTIFICATES and not any(one.package for one in same):
                same, evidence = list(origins.by_path(_CERTIFICATES_BY)), ComponentEvidence.PATH
            if same:
                votes.append((inode, path, same, evidence))
            else:
                rest[inode] = path
        # if several packages have the same file, it belongs to the package of most other files
        count = Counter(_key(one.package) for _, _, same, _ in votes for one in same if one.package)
        for inode, path, same, evidence in votes:
            best = max(same, key=lambda one: (_rank(one, path), count[_key(one.package)] if one.package else 0))
            if best.package is None:
                self.explained[inode] = f"{best.label}, of no package there"
                rest[inode] = path  # its content may still show what it is
                continue
            self._own(inode, path, best.package, evidence, f"{best.label}: {best.path}")
            if best.system and not self.system:
                self.system = best.system
        return rest

    def _is_program(self, path: str) -> bool:
        _, finding = self.found.get(path, (None, None))
        return finding is not None and bool(finding.program or finding.mark or finding.packages)

    def _by_marks(self, left: Mapping[TreeNode, str]) -> None:
        """Trace files by their content; a runtime's folder belongs to the runtime."""
        marked = [(inode, path, self.found[path][1].mark) for inode, path in left.items() if path in self.found]
        roots: dict[str, int] = {}
        for inode, path, mark in marked:
            if mark is None or mark.product is None:
                continue
            root = _root(path, mark)
            index = self._most_of(root) if root else -1
            if index < 0:
                index = self._own(inode, path, mark.product, ComponentEvidence(mark.evidence), path)
            if root:
                roots[root] = index
        for inode, path in left.items():
            for root, index in roots.items():
                if path.startswith(root) and "/site-packages/" not in path and self.owners.of(inode, path) < 0:
                    self.owners.give(inode, index)
                    self.explained.pop(inode, None)
        for inode, path, mark in marked:
            if mark and mark.soname and self.owners.of(inode, path) < 0:
                named = Package(ecosystem=Ecosystem.GENERIC, name=mark.soname, version="")
                self._own(inode, path, named, ComponentEvidence.SONAME, mark.build_id and f"build id {mark.build_id}")

    def _most_of(self, root: str) -> int:
        """The traced component that most files of a folder belong to, -1 for none: the runtime belongs to it."""
        indices = (self.owners.of(inode, path) for inode, path in self.files.items() if path.startswith(root))
        traced = Counter(index for index in indices if index >= 0 and self.owners.installed[index].is_traced)
        return traced.most_common(1)[0][0] if traced else -1

    def _byte_code(self) -> None:
        """Python's byte-code belongs to whatever its source file belongs to."""
        compiled = {inode: path for inode, path in self.left.items() if path.endswith(".pyc")}
        if not compiled:
            return
        by_path = {path: inode for inode, path in self.files.items() if path.endswith(".py")}
        for inode, path in compiled.items():
            folder, _, name = path.rpartition("/")
            if self.owners.of(inode, path) >= 0 or not folder.endswith("__pycache__"):
                continue
            source = f"{folder.removesuffix('__pycache__')}{name.partition('.')[0]}.py"
            if (node := by_path.get(source)) is None:
                continue
            index = self.owners.of(node, source)
            if index >= 0:
                self.owners.give(inode, index)
            elif node in self.explained:
                self.explained[inode] = self.explained[node]

    def _own(self, inode: TreeNode, path: str, package: Package, evidence: ComponentEvidence, origin: str) -> int:
        key = _key(package)
        if key not in self._indices:
            self._indices[key] = self.owners.trace(package, path, inode.layer, evidence, origin)
        self.owners.give(inode, self._indices[key])
        self.explained.pop(inode, None)
        return self._indices[key]


def unlisted(owners: Owners, found: Mapping[str, tuple[TreeNode, Finding]]) -> Iterator[tuple[str, str]]:
    """Programs that neither list their parts nor appear in another list, and their language."""
    for path, (inode, finding) in found.items():
        if finding.packages:
            continue
        if finding.language or (finding.program is Program.ELF and owners.of(inode, path) < 0):
            yield path, finding.language or "unknown"


def _key(package: Package | None) -> tuple[str, ...]:
    return (*package.identity, package.architecture) if package else ()


def _alike(origin: Origin, path: str, inode: TreeNode, program: bool) -> bool:
    """Whether a file of the same content may be that file, and is not the same by chance."""
    if program or origin.path == canonical(path):
        return True
    size = inode.entry.size if inode.entry else 0
    return size >= _TELLING and posixpath.basename(origin.path) == posixpath.basename(path)


def _root(path: str, mark: Mark) -> str:
    """The folder that belongs to a runtime alone, by the file that names the runtime; "" for none."""
    folder = posixpath.dirname(path)
    if mark.evidence == ComponentEvidence.RELEASE:
        return f"{folder}/"
    if mark.product and mark.product.name == "python":
        version = ".".join(mark.product.version.split(".")[:2])
        return f"{posixpath.dirname(folder)}/lib/python{version}/".lstrip("/")
    return ""


def _rank(origin: Origin, path: str) -> tuple[bool, bool]:
    return origin.package is not None, origin.path == canonical(path)
