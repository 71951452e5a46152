"""The numbers of a run as JSON: what the tables show, with nothing rounded."""

from __future__ import annotations

import json
from pathlib import Path

from harness.report.numbers import numbers
from harness.store.run import read_run

EXAMPLE = Path(__file__).parents[2] / "docs" / "example"


def test_every_metric_of_a_stored_run_is_there_with_its_interval():
    folder = next(EXAMPLE.rglob("manifest.json")).parent
    run = read_run(folder)
    document = json.loads(json.dumps(numbers(run)))
    cells = {cell["id"]: cell for cell in document["cells"]}
    assert set(cells) == {cell.id for cell in run.manifest.cells}
    first, *others = [cell for cell in cells.values() if cell["app"] == "go"]
    assert all("ratio" not in metric for metric in first["metrics"].values())
    measured = 0
    for cell in others:
        for name, metric in cell["metrics"].items():
            values = run.series()[cell["id"], name].value
            assert (metric["n"], metric["minimum"], metric["maximum"]) == (len(values), min(values), max(values))
            measured += "ratio" in metric
    assert measured
