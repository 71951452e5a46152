"""The data in report.html: figures, samples thinned for drawing, phases, layers, scenarios. Plain JSON values.

A page holds at most `MOST_SAMPLES` samples. If a run has more, a series keeps its extremes, its outliers and every nth
of the rest by order, and says how many of how many it shows; the figures always use all samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from harness.decision.choice import Choice
from harness.decision.decide import Decision
from harness.decision.figures import FLOOR, Figure, apps
from harness.errors import StoreError
from harness.model import Metric, Phase
from harness.report.gains import gain
from harness.report.words import WORD, robust, sureness
from harness.scenarios.formulas import SCENARIOS, Parts, plain, storage
from harness.scenarios.measured import measured_parts
from harness.stats.intervals import Ratio, compared
from harness.store.documents import STEPS, SURFACE, newest
from harness.store.run import CellInfo, Run, Series

MOST_SAMPLES = 120_000
_LEAST_SHOWN = 12  # samples of a series, however many series there are
_MOST_STEPS = 60  # phases of a build: the longest are drawn

Json = dict[str, object]


def page_data(decision: Decision) -> Json:
    """Everything that the page's script draws, by the script's names."""
    run = decision.run
    shown = decision.analysis.figures(run.manifest.metrics)
    try:
        parts = measured_parts(run)
    except StoreError:
        parts = {}
    return {
        "run": {"id": run.id, "started": run.manifest.started, "folder": run.folder.name},
        "strategies": _strategies(run.manifest.cells),
        "apps": [
            {"name": app, "title": cells[0].app_title, "cells": [cell.id for cell in cells]}
            for app, cells in apps(run).items()
        ],
        "cells": {cell.id: {"app": cell.app, "strategy": cell.strategy} for cell in run.manifest.cells},
        "metrics": [_metric(metric) for metric in run.manifest.metrics if metric.group != FLOOR],
        "figures": _figures(run, shown),
        "pairs": _pairs(run, decision.metrics),
        "series": _series(run),
        "criteria": _criteria(decision),
        "choices": [_choice(decision, choice) for choice in decision.choices.values()],
        "phases": _phases(run),
        "layers": _layers(run, parts),
        "packages": _packages(run),
        "scenarios": {
            "titles": {scenario.name: scenario.title for scenario in SCENARIOS},
            "parts": {cell: plain(part) for cell, part in parts.items() if part.start or part.source},
            "storage": _storage(parts),
        },
    }


def _strategies(cells: Iterable[CellInfo]) -> list[Json]:
    by_name = {cell.strategy: cell for cell in sorted(cells, key=lambda cell: cell.rank)}
    return [
        {"name": name, "title": cell.strategy_title, "summary": cell.summary, "trades": cell.trades}
        for name, cell in by_name.items()
    ]


def _metric(metric: Metric) -> Json:
    return {
        "name": metric.name,
        "unit": metric.unit.value,
        "direction": metric.direction.value,
        "deterministic": metric.deterministic,
        "headline": metric.headline,
        "help": metric.help,
    }


def _figures(run: Run, shown: Mapping[tuple[str, str], Figure]) -> Json:
    """By cell and metric: n, median, low, high, minimum, maximum, MAD, outliers, failures, ratio to the reference."""
    table: dict[str, dict[str, object]] = {cell.id: {} for cell in run.manifest.cells}
    for (cell, metric), figure in shown.items():
        if figure.summary is None:
            if figure.failures:
                table[cell][metric] = [0, None, None, None, None, None, None, 0, len(figure.failures), None]
            continue
        s = figure.summary
        numbers = (s.median, s.low, s.high, s.minimum, s.maximum, s.mad)
        table[cell][metric] = [
            s.n, *map(_short, numbers), len(s.outliers), len(figure.failures), _ratio(figure.ratio),
        ]  # fmt: skip
    return dict(table)


def _ratio(found: Ratio | None) -> list[object] | None:
    if found is None:
        return None
    return [_short(found.estimate), _short(found.low), _short(found.high), found.verdict.value, found.more, found.n]


def _pairs(run: Run, metrics: Sequence[Metric]) -> Json:
    """Ratios between any two strategies of an app, by metric: `Compare` shows them for headline metrics."""
    series = run.series()
    table: Json = {}
    for cells in apps(run).values():
        for i, first in enumerate(cells):
            for second in cells[i + 1 :]:
                found = {}
                for metric in metrics:
                    one, two = series.get((first.id, metric.name)), series.get((second.id, metric.name))
                    if one and two and (answer := compared(metric, one, two)):
                        found[metric.name] = _ratio(answer)
                table[f"{first.id}/{second.id}"] = found
    return table


def _series(run: Run) -> Json:
    """By cell ("" is the engine) and metric: the number of samples, and value, block and order of the samples shown."""
    found = run.series()
    most = max(_LEAST_SHOWN, MOST_SAMPLES // max(len(found), 1))
    known = {metric.name for metric in run.manifest.metrics}
    table: dict[str, dict[str, object]] = {}
    for (cell, name), series in found.items():
        if name in known:
            shown = positions_shown(series, most)
            table.setdefault(cell, {})[name] = {
                "n": int(series.value.size),
                "v": [_short(value) for value in series.value[shown].tolist()],
                "b": series.block[shown].tolist(),
                "o": series.order[shown].tolist(),
            }
    return dict(table)


def positions_shown(series: Series, most: int) -> NDArray[np.intp]:
    """Positions to show, ascending: all if there are no more than `most`; otherwise extremes and every nth by order."""
    n = series.value.size
    if n <= most:
        return np.arange(n)
    ends = max(most // 6, 1)
    ranks = np.argsort(series.value, kind="stable")
    even = np.linspace(0, n - 1, most - 2 * ends).astype(np.intp)
    return np.unique(np.concatenate([ranks[:ends], ranks[-ends:], even]))


def _short(value: float | None) -> float | None:
    """Seven digits: below a microsecond in a second, and exact for counts and bytes with at most seven digits."""
    if value is None:
        return None
    if value == int(value):
        return int(value)
    return float(f"{value:.7g}")


def _criteria(decision: Decision) -> list[Json]:
    measured = decision.run.measured()
    rows = []
    for criterion in decision.criteria:
        metric = criterion.rests_on(measured)
        rows.append(
            {"name": criterion.name, "weight": criterion.weight, "metric": metric, "meaning": criterion.meaning}
        )
    return rows


def _choice(decision: Decision, choice: Choice) -> Json:
    gains = {}
    for metric in decision.metrics:
        if choice.app and (found := gain(decision.run, decision.shown, choice, metric.name)):
            gains[metric.name] = {
                "value": found.value,
                "before": found.before,
                "times": found.times,
                "interval": found.interval,
                "sure": found.sure,
                "better": found.better,
            }
    return {
        "app": choice.app,
        "take": choice.take.strategy if choice.take else None,
        "rival": choice.rival.strategy if choice.rival else None,
        "confidence": choice.confidence.value,
        "word": WORD[choice.confidence],
        "sure": sureness(choice),
        "robust": robust(choice),
        "gains": gains,
        "options": [
            {
                "strategy": option.cell.strategy,
                "score": option.score and _short(option.score),
                "parts": {name: _short(part) for name, part in option.ratios.items()},
                "out": option.out,
            }
            for option in choice.options
        ],
    }


def _phases(run: Run) -> Json:
    """By cell and metric: order, and name, start and length of the phases of the try whose value is the median."""
    wanted: dict[int, list[tuple[str, str]]] = {}
    names = {metric.name for metric in run.manifest.metrics if metric.phases}
    for (cell, name), series in run.series().items():
        if cell and name in names:
            middle = np.argsort(series.value, kind="stable")[(series.value.size - 1) // 2]
            wanted.setdefault(int(series.order[middle]), []).append((cell, name))
    table: dict[str, dict[str, object]] = {}
    for order, try_ in run.tries_at(wanted).items():
        for cell, name in wanted[order]:
            if try_.cell == cell and try_.phases:
                table.setdefault(cell, {})[name] = {"order": order, "phases": _drawn(try_.phases)}
    return dict(table)


def _drawn(phases: Sequence[Phase]) -> list[tuple[str, float | None, float | None]]:
    longest = sorted(phases, key=lambda phase: -phase.seconds)[:_MOST_STEPS]
    return [(phase.name[:160], _short(phase.start), _short(phase.seconds)) for phase in phases if phase in longest]


def _layers(run: Run, parts: Mapping[str, Parts]) -> Json:
    """By cell, lowest first: digest, packed and unpacked bytes, whether it belongs to the base, step, wasted bytes,
    folders.
    """
    table: Json = {}
    for cell, part in parts.items():
        if part.images:
            known = {str(layer.get("diff_id")): layer for layer in _list(_artefact(run, cell, STEPS), "layers")}
            rows = []
            for layer in part.images.current.layers:
                more = known.get(layer.diff_id, {})
                folders = more.get("folders")
                largest = folders[:3] if isinstance(folders, list) else []
                own = (layer.digest, layer.packed, layer.content, layer.base)
                rows.append([*own, more.get("step"), more.get("waste"), largest])
            table[cell] = rows
    return table


def _packages(run: Run) -> Json:
    """Packages of each cell as positions in a list of names with versions."""
    names: dict[str, int] = {}
    cells = {}
    for cell in run.manifest.cells:
        found = _list(_artefact(run, cell.id, SURFACE), "packages")
        packages = [package for item in found if isinstance(package := item.get("package"), dict)]
        told = [f"{package.get('name')} {package.get('version')}" for package in packages]
        if told:
            cells[cell.id] = sorted({names.setdefault(name, len(names)) for name in told})
    return {"names": list(names), "cells": cells}


def _artefact(run: Run, cell: str, name: str) -> object:
    """A document kept with a cell; None if there is none that can be read, because a page works without it."""
    path = newest(run.folder, cell, name)
    try:
        return orjson.loads(path.read_bytes()) if path else None
    except (OSError, ValueError):
        return None


def _list(document: object, key: str) -> list[dict[str, object]]:
    found = document.get(key) if isinstance(document, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _storage(parts: Mapping[str, Parts]) -> Json:
    table: Json = {}
    for name in dict.fromkeys(part.strategy for part in parts.values()):
        cells = [part for part in parts.values() if part.strategy == name]
        both = {cached: storage(cells, cached=cached) for cached in (True, False)}
        if found := both[True]:
            cold = both[False]
            table[name] = {
                "apps": list(found.apps),
                "first": found.first,
                "added": found.added,
                "added_cold": cold.added if cold and cold.apps == found.apps else None,
            }
    return table
