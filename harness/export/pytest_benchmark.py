"""pytest-benchmark's JSON, of the newest run: `pytest-benchmark compare FILE` reads it.

A benchmark is a duration of a cell; groups are apps and metrics, as in the suite of benchmarks/. The statistics are
pytest-benchmark's own, computed by its own class from the samples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_benchmark.stats import Stats

from harness.host.files import replace_file
from harness.model import Unit
from harness.store.run import Run
from harness.text.harmless_json import harmless_json

HELP = "pytest-benchmark's JSON, of the newest run"
SUFFIX = "json"
_FIELDS = (
    "min",
    "max",
    "mean",
    "stddev",
    "rounds",
    "median",
    "iqr",
    "q1",
    "q3",
    "iqr_outliers",
    "stddev_outliers",
    "outliers",
    "ld15iqr",
    "hd15iqr",
    "ops",
    "total",
)


def write(runs: Sequence[Run], path: Path) -> None:
    run = runs[-1]
    manifest = run.manifest
    seconds = {metric.name for metric in manifest.metrics if metric.unit is Unit.SECONDS}
    apps = {cell.id: (cell.app, cell.strategy) for cell in manifest.cells}
    benchmarks = [
        _benchmark(cell, metric, series.value.tolist(), apps.get(cell, ("engine", "")), run.id)
        for (cell, metric), series in sorted(run.series().items())
        if metric in seconds
    ]
    started = datetime.fromtimestamp(manifest.started, UTC).isoformat()
    facts = manifest.environment.facts
    record = {
        "machine_info": {
            "node": manifest.environment.notes.get("host", ""),
            "processor": facts.get("processor", ""),
            "machine": facts.get("architecture", ""),
            "python_version": manifest.versions.get("python", ""),
            "cpu": {"brand_raw": facts.get("processor", "")},
            "release": facts.get("kernel", ""),
            "system": "Linux",
            "tare": dict(facts),
        },
        "commit_info": {
            "id": re.sub(r"\+changes$", "", manifest.git) or "unknown",
            "time": started,
            "author_time": started,
            "dirty": manifest.git.endswith("+changes"),
            "project": "tare",
            "branch": "(unknown)",
        },
        "benchmarks": benchmarks,
        "datetime": started,
        "version": version("pytest-benchmark"),
    }
    replace_file(path, harmless_json(record))


def _benchmark(cell: str, metric: str, values: list[float], names: tuple[str, str], run: str) -> dict[str, Any]:
    stats = Stats()  # type: ignore[no-untyped-call]
    for value in values:
        stats.update(value)  # type: ignore[no-untyped-call]
    app, strategy = names
    name = f"{cell or 'engine'}-{metric}"
    return {
        "group": f"{app} {metric}",
        "name": name,
        "fullname": f"benchmarks/test_matrix.py::test_duration[{name}]",
        "params": {"cell": cell, "metric": metric, "strategy": strategy},
        "param": name,
        "extra_info": {"run": run, "cell": cell, "metric": metric},
        "options": {
            "disable_gc": False,
            "timer": "recorded by Tare",
            "min_rounds": 1,
            "max_time": 1.0,
            "min_time": 0.0,
            "warmup": False,
        },
        "stats": {**{field: getattr(stats, field) for field in _FIELDS}, "data": values, "iterations": 1},
    }
