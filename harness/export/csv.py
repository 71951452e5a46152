"""CSV: a row per sample (RFC 4180, UTF-8)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from harness.host.files import replacing
from harness.nights.records import track_of
from harness.store.run import Run

HELP = "one row for each sample"
SUFFIX = "csv"
COLUMNS = ("run", "started", "environment", "track", "git", "cell", "metric", "unit", "block", "order", "at", "value")


def write(runs: Sequence[Run], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for run in runs:
            manifest = run.manifest
            names = run.id, manifest.environment.fingerprint, track_of(manifest), manifest.git
            run_id, fingerprint, track, git = map(_no_formula, names)
            head = (run_id, manifest.started, fingerprint, track, git)
            units = {metric.name: metric.unit.value for metric in manifest.metrics}
            for (cell, metric), series in sorted(run.series().items()):
                named = _no_formula(cell), _no_formula(metric)
                columns = (series.block, series.order, series.at, series.value)
                for block, order, at, value in zip(*(column.tolist() for column in columns), strict=True):
                    writer.writerow(
                        (
                            *head,
                            *named,
                            units.get(metric, ""),
                            block,
                            order,
                            at,
                            repr(value),
                        )
                    )


def _no_formula(text: str) -> str:
    """Text that a spreadsheet does not compute. https://owasp.org/www-community/attacks/CSV_Injection"""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
