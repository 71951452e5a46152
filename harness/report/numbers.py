"""The numbers of a run as one JSON document, for other programs: every metric of every cell, as in the tables."""

from __future__ import annotations

from typing import Any

from harness.decision.figures import Analysis
from harness.store.run import Run

SCHEMA = 1


def numbers(run: Run, *, analysis: Analysis | None = None) -> dict[str, Any]:
    """`cells` in the order of their rows. A metric has `median`, `low` and `high` (the 95 % interval, None if there are
    too few samples), `n`, and against the first cell `ratio` with its own interval and `verdict`. Values are in `unit`:
    seconds, bytes, counts.
    """
    found = (analysis or Analysis(run)).figures(run.manifest.metrics)
    cells = []
    for cell in sorted(run.manifest.cells, key=lambda each: (each.app, each.rank)):
        metrics = {}
        for metric in run.manifest.metrics:
            figure = found[cell.id, metric.name]
            if figure.summary is None:
                continue
            summary, ratio = figure.summary, figure.ratio
            metrics[metric.name] = {
                "unit": metric.unit.value,
                "median": summary.median,
                "low": summary.low,
                "high": summary.high,
                "n": summary.n,
                "minimum": summary.minimum,
                "maximum": summary.maximum,
                **(
                    {
                        "ratio": {
                            "value": ratio.estimate,
                            "low": ratio.low,
                            "high": ratio.high,
                            "verdict": ratio.verdict.value,
                        }
                    }
                    if ratio
                    else {}
                ),
            }
        failures = [
            {"probe": t.probe, "state": t.state, "status": t.status.value, "reason": t.reason}
            for t in run.failures
            if t.cell == cell.id
        ]
        cells.append(
            {
                "id": cell.id,
                "app": cell.app,
                "strategy": cell.strategy,
                "title": cell.strategy_title,
                "metrics": metrics,
                "failures": failures,
            }
        )
    environment = run.manifest.environment
    return {
        "schema": SCHEMA,
        "run": run.id,
        "environment": {"fingerprint": environment.fingerprint, **environment.facts},
        "cells": cells,
    }
