"""The record of everything in apps/, variants/ and calibration/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import CatalogueError
from harness.model import App, Base, Cell, Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything in apps/ and variants/, already checked."""

    apps: tuple[App, ...]
    strategies: tuple[Strategy, ...]  # by rank
    bases: Mapping[str, Base]  # by role
    release: str  # the distribution release that all strategies share
    cells: tuple[Cell, ...]  # by app, then strategy rank
    # mistakes; apps, strategies and cells that they affect are left out of the other fields
    problems: tuple[CatalogueError, ...] = ()
