"""The metric that a criterion rests on: one rule, and everything that ranks or writes keeps to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.decision.criteria import CRITERIA, weighted
from harness.decision.decide import decide
from harness.decision.ranking import Ranking
from harness.report.markdown.decision import render
from harness.report.page.data import page_data
from support.synthetic import APPS, run

DEPLOY = next(item for item in CRITERIA if item.name == "deploy")
ONE_APP = {"go": APPS["go"]}


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (DEPLOY.metrics, "deploy.total"),
        (DEPLOY.metrics[::-1], "deploy.total"),
        (DEPLOY.metrics[1:], "deploy.empty.total"),
        (("size.transfer",), ""),
        ((), ""),
    ],
)
def test_a_criterion_rests_on_the_first_of_its_metrics_that_was_measured(
    measured: tuple[str, ...], expected: str
) -> None:
    assert DEPLOY.rests_on(measured) == expected


@pytest.mark.parametrize(
    ("without", "expected"), [((), "deploy.total"), (("deploy.total", "deploy.empty"), "pull.empty.total")]
)
def test_the_ranking_the_document_and_the_page_rest_on_the_same_metric(
    tmp_path: Path, without: tuple[str, ...], expected: str
) -> None:
    stored = run(tmp_path, apps=ONE_APP, blocks=6, without=without)
    decision = decide([stored], now=stored.manifest.started)
    ranking = Ranking(stored, "go", stored.manifest.cells, CRITERIA, ())
    assert {column.criterion.name: column.metric.name for column in ranking.columns}["deploy"] == expected
    assert next(metric.name for metric in decision.weighed()) == expected
    assert f"| deploy | 3 | `{expected}` |" in render(decision)
    rows = page_data(decision)["criteria"]
    assert isinstance(rows, list)
    assert {row["name"]: row["metric"] for row in rows}["deploy"] == expected


def test_what_no_cell_of_an_app_has_does_not_stand_for_a_criterion(tmp_path: Path) -> None:
    """Another app's samples say nothing of this app: it is ranked by the next metric that it has."""
    stored = run(tmp_path, blocks=6)
    cells = tuple(cell for cell in stored.manifest.cells if cell.app == "go")
    mine = {key: series for key, series in stored.series().items() if key[1] != "deploy.total"}
    others = {key: series for key, series in stored.series().items() if key[0] not in {cell.id for cell in cells}}
    mixed = replace(stored, _series=mine | others)
    assert "deploy.total" in mixed.measured()
    columns = {c.criterion.name: c.metric.name for c in Ranking(mixed, "go", cells, CRITERIA, ()).columns}
    assert columns["deploy"] == DEPLOY.rests_on({name for cell, name in mine if cell == cells[0].id})


def test_a_weight_may_be_given_by_the_earlier_name_of_a_criterion() -> None:
    chosen = {criterion.name: criterion.weight for criterion in weighted({"surface": 5, "missing": 0}, ())}
    assert chosen["components"] == 5
    assert not chosen.keys() & {"surface", "missing", "gaps"}
