"""customSmallerIsBetter of github-action-benchmark, of the newest run.

https://github.com/benchmark-action/github-action-benchmark#custom-benchmarks: a list of name, unit and value, with
range ("± n", which it reads back) and extra as texts. Larger-is-better metrics are left out: they need a file of their
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.host.files import replace_file
from harness.model import Direction
from harness.stats.intervals import summarise
from harness.store.run import Run
from harness.text.harmless_json import harmless_json

HELP = "customSmallerIsBetter (JSON), of the newest run"
SUFFIX = "json"


def write(runs: Sequence[Run], path: Path) -> None:
    run = runs[-1]
    known = {metric.name: metric for metric in run.manifest.metrics}
    rows = []
    for (cell, name), series in sorted(run.series().items()):
        metric = known.get(name)
        if metric is None or metric.direction is not Direction.SMALLER:
            continue
        summary = summarise(series.value, deterministic=metric.deterministic)
        row = {"name": f"{cell or 'engine'} {name}", "unit": metric.unit.value, "value": summary.median}
        if summary.low is not None and summary.high is not None and summary.low != summary.high:
            row["range"] = f"± {max(summary.median - summary.low, summary.high - summary.median):.6g}"
        row["extra"] = f"run {run.id}, {summary.n} samples"
        rows.append(row)
    replace_file(path, harmless_json(rows))
