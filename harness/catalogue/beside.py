"""An older catalogue beside a newer one, so that one lab can build the cells of both, each on its own bases. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.catalogue.catalogue import Catalogue
from harness.errors import UsageError
from harness.model import Base, Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Two catalogues in one. `moved` are the older catalogue's roles that mean something else in the newer one."""

    catalogue: Catalogue  # the newer catalogue, with the bases of both
    moved: frozenset[str]
    suffix: str  # of the names that moved roles have in `catalogue`

    def old(self, cell: Cell) -> Cell:
        """A cell of the older catalogue, on the bases of its own revision."""
        services = tuple(replace(service, base=self._role(service.base)) for service in cell.app.services)
        return replace(
            cell,
            app=replace(cell.app, services=services),
            bases=tuple(map(self._role, cell.bases)),
            base=self._role(cell.base),
        )

    def _role(self, role: str) -> str:
        return role + self.suffix if role in self.moved else role


def beside(new: Catalogue, old: Catalogue, suffix: str) -> Beside:
    """Both catalogues in one. Raises UsageError if they name different releases: a lab has packages of one release."""
    if new.release != old.release:
        raise UsageError(
            f"the revisions name different releases: {old.release} and {new.release}",
            where="variants/bases.toml",
            fix="Measure each with `tare bench` and compare the runs: `tare gate --base RUN --head RUN`.",
        )
    moved = {role for role, base in old.bases.items() if base != new.bases.get(role)}
    while more := {role for role, base in old.bases.items() if role not in moved and moved & set(_below(base))}:
        moved |= more
    pair = Beside(catalogue=new, moved=frozenset(moved), suffix=suffix)
    own = {role + suffix: _renamed(old.bases[role], pair) for role in sorted(moved)}
    return replace(pair, catalogue=replace(new, bases={**new.bases, **own}))


def _below(base: Base) -> tuple[str, ...]:
    """The roles that a base is made from."""
    return base.parent, str(base.options.get("on", "")), str(base.options.get("of", ""))


def _renamed(base: Base, pair: Beside) -> Base:
    role = pair._role
    options: Mapping[str, object] = {
        name: role(str(value)) if name in ("on", "of") else value for name, value in base.options.items()
    }
    return replace(base, role=role(base.role), alias=base.named, parent=role(base.parent), options=options)
