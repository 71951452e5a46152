"""Bencher Metric Format, of the newest run (https://bencher.dev/docs/reference/bencher-metric-format/).

A benchmark is a cell, a measure a metric; durations in nanoseconds under Bencher's built-in measure `latency` allow
only one number for each benchmark, so measures have the metric's own name, its dots as hyphens, and the metric's own
unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.host.files import replace_file
from harness.stats.intervals import summarise
from harness.store.run import Run
from harness.text.harmless_json import harmless_json

HELP = "Bencher Metric Format (JSON), of the newest run"
SUFFIX = "json"


def write(runs: Sequence[Run], path: Path) -> None:
    run = runs[-1]
    known = {metric.name: metric for metric in run.manifest.metrics}
    record: dict[str, dict[str, dict[str, float]]] = {}
    for (cell, metric), series in sorted(run.series().items()):
        if metric not in known:
            continue
        summary = summarise(series.value, deterministic=known[metric].deterministic)
        measure = {"value": summary.median}
        if summary.low is not None and summary.high is not None:
            measure |= {"lower_value": summary.low, "upper_value": summary.high}
        record.setdefault(cell or "engine", {})[metric.replace(".", "-")] = measure
    replace_file(path, harmless_json(record))
