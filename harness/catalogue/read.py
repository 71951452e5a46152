"""Reads apps/ and variants/ into the records of harness/model.py.

    apps/<app>/app.toml                   what the service is, how it proves that it works, what its edits are
    apps/<app>/<strategy>.Dockerfile      only where the app needs one of its own
    variants/<strategy>/variant.toml      what the strategy is and what it trades
    variants/<strategy>/<language>.Dockerfile
    variants/bases.toml                   the roles images are built from

Every mistake is a CatalogueError with file, line and fix. A mistake in an app, a strategy or a Dockerfile costs only
the cells that need it and is reported in `Catalogue.problems`; a mistake in bases.toml, which every cell needs, is
raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.catalogue.app import read_app
from harness.catalogue.catalogue import Catalogue
from harness.catalogue.cells import cells
from harness.catalogue.names import NAME, NAME_RULE, folder_name
from harness.errors import CatalogueError
from harness.model import App, Base, Strategy
from harness.tomlfile import Document, Table, suggest

RECIPES = ("full", "slim", "layer", "distroless")


def read(root: Path, *, extra_apps: Sequence[Path] = ()) -> Catalogue:
    """The catalogue of `root`, the folder that holds apps/ and variants/, and of app folders in other places.

    Paths in records and messages begin as `root` does. Raises CatalogueError for mistakes in bases.toml.
    """
    problems: list[CatalogueError] = []
    release, bases = _bases(root / "variants" / "bases.toml")
    strategies = _strategies(root / "variants", problems)
    known = [folder.name for folder in _folders(root / "variants")]  # a strategy with mistakes still exists
    apps = _apps([*_folders(root / "apps"), *extra_apps], bases, known, problems)
    return Catalogue(
        apps=apps,
        strategies=strategies,
        bases=bases,
        release=release,
        cells=cells(apps, strategies, bases, known, problems),
        problems=tuple(problems),
    )


# ---- bases


def _bases(path: Path) -> tuple[str, Mapping[str, Base]]:
    document = Document(path)
    root = document.root
    release = root.text("release")
    table = root.table("base")
    root.close()
    tables = {role: inner for role in table.names() if (inner := table.table(role))} if table else {}
    bases = {role: _base(role, inner) for role, inner in tables.items()}
    for role, base in bases.items():
        inner = tables[role]
        if not NAME.fullmatch(role):
            inner.problem(f"base.{role} is not a valid name of a base", fix=NAME_RULE)
        if base.recipe in RECIPES and base.recipe != "layer" and base.parent:
            inner.problem(f"parent belongs to the recipe layer, not to {base.recipe}", key="parent", fix="Remove it.")
        elif base.recipe == "layer" and not base.parent:
            inner.problem("the recipe layer needs a parent", fix="Add parent = …, the base whose layers come first.")
        elif base.parent and base.parent not in bases:
            fix = suggest(base.parent, bases, "Use one of")
            inner.problem(f"parent {base.parent} is not a base", key="parent", fix=fix)
        elif _stands_on_itself(role, bases):
            inner.problem(
                f"base.{role} stands on itself",
                key="parent",
                fix="Choose a parent that does not lead back to this base.",
            )
    if document.problems:
        raise _joined(document.told())
    return release, bases


def _base(role: str, table: Table) -> Base:
    return Base(
        role=role,
        title=table.text("title"),
        upstream=table.text("upstream"),
        recipe=table.choice("recipe", RECIPES),
        packages=table.texts("packages"),
        parent=table.text("parent", default=""),
        options=table.rest(),
    )


def _stands_on_itself(role: str, bases: Mapping[str, Base]) -> bool:
    below = bases[role].parent
    seen = set()
    while below in bases and below not in seen:
        if below == role:
            return True
        seen.add(below)
        below = bases[below].parent
    return False


def _joined(problems: Sequence[CatalogueError]) -> CatalogueError:
    """The first mistake, with the lines of the others in the same file."""
    first, *others = problems
    if not others:
        return first
    lines = ", ".join(f"{error.line or '–'} ({error.what})" for error in others)
    return CatalogueError(first.what, path=first.path, line=first.line, fix=f"{first.fix} Also line {lines}.")


# ---- strategies


def _strategies(variants: Path, problems: list[CatalogueError]) -> tuple[Strategy, ...]:
    found: list[Strategy] = []
    for folder in _folders(variants):
        document = _document(folder / "variant.toml", problems)
        if document is None:
            continue
        root = document.root
        strategy = Strategy(
            name=folder_name(folder, "a strategy", document),
            title=root.text("title"),
            summary=root.text("summary"),
            trades=root.text("trades"),
            path=folder,
            rank=root.integer("rank", low=0, high=9999),
            default=root.flag("default", default=True),
            fails=root.text("fails", default=""),
        )
        root.close()
        if not document.problems:
            for other in found:
                # it is a mistake, but both can be measured: their names decide the order
                if other.rank == strategy.rank:
                    fix = "Give each strategy a different rank."
                    root.problem(f"rank {strategy.rank} is also that of {other.name}", key="rank", fix=fix)
            found.append(strategy)
        problems += document.told()
    return tuple(sorted(found, key=lambda strategy: (strategy.rank, strategy.name)))


# ---- apps


def _apps(
    folders: Sequence[Path], bases: Mapping[str, Base], known: Sequence[str], problems: list[CatalogueError]
) -> tuple[App, ...]:
    found: dict[str, App] = {}
    for folder in folders:
        document = _document(folder / "app.toml", problems)
        if document is None:
            continue
        app = read_app(folder, document, bases, known)
        if other := found.get(app.name):
            document.root.problem(f"app {app.name} is {other.path} already", fix="Rename one of the two folders.")
        problems += document.told()
        if not document.problems:
            found[app.name] = app
    return tuple(found.values())


# ---- folders and documents


def _folders(parent: Path) -> list[Path]:
    """The folders in `parent` by name, without folders of tools (__pycache__) and empty folders, which git leaves
    behind.
    """
    if not parent.is_dir():
        return []
    found = (path for path in parent.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    return sorted(path for path in found if any(path.iterdir()))


def _document(path: Path, problems: list[CatalogueError]) -> Document | None:
    """None, and a problem, if the file is missing or not TOML."""
    try:
        return Document(path)
    except CatalogueError as error:
        problems.append(error)
        return None
