"""The content of an image, from its tree and from the findings in its files: packages, programs, and risks.

Everything refers to the tree that all layers make, except secrets: a secret that a later layer deletes is still pulled
by everybody, and so are secrets in the image's configuration and history.
"""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.image.read import ImageContents
from harness.image.tree import Kind, Tree, TreeNode
from harness.surface import capabilities, databases, secrets, tools
from harness.surface.examine import is_package_document
from harness.surface.finding import Finding
from harness.surface.furnishing import furnished
from harness.surface.listed import listed
from harness.surface.origins import ListedFile, Origins, canonical
from harness.surface.ownership import Installed, Owners
from harness.surface.trace import Tracer, unlisted

_FILE, _DIRECTORY, _SYMLINK = Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK
_LARGEST = 1000  # files that are listed by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A private key or credential. `place` is a path, or its name in the configuration if `layer` is None."""

    kind: str
    place: str
    layer: int | None = None
    line: int = 0
    deleted: bool = False  # deleted from the tree by a later layer; the image still contains it
    owner: str = ""  # the package that contains it: then it is public and not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A path with rights that deserve a look. `detail` is its mode, or its capabilities."""

    path: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    path: str
    size: int  # B
    layer: int
    owner: int  # index of its package, -1 for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All of an image. Paths have no leading slash; lists are sorted."""

    user: str  # from the configuration; "" for none
    root: bool
    system: Mapping[str, str]  # os-release
    packages: tuple[Installed, ...]
    executables: tuple[str, ...]
    tools: Mapping[str, Mapping[str, tuple[str, ...]]]  # by kind and name: paths
    setuid: tuple[Special, ...]
    writable: tuple[Special, ...]
    sticky: tuple[str, ...]  # folders in which all may write but not delete the files of others: /tmp
    capabilities: tuple[Special, ...]
    secrets: tuple[Leak, ...]
    furnished: Mapping[str, bool]  # what programs expect of a system, by the names in harness/surface/furnishing.py
    explained: Mapping[str, int]  # B of the files that belong to no component, by kind
    unexplained: int  # B of the files that could be traced to nothing
    unlisted: Mapping[str, str]  # programs that do not list their parts, and their language
    unread: Mapping[str, str]  # files that should have been read, and why they were not
    files: tuple[File, ...]  # the largest
    rest: tuple[int, int]  # number and bytes of all others

    def counts(self) -> dict[str, int]:
        """The known metrics, by their names without `surface.`. A library of two versions counts twice."""
        libraries = {item.package.identity for item in self.packages if item.is_library}
        counts = {
            "components": len({(*item.package.identity, item.package.architecture) for item in self.components}),
            "hidden": sum(item.is_hidden for item in self.packages),
            "unexplained": self.unexplained,
            "packages": sum(item.is_distribution and not item.is_traced for item in self.packages),
            "libraries": len(libraries),
            "executables": len(self.executables),
            **{kind: len(self.tools[kind]) for kind in ("shells", "managers", "compilers", "downloaders")},
            "setuid": len(self.setuid),
            "writable": len(self.writable),
            "capabilities": len(self.capabilities),
            "secrets": sum(not leak.owner for leak in self.secrets),
            "root": int(self.root),
        }
        return {name: count for name, count in counts.items() if name not in self.unknown}

    @property
    def components(self) -> tuple[Installed, ...]:
        """Both declared and traced packages."""
        return tuple(item for item in self.packages if item.is_component)

    @property
    def unknown(self) -> frozenset[str]:
        """The counts that are unknown, because files that they depend on could not be read."""
        databases_unread = any(map(is_package_document, self.unread))
        libraries_unread = not all(map(is_package_document, self.unread))
        names = {"packages": databases_unread, "libraries": libraries_unread}
        names |= dict.fromkeys(("components", "hidden", "unexplained"), bool(self.unread))
        return frozenset(name for name, is_unread in names.items() if is_unread)


def take(image: ImageContents, tree: Tree, origins: Origins | None = None, base: int = 0) -> Inventory:
    """The inventory of an image that was read with an `Examiner`.

    `origins` are the known origins of its files, and the lowest `base` layers belong to its base.
    """
    return _Taker(image, tree, origins, base).take()


def list_files(image: ImageContents, tree: Tree) -> tuple[Mapping[str, str], list[ListedFile]]:
    """The os-release of an image that was read with `Hashing` or with `Documents`, and the list of its files."""
    return _Taker(image, tree, None, 0).list_files()


@dataclass(slots=True)
class _Taker:
    image: ImageContents
    tree: Tree
    origins: Origins | None
    base: int
    files: dict[TreeNode, str] = field(default_factory=dict)  # by inode: its first path
    found: dict[str, tuple[TreeNode, Finding]] = field(default_factory=dict)  # by first path
    setuid: list[Special] = field(default_factory=list)
    writable: list[Special] = field(default_factory=list)
    sticky: list[str] = field(default_factory=list)
    capable: list[Special] = field(default_factory=list)

    def take(self) -> Inventory:
        for path, node in self.tree.walk():
            self._see(path, node)
        texts = {path: finding.text for path, (_, finding) in self.found.items() if finding.text}
        owners = Owners(self.tree, texts, self.found)
        tracer = Tracer(owners, self.files, self.found, self.origins, self.base)
        tracer.trace()
        explained, unexplained = self._explained(owners, tracer)
        files, rest, installed = self._sizes(owners)
        config = _mapping(self.image.config.get("config"))
        user = str(config.get("User") or "")
        system = _os_release(texts)
        said = [(path, finding) for path, (_, finding) in sorted(self.found.items(), key=lambda item: item[0])]
        return Inventory(
            user=user,
            root=_is_root(user, texts.get("etc/passwd", b"")),
            system=databases.os_release(system) or tracer.system,
            packages=installed,
            executables=tuple(sorted(path for path, (_, finding) in self.found.items() if finding.program)),
            tools=self._tools(config),
            setuid=_sorted(self.setuid),
            writable=_sorted(self.writable),
            sticky=tuple(sorted(self.sticky)),
            capabilities=_sorted(self.capable),
            secrets=tuple(self._secrets(config, owners)),
            furnished=furnished(
                self.tree,
                dict(pair.partition("=")[::2] for pair in _environment(config)),
                user=user,
                passwd=texts.get("etc/passwd", b""),
            ),
            explained=explained,
            unexplained=unexplained,
            unlisted=dict(sorted(unlisted(owners, self.found))),
            unread={path: finding.unread for path, finding in said if finding.unread},
            files=files,
            rest=rest,
        )

    def list_files(self) -> tuple[Mapping[str, str], list[ListedFile]]:
        for path, node in self.tree.walk():
            self._see(path, node)
        texts = {path: finding.text for path, (_, finding) in self.found.items() if finding.text}
        owners = Owners(self.tree, texts, self.found)
        sums = {canonical(path): md5 for text in _checksums(texts) for path, md5 in databases.checksums(text)}
        listed_files = []
        for inode, path in self.files.items():
            _, finding = self.found.get(path, (None, Finding()))
            index = owners.of(inode, path)
            package = owners.installed[index].package if index >= 0 else None
            listed_files.append(ListedFile(finding.md5 or sums.get(canonical(path)), path, package))
        return databases.os_release(_os_release(texts)), listed_files

    def _explained(self, owners: Owners, tracer: Tracer) -> tuple[dict[str, int], int]:
        """B of files without a component: by kind, and B of the unexplained files."""
        explained: dict[str, int] = {}
        unexplained = 0
        for inode, path in tracer.left.items():
            assert inode.entry is not None
            if owners.of(inode, path) >= 0:
                continue
            if reason := tracer.explained.get(inode):
                explained[reason] = explained.get(reason, 0) + inode.entry.size
            else:
                unexplained += inode.entry.size
        return dict(sorted(explained.items())), unexplained

    def _see(self, path: str, node: TreeNode) -> None:
        inode, entry = node.inode, node.inode.entry
        if entry is None or entry.kind is _SYMLINK:
            return
        mode = entry.mode
        if mode & 0o002:
            if entry.kind is _DIRECTORY and mode & stat.S_ISVTX:
                self.sticky.append(path)
            else:
                self.writable.append(Special(path=path, detail=f"{mode:04o}"))
        if entry.kind is not _FILE:
            return
        first = self.files.setdefault(inode, path)
        finding = self.image.layers[inode.layer].findings.get(entry.path)
        if isinstance(finding, Finding):
            self._find(path, inode, finding, again=first is not path)
        if first is not path:
            return
        if mode & stat.S_ISUID or mode & (stat.S_ISGID | stat.S_IXGRP) == stat.S_ISGID | stat.S_IXGRP:
            self.setuid.append(Special(path=path, detail=f"{mode:04o}"))
        if entry.capability and (names := capabilities.names(entry.capability)):
            self.capable.append(Special(path=path, detail=" ".join(names)))

    def _find(self, path: str, inode: TreeNode, finding: Finding, *, again: bool) -> None:
        """The findings in a file that has this path and perhaps others: a list of packages is recognised by its
        name.
        """
        name, latent = finding.latent
        if latent and path.rpartition("/")[2] == name and listed(path):
            self.found[path] = inode, replace(finding, packages=latent, secrets=(), program=None)
        elif not again:
            self.found[path] = inode, finding

    def _sizes(self, owners: Owners) -> tuple[tuple[File, ...], tuple[int, int], tuple[Installed, ...]]:
        """The largest files, number and bytes of the rest, and the packages with the bytes of their files."""
        sizes, counts = [0] * len(owners.installed), [0] * len(owners.installed)
        listed = []
        for inode, path in self.files.items():
            assert inode.entry is not None
            size, owner = inode.entry.size, owners.of(inode, path)
            listed.append((-size, path, inode.layer, owner))
            if owner >= 0:
                sizes[owner] += size
                counts[owner] += 1
        listed.sort()
        files = tuple(
            File(path=path, size=-size, layer=layer, owner=own) for size, path, layer, own in listed[:_LARGEST]
        )
        rest = len(listed) - len(files), -sum(size for size, *_ in listed[_LARGEST:])
        numbers = zip(owners.installed, sizes, counts, strict=True)
        return files, rest, tuple(replace(item, size=size, files=count) for item, size, count in numbers)

    def _tools(self, config: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Names in the folders of programs that lead to a program."""
        path = next((pair[5:] for pair in _environment(config) if pair.startswith("PATH=")), tools.DEFAULT_PATH)
        folders = {folder.strip("/") for folder in path.split(":")}
        seen: dict[str, dict[str, list[str]]] = {kind: {} for kind in tools.KINDS}
        # a folder (at first a folder that no path has), and whether it is a folder of programs
        recent, is_one = "/", False
        for place, node in self.tree.walk():
            folder, _, name = place.rpartition("/")
            if folder != recent:
                recent, is_one = folder, folder in folders or posixpath.basename(folder) in ("bin", "sbin")
            if not is_one:
                continue
            if not (kinds := tools.kinds_of(name)):
                continue
            target = self.tree.follow(place) if node.entry and node.entry.kind is _SYMLINK else node
            if target is not None and self.files.get(target.inode) and self._is_program(target.inode):
                for kind, tool in kinds.items():
                    seen[kind].setdefault(tool, []).append(place)
        return {kind: {name: tuple(sorted(at)) for name, at in sorted(names.items())} for kind, names in seen.items()}

    def _is_program(self, inode: TreeNode) -> bool:
        _, finding = self.found.get(self.files[inode], (None, None))
        return finding is not None and finding.program is not None

    def _secrets(self, config: Mapping[str, Any], owners: Owners) -> Iterator[Leak]:
        for name in secrets.in_environment(_environment(config)):
            yield Leak(kind="secret by its name in the environment", place=name)
        history = self.image.config.get("history")
        steps = [_mapping(step) for step in history] if isinstance(history, list) else []
        for name in secrets.in_history(steps):
            yield Leak(kind="build argument in the history", place=name)
        for number, layer in enumerate(self.image.layers):
            for path, finding in sorted(layer.findings.items()):
                if isinstance(finding, Finding) and finding.secrets:
                    inode = self._inode(path, number)
                    owner = owners.of(inode, path) if inode else owners.of_path(path)
                    package = owners.installed[owner].package.name if owner >= 0 else ""
                    for kind, line in finding.secrets:
                        yield Leak(kind=kind, place=path, layer=number, line=line, deleted=not inode, owner=package)

    def _inode(self, path: str, layer: int) -> TreeNode | None:
        """The file of that path of a layer, if it is still in the tree."""
        node = self.tree.at(path)
        if node is None or node.inode.entry is None or node.inode.layer != layer:
            return None
        return node.inode if node.inode.entry.path == path else None


def _checksums(texts: Mapping[str, bytes]) -> Iterator[bytes]:
    return (text for path, text in texts.items() if path.endswith(".md5sums"))


def _os_release(texts: Mapping[str, bytes]) -> bytes:
    return next((text for name, text in sorted(texts.items()) if name.endswith("/os-release")), b"")


def _is_root(user: str, passwd: bytes) -> bool:
    """Whether the configured user is root: no user, user 0, or a name that /etc/passwd gives number 0."""
    name = user.partition(":")[0]
    if name.isdigit():
        return int(name) == 0
    fields = (line.split(":") for line in passwd.decode("utf-8", "replace").splitlines())
    return name in ("", "root") or any(len(words) > 2 and words[0] == name and words[2] == "0" for words in fields)


def _environment(config: Mapping[str, Any]) -> list[str]:
    pairs = config.get("Env")
    return [str(pair) for pair in pairs] if isinstance(pairs, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sorted(specials: list[Special]) -> tuple[Special, ...]:
    return tuple(sorted(specials, key=lambda special: special.path))
