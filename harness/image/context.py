"""Build contexts: the files of a folder that a build gets, exactly as Docker's own clients send them.

Nothing is copied or rewritten. A tree is read when BuildKit asks for it; an edit is laid over the folder, and the
Dockerfile is sent apart from both (harness/engine/filesync.py sends them).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from harness.errors import UsageError
from harness.image.context_tree import ContextEntry, ContextTree, FolderTree, MemoryTree
from harness.image.ignore import BadPattern, Matcher, clean, read_patterns
from harness.model import App, Edit

IGNORE = ".dockerignore"
_WILDCARDS = "*?["


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """The input of a build: `docker build -f DOCKERFILE FOLDER`.

    `name` is the Dockerfile's, as BuildKit shows it. `ignore` is the file <name>.dockerignore, which replaces the
    tree's own .dockerignore if it exists. `key` names the place for BuildKit, which keeps a copy of what was sent from
    there and asks only for what has changed since.
    """

    tree: ContextTree
    dockerfile: bytes
    name: str = "Dockerfile"
    ignore: bytes | None = None
    key: str = ""

    @classmethod
    def of_folder(cls, folder: Path, dockerfile: Path, *, changed: Mapping[str, bytes] | None = None) -> Self:
        """Raises UsageError if the Dockerfile cannot be read."""
        beside = dockerfile.with_name(f"{dockerfile.name}{IGNORE}")
        try:
            text, ignore = dockerfile.read_bytes(), beside.read_bytes() if beside.is_file() else None
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", where=str(error.filename or dockerfile)) from error
        return cls(
            tree=FolderTree(folder, changed or {}),
            dockerfile=text,
            name=dockerfile.name,
            ignore=ignore,
            key=hashlib.sha256(os.fsencode(folder.absolute())).hexdigest(),
        )

    @classmethod
    def of_files(cls, files: Mapping[str, bytes], *, dockerfile: str | bytes | None = None, mode: int = 0o644) -> Self:
        """Files in memory; the Dockerfile is one of them unless it is given."""
        text = dockerfile.encode() if isinstance(dockerfile, str) else dockerfile
        if text is None:
            text = files["Dockerfile"]
        return cls(tree=MemoryTree(files, mode), dockerfile=text)

    @property
    def definition(self) -> MemoryTree:
        """The Dockerfile and what belongs to it, as the tree that BuildKit asks for first."""
        files = {self.name: self.dockerfile}
        if self.ignore is not None:
            files[f"{self.name}{IGNORE}"] = self.ignore
        return MemoryTree(files)

    def patterns(self) -> list[str]:
        """The patterns of files that the build leaves out. Raises UsageError for a file that Docker refuses."""
        name, data = f"{self.name}{IGNORE}", self.ignore
        if data is None:
            name, found = IGNORE, self.tree.entry(IGNORE)
            data = b"".join(found.read()) if found and found.is_file else b""
        where = str(self.tree.root / name) if isinstance(self.tree, FolderTree) else name
        try:
            patterns = read_patterns(data)
            Matcher(patterns)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UsageError("is not UTF-8", where=f"{where}:{line}", fix="Save the file as UTF-8.") from error
        except BadPattern as error:
            raise UsageError(str(error), where=where, fix="Correct the pattern.") from error
        return patterns

    def entries(self) -> Iterator[ContextEntry]:
        """Everything that a Dockerfile can copy, in the order in which it is sent. Raises UsageError, OSError."""
        return walk(self.tree, exclude=self.patterns())

    def files(self) -> list[str]:
        """The regular files among them."""
        return [entry.path for entry in self.entries() if entry.is_file]

    def digest(self) -> str:
        """A digest of everything that a build is made from: contents, names, modes and links.

        Times do not count, as in BuildKit's own cache keys: a fresh clone builds what another clone has built.
        """
        total = hashlib.sha256()
        for part in (self.name.encode(), self.dockerfile, "\n".join(self.patterns()).encode()):
            total.update(b"%d:" % len(part) + part)
        for entry in self.entries():
            total.update(os.fsencode(f"{entry.path}\0{entry.mode:o}\0{entry.size}\0{entry.link}\0"))
            for piece in entry.read() if entry.is_file else ():
                total.update(piece)
        return total.hexdigest()


def edited(app: App, edit: Edit, number: int) -> dict[str, bytes]:
    """The file that an edit changes, with the edit applied; `number` makes its text unique."""
    path = app.path / edit.file
    text = path.read_text(encoding="utf-8")
    if edit.find not in text:
        raise UsageError(
            f"{edit.find!r} is no longer in the file", where=str(path), fix="Correct the edit in app.toml."
        )
    return {edit.file: text.replace(edit.find, edit.replace.replace("{n}", str(number))).encode()}


def walk(
    tree: ContextTree, *, exclude: Sequence[str] = (), include: Sequence[str] = (), follow: Sequence[str] = ()
) -> Iterator[ContextEntry]:
    """The entries of a tree that the patterns leave, folders before their content, as in fsutil's filter.

    `follow` are paths that are included together with what their links lead to. An excluded folder is still sent if
    something in it is included. If a file has several names, all but the first are links to the first (`link` is its
    path; the size stays, because otherwise BuildKit considers an unchanged name changed). Raises BadPattern, OSError.
    """
    included = list(include)
    if follow and (targets := _follow(tree, follow)) is not None:
        included += targets
    includes = Matcher(included) if included else None
    names: dict[tuple[int, int], str] = {}
    for entry in _below(tree, "", includes, Matcher(exclude), None, None):
        if entry.inode:
            first = names.setdefault(entry.inode, entry.path)
            entry = entry if first == entry.path else replace(entry, link=first)
        yield entry


def _below(
    tree: ContextTree,
    folder: str,
    includes: Matcher | None,
    excludes: Matcher,
    included: tuple[bool, ...] | None,
    excluded: tuple[bool, ...] | None,
) -> Iterator[ContextEntry]:
    for name in tree.names(folder):
        path = f"{folder}/{name}" if folder else name
        entry = tree.entry(path)
        if entry is None:  # gone since the folder was read
            continue
        wanted, dropped = True, False
        in_here, out_here = None, None
        if includes:
            wanted, in_here = includes.match(path, included)
            if not wanted and not (entry.is_folder and includes.may_match_below(path)):
                continue
        if excludes.patterns:
            dropped, out_here = excludes.match(path, excluded)
            if dropped and not (entry.is_folder and excludes.may_spare_below(path)):
                continue
        kept = wanted and not dropped
        if kept:
            yield entry
        if not entry.is_folder:
            continue
        below = _below(tree, path, includes, excludes, in_here, out_here)
        if kept:
            yield from below
        elif (first := next(below, None)) is not None:
            yield entry
            yield first
            yield from below


def _follow(tree: ContextTree, paths: Sequence[str]) -> list[str] | None:
    """Every path, and every path that a link on the way leads to; None if one of them is the whole tree."""
    resolved: set[str] = set()
    for path in paths:
        _resolve(tree, path, resolved)
    if "." in resolved:
        return None
    kept: list[str] = []
    for path in sorted(resolved):
        if not kept or not path.startswith(f"{kept[-1]}/"):
            kept.append(path)
    return kept


def _resolve(tree: ContextTree, path: str, resolved: set[str]) -> None:
    rest = clean(f"/{path}")[1:] if path.startswith("/") else clean(path)
    rest = rest or "."
    current = ""
    while True:
        head, _, rest = rest.partition("/")
        current = clean(f"{current}/{head}") if current else head
        targets = _targets(tree, current, wildcard=True)
        if (not rest or targets is not None) and current in resolved:
            return
        if targets is not None:
            resolved.add(current)
            for target in targets:
                _resolve(tree, f"{target}/{rest}" if rest else target, resolved)
            return
        if not rest:
            resolved.add(current)
            return


def _targets(tree: ContextTree, path: str, *, wildcard: bool) -> list[str] | None:
    """The target of the link at a path, or of the links that a wildcard in its last part matches; None if it is not a
    link.
    """
    folder, base = posixpath.split(path)
    if wildcard and any(sign in base for sign in _WILDCARDS):
        parent = tree.entry(folder) if folder else None
        if folder and (parent is None or not parent.is_folder):
            return None
        matcher = Matcher([base])
        found = [name for name in tree.names(folder) if matcher.match(name)[0]]
        each = (_targets(tree, f"{folder}/{name}" if folder else name, wildcard=False) or () for name in found)
        return [target for targets in each for target in targets] or None
    entry = tree.entry(path) if path not in ("", ".") else None
    if entry is None or not entry.is_link:
        return None
    link = clean(entry.link)
    return [link if link.startswith("/") else clean(f"/{folder}/{link}")]
