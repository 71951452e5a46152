"""docs/engines.md: what the runs of one job measured on each engine, what they did not measure, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.decision.engines import engine_of
from harness.decision.figures import FLOOR
from harness.report.markdown.view import markdown
from harness.store.run import Run
from harness.text.units import counted, shortened

_FACTS = (
    "engine",
    "image store",
    "storage driver",
    "runtime",
    "gunzip",
    "node",
    "node engine",
    "start path",
    "page cache",
)
_COMPARED = ("size.transfer", "size.unpacked", "pull.empty.total", "start.warm.total")


def render(runs: Sequence[Run], *, names: Mapping[str, str] | None = None) -> str:
    """The page as Markdown; the runs are of one job, in the order of their engines. `names` are what the page calls an
    engine, if that is not what the run was asked for.
    """
    called = [engine_of(run) or run.manifest.environment.facts.get("engine", "") for run in runs]
    engines = [(names or {}).get(name, name) for name in called]
    parts = [
        "# Engines",
        "What `tox -e engines` measured on each engine, with one block. The page shows what ran. A metric without"
        " samples is absent, and the last section shows why. Numbers of one block show that a metric can be measured,"
        " and not which engine is faster.",
        "`vm:` is a Docker in a network namespace of its own behind tcp://. Tare treats it as one on another machine.",
        "## Versions",
        markdown(["", *engines], _facts(runs)),
        "## Probes",
        "The number of cells that have samples of every metric of the probe.",
        markdown(["probe", *engines], _probes(runs)),
        "## Values",
        markdown(["cell", "metric", *engines], _values(runs)),
        "## What was not measured",
        "\n".join(_missing(runs, engines)) or "Everything was measured on every engine.",
    ]
    return "\n\n".join(parts) + "\n"


def _facts(runs: Sequence[Run]) -> list[list[str]]:
    facts = [run.manifest.environment.facts for run in runs]
    present = [name for name in _FACTS if any(name in found for found in facts)]
    return [[name, *(found.get(name, "as the run's") for found in facts)] for name in present]


def _probes(runs: Sequence[Run]) -> list[list[str]]:
    names = dict.fromkeys(metric.group for run in runs for metric in run.manifest.metrics if metric.group != FLOOR)
    return [[probe, *(_whole(run, probe) for run in runs)] for probe in names]


def _whole(run: Run, probe: str) -> str:
    metrics = [metric.name for metric in run.manifest.metrics if metric.group == probe]
    cells = [cell.id for cell in run.manifest.cells]
    series = run.series()
    found = {cell: sum((cell, metric) in series for metric in metrics) for cell in cells}
    if not any(found.values()):
        return "not measured"
    absent = [metric for metric in metrics if not any((cell, metric) in series for cell in cells)]
    text = f"{sum(map(bool, found.values()))} of {len(cells)}"
    return f"{text}, without {counted(len(absent), 'metric')}" if absent else text


def _values(runs: Sequence[Run]) -> list[list[str]]:
    rows = []
    for cell in dict.fromkeys(cell.id for run in runs for cell in run.manifest.cells):
        for name in _COMPARED:
            metric = next((item for run in runs for item in run.manifest.metrics if item.name == name), None)
            if metric is None:
                continue
            found = [run.series().get((cell, name)) for run in runs]
            unit, factor, digits = ("MB", 1e-6, 2) if metric.unit == "B" else ("s", 1.0, 3)
            texts = ["–" if one is None else f"{np.median(one.value) * factor:.{digits}f} {unit}" for one in found]
            rows.append([cell, f"`{name}`", *texts])
    return rows


def _missing(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    lines = []
    for run, name in zip(runs, names, strict=True):
        series = run.series()
        measured = {metric for _, metric in series}
        absent = [m.name for m in run.manifest.metrics if m.name not in measured and m.probe != FLOOR]
        reasons = {f"{try_.cell}: {try_.probe}: {try_.reason.splitlines()[0]}": None for try_ in run.failures}
        lines += [f"- {name}: {reason}" for reason in reasons]
        said = run.unmeasured()
        by_reason: dict[str, list[str]] = {}
        for metric in absent:
            by_reason.setdefault(said.get(metric, ""), []).append(metric)
        every = [metric.name for metric in run.manifest.metrics]
        for reason, metrics in by_reason.items():
            listed = ", ".join(f"`{metric}`" for metric in shortened(metrics, every))
            lines.append(f"- {name}: {listed}{f': {reason}' if reason else ''}")
        lines += [f"- {name}: no depot: {why}" for key, why in run.manifest.environment.notes.items() if key == "depot"]
    return lines
