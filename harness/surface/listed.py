"""Which files list packages of languages, by their paths alone, and the functions that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.surface import packages
from harness.surface.finding import Package

Reader = Callable[[bytes], Iterable[Package]]

_READERS: dict[str, Reader] = {
    "METADATA": packages.python,
    "PKG-INFO": packages.python,
    "package.json": packages.node,
    "vendor.txt": packages.vendored,
    "installed.json": packages.composer,
}
_ENDINGS = (".egg-info", ".deps.json", ".gemspec")


def listed(path: str) -> Reader | None:
    """The function that reads the file's packages, and may raise Unreadable; None for a file that lists none."""
    folder, _, name = path.rpartition("/")
    reader = _READERS.get(name)
    if reader is None:
        return _by_ending(folder, name) if name.endswith(_ENDINGS) else None
    if name == "package.json":
        return reader if _is_node_package(folder) else None
    if name == "vendor.txt":
        return reader if folder.endswith("/_vendor") else None
    if name == "installed.json":
        return reader if folder.endswith("vendor/composer") else None
    return reader if folder.endswith((".dist-info", ".egg-info", "EGG-INFO")) else None


def latent(data: bytes) -> tuple[str, Reader] | None:
    """The packages that a file would list under another name, and that name: stores name files by their content.

    pnpm's store is linked into node_modules, as uv's cache is into an environment.
    """
    if data[:1] == b"{" and b'"version"' in data and b'"name"' in data:
        return "package.json", packages.node
    return ("METADATA", packages.python) if data[:17] == b"Metadata-Version:" else None


def _by_ending(folder: str, name: str) -> Reader | None:
    if name.endswith(".egg-info"):
        return packages.python
    if name.endswith(".deps.json"):
        return packages.dotnet
    return packages.gem if folder.endswith(("specifications", "specifications/default")) else None


def _is_node_package(folder: str) -> bool:
    """Whether a folder is a package: a child of node_modules (or of Debian's usr/share/nodejs), or of a scope there."""
    parent, _, _ = folder.rpartition("/")
    above, _, scope = parent.rpartition("/")
    if scope.startswith("@"):
        parent = above
    return parent.endswith("node_modules") or parent in ("usr/share/nodejs", "usr/lib/nodejs")
