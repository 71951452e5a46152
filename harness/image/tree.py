"""What is inside an image: the tree that its layers make together, and the sizes of its layers.

Specification: OCI image-spec layer.md, Applying Changesets and Whiteouts. harness/image/read.py reads images; its names
are used here too.

The numbers, in bytes:
- content of a layer: the sizes of its regular files. A hard link has none of its own; folders and links have none.
- unpacked: the sizes of the regular files of the tree that all layers make, a file of several hard links once.
- wasted: the content of all layers less unpacked, that is what later layers overwrote or deleted and every pull
  still fetches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from harness.image.read import ImageContents, Layer, is_whiteout, read_image, read_layer
from harness.image.tar import Entry, Kind, LayerError

__all__ = [
    "Account",
    "Entry",
    "ImageContents",
    "Kind",
    "Layer",
    "LayerError",
    "Placed",
    "Tree",
    "TreeNode",
    "account",
    "beyond",
    "flatten",
    "read_image",
    "read_layer",
]

# Members of an enum under names of the module, because looking them up in the class takes longer than everything else.
_FILE, _DIRECTORY, _SYMLINK, _HARDLINK = Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, Kind.HARDLINK
_MAX_SYMLINKS = 40  # the most links that are followed on one path, as in Linux
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


class Placed(NamedTuple):
    """An entry of the tree that all layers make, and the number of its layer (from 0)."""

    entry: Entry
    layer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The sizes of an image's layers; the module's docstring defines the bytes."""

    layers: int
    entries: int  # paths of the tree
    files: int  # paths of the tree that are regular files, every name of a hard-linked one
    content: int  # B
    unpacked: int  # B
    hidden: tuple[int, ...]  # by layer: B of its content that no path of the tree shows

    @property
    def wasted(self) -> int:
        return self.content - self.unpacked


def flatten(image: ImageContents) -> Mapping[str, Placed]:
    """The tree that all layers make, by path. Folders that only a path below them implies are not in it.

    As containerd applies layers: an entry below a symlinked folder (bin → usr/bin) goes to the target of the link, so
    the key may differ from the entry's own path; an entry of the link's own path replaces the link. Raises LayerError
    for hard links to nothing and symlinks in circles.
    """
    return {path: Placed(entry, node.layer) for path, node in Tree(image).walk() if (entry := node.entry)}


def account(image: ImageContents, tree: Tree | None = None) -> Account:
    """The numbers of the tree; without a tree it is made first. Raises LayerError as `flatten`."""
    inodes: set[TreeNode] = set()
    count = files = 0
    for _, node in (tree or Tree(image)).walk():
        count += node.entry is not None
        shown = node.inode.entry
        if shown is not None and shown.kind is _FILE:
            files += 1
            inodes.add(node.inode)
    shown_bytes = [0] * len(image.layers)
    for inode in inodes:
        shown_bytes[inode.layer] += inode.entry.size if inode.entry else 0
    return Account(
        layers=len(image.layers),
        entries=count,
        files=files,
        content=sum(layer.content for layer in image.layers),
        unpacked=sum(shown_bytes),
        hidden=tuple(layer.content - shown for layer, shown in zip(image.layers, shown_bytes, strict=True)),
    )


def beyond(image: ImageContents, base: Collection[str]) -> tuple[Layer, ...]:
    """The layers that are not among the diff_ids of a base: the layers that the image adds if the base is present."""
    return tuple(layer for layer in image.layers if layer.diff_id not in base)


class TreeNode:
    """A path of the tree. `inode` is the node whose content it shows: itself, or a hard link's target."""

    __slots__ = ("children", "entry", "inode", "layer")

    def __init__(self, entry: Entry | None, layer: int) -> None:
        self.entry = entry  # None: a folder without an entry in any layer
        self.layer = layer
        self.inode = self
        self.children: dict[str, TreeNode] | None = {} if entry is None or entry.kind is _DIRECTORY else None


class Tree:
    """The tree that all layers make, grown layer upon layer. Raises LayerError as `flatten`."""

    def __init__(self, image: ImageContents) -> None:
        self.root = TreeNode(None, 0)
        self._recent: tuple[str, TreeNode] = ("", self.root)  # archives are written folder by folder
        self._layers = 0
        self.add(image.layers)

    def add(self, layers: Iterable[Layer]) -> None:
        """Put layers on top of the tree, lowest first."""
        for layer in layers:
            # A whiteout hides files of lower layers, never files of its own layer, at whatever position it is.
            shown = layer.entries
            if layer.whiteouts:
                shown = tuple(entry for entry in layer.entries if not is_whiteout(entry))
                for entry in layer.entries:
                    if is_whiteout(entry):
                        self._erase(entry.path)
            for entry in shown:
                self._place(entry, self._layers)
            self._layers += 1

    def walk(self) -> Iterator[tuple[str, TreeNode]]:
        """All paths and their nodes, folders before what they hold. Not recursive: a path may have 2 000 parts."""
        pending = [("", self.root)]
        while pending:
            path, node = pending.pop()
            yield path, node
            if node.children:
                pending += [(f"{path}/{name}" if path else name, child) for name, child in node.children.items()]

    def at(self, path: str) -> TreeNode | None:
        """The node of that path: symlinks on the way are followed, one at its end is not. None if it leads nowhere or
        if symlinks form a circle.
        """
        folder, _, name = path.rpartition("/")
        try:
            if name in ("", ".", ".."):
                return self._find(path, make=False)
            if self._recent[0] != folder:
                beside = self._find(folder, make=False)
                if beside is None:
                    return None
                self._recent = (folder, beside)
        except LayerError:
            return None
        children = self._recent[1].children
        return children.get(name) if children else None

    def follow(self, path: str) -> TreeNode | None:
        """The node that opening the path leads to: symlinks are followed at its end too. None if it leads nowhere."""
        for _ in range(_MAX_SYMLINKS):
            node = self.at(path)
            if node is None or node.entry is None or node.entry.kind is not _SYMLINK:
                return node
            link = node.entry.link
            path = link if link.startswith("/") else f"{path.rpartition('/')[0]}/{link}"
        return None

    def _erase(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        node = self._find(folder, make=False)
        if node is None or not node.children:
            return
        self._recent = ("", self.root)
        if name == _OPAQUE:
            node.children.clear()
        else:  # other names under .wh..wh. belong to AUFS and match no path
            node.children.pop(name.removeprefix(_WHITEOUT), None)

    def _place(self, entry: Entry, layer: int) -> None:
        folder, _, name = entry.path.rpartition("/")
        children = self._folder(folder)
        there = children.get(name) if name else self.root
        if there is self.root and entry.kind is not _DIRECTORY:
            raise LayerError(f"a {entry.kind} in place of the root", where=f"layer {layer}")
        if there and there.children is not None and entry.kind is _DIRECTORY:
            there.entry, there.layer = entry, layer  # folders merge
            return
        node = TreeNode(entry, layer)
        if entry.kind is _HARDLINK:
            node.inode = self._target(entry, layer).inode
        if there:
            self._recent = ("", self.root)
        children[name] = node

    def _folder(self, path: str) -> dict[str, TreeNode]:
        """The content of the folder at `path`, which is made if it is missing.

        The last answer holds until an entry is replaced or erased, because an entry that is only added lies on no known
        path.
        """
        if self._recent[0] != path:
            self._recent = (path, self._find(path, make=True) or self.root)
        children = self._recent[1].children
        assert children is not None
        return children

    def _target(self, entry: Entry, layer: int) -> TreeNode:
        """The node that a hard link leads to."""
        folder, _, name = entry.link.rpartition("/")
        beside = self._find(folder, make=False)
        node = beside.children.get(name) if beside and beside.children else None
        if node is None:
            raise LayerError(f"{entry.path} is a hard link to {entry.link}, which is not there", where=f"layer {layer}")
        return node

    def _find(self, path: str, *, make: bool) -> TreeNode | None:
        """The folder at `path`, symlinks followed. If it is missing or not a folder, it is made, or the answer is
        None.
        """
        trail = [self.root]
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(trail) > 1:  # the root's parent is the root
                    trail.pop()
                continue
            children = trail[-1].children
            assert children is not None
            node = children.get(part)
            if node is not None and node.entry is not None and node.entry.kind is _SYMLINK:
                links += 1
                if links > _MAX_SYMLINKS:
                    raise LayerError(f"symbolic links in a circle at {path}")
                if node.entry.link.startswith("/"):
                    del trail[1:]
                pending += node.entry.link.split("/")[::-1]
                continue
            if node is None or node.children is None:
                if not make:
                    return None
                node = children[part] = TreeNode(None, 0)
            trail.append(node)
        return trail[-1]
