"""The upkeep of an image in words: patching, debugging, what it lacks, and the lines that build it."""

from __future__ import annotations

from harness.decision.choice import listed
from harness.store.run import CellInfo, Run

_LACKING = {
    "zones": "time zones",
    "certificates": "certificate authorities",
    "users": "an entry for its user",
    "locale": "a locale",
    "shell": "a shell to debug with",
}


def care_text(run: Run, cell: CellInfo, rival: CellInfo | None = None) -> str:
    """Sentences about what was measured, with the rival's numbers in them; "" if nothing was measured."""
    parts = [
        *_patching(run, cell, rival),
        *_counted(run, cell, rival, "care.lines", "{} lines of Dockerfile are the team's to maintain"),
        *_lacking(run, cell),
    ]
    costs = f"What {cell.strategy} asks of its team: {'; '.join(parts)}." if parts else ""
    return " ".join(filter(None, (costs, _reproducible(run, cell))))


def _value(run: Run, cell: CellInfo | None, metric: str) -> float | None:
    series = run.series().get((cell.id, metric)) if cell else None
    return None if series is None or not series.value.size else float(series.value[-1])


def _patching(run: Run, cell: CellInfo, rival: CellInfo | None) -> list[str]:
    hidden = _value(run, cell, "surface.hidden")
    if hidden is None:
        return []
    if not hidden:
        return ["a rebuild on a new base patches every component"]
    text = "{} components are patched only if the build collects their files again, and no scanner reports them"
    return _counted(run, cell, rival, "surface.hidden", text)


def _counted(run: Run, cell: CellInfo, rival: CellInfo | None, metric: str, text: str) -> list[str]:
    value, other = _value(run, cell, metric), _value(run, rival, metric)
    if value is None:
        return []
    beside = f" ({rival.strategy}: {other:.0f})" if rival and other is not None else ""
    return [text.format(f"{value:.0f}{beside}")]


def _lacking(run: Run, cell: CellInfo) -> list[str]:
    values = {name: _value(run, cell, f"care.{name}") for name in _LACKING}
    if all(value is None for value in values.values()):
        return []
    lacking = [_LACKING[name] for name, value in values.items() if value == 0]
    if not lacking:
        return ["it has time zones, certificates, users, a locale and a shell"]
    debugger = " (a container beside it can still attach a debugger)" if values["shell"] == 0 else ""
    return [f"it lacks {' and '.join(filter(None, (', '.join(lacking[:-1]), lacking[-1])))}{debugger}"]


def _reproducible(run: Run, cell: CellInfo) -> str:
    """Whether two builds give the same image, and which other strategies of the app do not agree."""
    name = "build.reproducible"
    if (mine := _value(run, cell, name)) is None:
        return ""
    others = [item for item in run.manifest.cells if item.app == cell.app and item.id != cell.id]
    values = {item.strategy: value for item in others if (value := _value(run, item, name)) is not None}
    differing = [strategy for strategy, value in values.items() if value != mine]
    is_, not_ = ("the same image", "different images") if mine else ("different images", "the same image")
    if not values:
        return f"Two builds of {cell.strategy} give {is_}."
    if not differing:
        return f"Two builds give {is_} with every strategy that was measured."
    return f"Two builds of {cell.strategy} give {is_}. Two builds of {listed(differing)} give {not_}."
