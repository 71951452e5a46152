"""The record of everything apps/, variants/ and calibration/ say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import CatalogueError
from harness.model import App, Base, Cell, Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything apps/ and variants/ say, already checked."""

    apps: tuple[App, ...]
    strategies: tuple[Strategy, ...]  # by rank
    bases: Mapping[str, Base]  # by role
    release: str  # distribution release all strategies share
    cells: tuple[Cell, ...]  # by app, then strategy rank
    problems: tuple[CatalogueError, ...] = ()  # mistakes; what they break is not in the rest
