"""The cells of a catalogue: the Dockerfile of each app in each strategy, found and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import CatalogueError
from harness.image.dockerfile import SCRATCH, base_arguments, instructions, last_stage_base, stages
from harness.model import App, Base, Cell, Strategy
from harness.tomlfile import read_text, suggest

_SUFFIX = ".Dockerfile"


def cells(
    apps: Sequence[App],
    strategies: Sequence[Strategy],
    bases: Mapping[str, Base],
    known: Sequence[str],
    problems: list[CatalogueError],
) -> tuple[Cell, ...]:
    """By app, then strategy, without those whose Dockerfile is missing or wrong: these are added to `problems`.

    `known` are the names of all strategies, including strategies with mistakes of their own.
    """
    dockerfiles = _Dockerfiles(bases, problems)
    found = [cell for app in apps for strategy in strategies if (cell := dockerfiles.cell(app, strategy))]
    _report_strays(apps, known, problems)
    return _distinct(found, problems)


class _Dockerfiles:
    """Finds and checks the Dockerfile of each cell; a Dockerfile that many cells share is read once, and its mistakes
    are reported once.
    """

    def __init__(self, bases: Mapping[str, Base], problems: list[CatalogueError]) -> None:
        self._by_argument = {base.argument: base for base in bases.values()}
        self._problems = problems
        self._checked: dict[Path, tuple[tuple[str, ...], str] | None] = {}

    def cell(self, app: App, strategy: Strategy) -> Cell | None:
        own = app.path / f"{strategy.name}{_SUFFIX}"
        shared = strategy.path / f"{app.language}{_SUFFIX}"
        path = own if own.is_file() else shared
        if not path.is_file():
            if strategy.default:  # a strategy that is off by default need not serve every language
                fix = f"Write {shared}, or {own} if only this app needs it."
                what = f"no Dockerfile for app {app.name} in strategy {strategy.name}"
                self._problems.append(CatalogueError(what, path=shared, fix=fix))
            return None
        if path not in self._checked:
            self._checked[path] = self._check(path)
        if (checked := self._checked[path]) is None:
            return None
        return Cell(app=app, strategy=strategy, dockerfile=path, bases=checked[0], base=checked[1])

    def _check(self, path: Path) -> tuple[tuple[str, ...], str] | None:
        """The roles that a Dockerfile names and the role that its last stage is built on; None if it has mistakes."""
        try:
            text = read_text(path)
        except CatalogueError as error:
            self._problems.append(error)
            return None
        before = len(self._problems)
        arguments = base_arguments(text)
        for name, default in arguments.items():
            self._check_argument(path, text, name, default)
        self._check_stages(path, text, arguments)
        if len(self._problems) > before:
            return None
        last = last_stage_base(text)
        roles = tuple(self._by_argument[name].role for name in arguments)
        return roles, "" if last == SCRATCH else self._by_argument[last].role

    def _check_argument(self, path: Path, text: str, name: str, default: str) -> None:
        words = (
            (item, word) for item in instructions(text) if item.keyword == "ARG" for word in item.arguments.split()
        )
        line = next(item.line for item, word in words if word.partition("=")[0] == name)
        base = self._by_argument.get(name)
        if base is None:
            fix = suggest(name, self._by_argument, "Use one of")
            self._problems.append(CatalogueError(f"{name} is not a base", path=path, line=line, fix=fix))
        elif default != base.upstream:
            what = f'{name} is "{default}", in bases.toml "{base.upstream}"' if default else f"{name} has no default"
            fix = f"Write ARG {name}={base.upstream}."
            self._problems.append(CatalogueError(what, path=path, line=line, fix=fix))

    def _check_stages(self, path: Path, text: str, arguments: Mapping[str, str]) -> None:
        """Report stages that are built on anything but a base by its ARG, an earlier stage or nothing: no other image
        is available.
        """
        names: set[str] = set()
        found = stages(text)
        for stage in found:
            base = last_stage_base(f"FROM {stage.base}")
            if base not in {SCRATCH, *arguments} and (not base or base.lower() not in names):
                fix = "Name a base of bases.toml: ARG BASE_… before the first FROM, and FROM ${BASE_…}."
                what = f"FROM {stage.base or 'nothing'} names no base"
                self._problems.append(CatalogueError(what, path=path, line=stage.line, fix=fix))
            names.add(stage.name)
        if not found:
            self._problems.append(CatalogueError("no FROM", path=path, fix="Write the Dockerfile."))


def _report_strays(apps: Sequence[App], known: Sequence[str], problems: list[CatalogueError]) -> None:
    """Report an app's own Dockerfile that no strategy uses: its name is misspelt, and another would be used in its
    place.
    """
    for app in apps:
        for path in sorted(app.path.glob(f"*{_SUFFIX}")):
            name = path.name.removesuffix(_SUFFIX)
            if name not in known:
                fix = suggest(name, known, "Strategies:")
                problems.append(CatalogueError(f"{name} is not a strategy", path=path, fix=fix))


def _distinct(cells: Sequence[Cell], problems: list[CatalogueError]) -> tuple[Cell, ...]:
    """The cells without the ones whose id another cell has: app a-b in c reads as app a in b-c."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if other := found.get(cell.id):
            what = f"cell {cell.id} is both {other.app.name} in {other.strategy.name} and this"
            fix = "Rename the app or the strategy."
            problems.append(CatalogueError(what, path=cell.app.path, fix=fix))
        else:
            found[cell.id] = cell
    return tuple(found.values())
