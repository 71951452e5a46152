"""How long an app takes, compared with a small Go service: for the order of apps and for the time left.

By language, from the tries of docs/example: the seconds of preparing and of one block, per cell.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.model import App, Cell

_LANGUAGES = {"go": 1.0, "python": 1.0, "java": 1.2, "node": 1.4, "rust": 1.7}
_OTHER = 1.5
_SERVICE = 1.5  # factor for each service that runs beside the app: it has to be started, and more has to be built


def effort(app: App) -> float:
    """The time a cell of the app takes, as a multiple of a small Go service's."""
    return _LANGUAGES.get(app.language, _OTHER) * _SERVICE ** len(app.services)


def in_order(cells: Iterable[Cell], first: Iterable[str] = ()) -> list[Cell]:
    """The cells app by app: first the apps named in `first`, in their order, then the other apps, the quickest first.
    The cells of an app keep their order.
    """
    cells = list(cells)
    named = {name: place for place, name in enumerate(first)}
    whole: dict[str, float] = {}
    for cell in cells:
        whole[cell.app.name] = whole.get(cell.app.name, 0.0) + effort(cell.app)
    return sorted(cells, key=lambda c: (named.get(c.app.name, len(named)), whole[c.app.name], c.app.name))
