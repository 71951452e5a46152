"""Ranking: scores, how sure they are, how they depend on the weights, and when nothing may be concluded."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.decision.choice import NO_CHOICE, NOT_IN_RUN, Confidence, Coverage, Lead, judge
from harness.decision.constraints import limit, need
from harness.decision.criteria import CRITERIA, Criterion, weighted
from harness.decision.doubts import DAY, DoubtKind, doubts, joined, withheld
from harness.decision.overall import choose
from harness.decision.sensitivity import sensitivity_of
from harness.errors import UsageError
from harness.store.run import Run
from support.synthetic import APPS, STRATEGIES, run

FEW = {name: APPS[name] for name in ("go", "node")}


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("twelve"), apps=FEW)


def test_scores_are_geometric_means_of_ratios_to_the_first_strategy(twelve: Run) -> None:
    sizes = weighted({**dict.fromkeys((item.name for item in CRITERIA), 0.0), "size": 1.0}, twelve.manifest.metrics)
    choice = choose(twelve, sizes)["go"]
    assert [option.cell.strategy for option in choice.options] == list(reversed(STRATEGIES))
    by_name = {option.cell.strategy: option for option in choice.options}
    assert by_name["full"].score == pytest.approx(1.0)
    assert by_name["scratch"].score == pytest.approx(4.2 / 290)
    both = choose(twelve, (*sizes, replace(sizes[0], name="again")))["go"]
    assert both.options[0].score == pytest.approx(4.2 / 290)


def test_the_ranking_does_not_hang_on_the_reference(twelve: Run) -> None:
    """What a geometric mean is for: with another cell first, scores are scaled and nothing changes places."""
    choice = choose(twelve, CRITERIA)["go"]
    cells = tuple(replace(cell, rank=100 - cell.rank) for cell in twelve.manifest.cells)
    turned = choose(replace(twelve, manifest=replace(twelve.manifest, cells=cells)), CRITERIA)["go"]
    assert [o.cell.strategy for o in turned.options] == [o.cell.strategy for o in choice.options]
    factors = {a.score / b.score for a, b in zip(turned.options, choice.options, strict=True) if a.score and b.score}
    assert max(factors) == pytest.approx(min(factors))


def test_a_clear_lead_over_many_blocks_is_decided(twelve: Run) -> None:
    choice = choose(twelve, CRITERIA)["go"]
    assert choice.confidence is Confidence.DECIDED
    assert choice.take is not None
    assert choice.take.strategy == "distroless"
    assert choice.lead is not None
    assert 1 < choice.lead.low < choice.lead.estimate < choice.lead.high
    assert choice.lead.more == 0


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_few_blocks_never_decide(tmp_path: Path, blocks: int) -> None:
    thin = run(tmp_path, apps=FEW, blocks=blocks)
    for choice in choose(thin, CRITERIA).values():
        assert choice.confidence is Confidence.LEANING
        assert choice.take is not None
        assert choice.lead is not None
        assert choice.lead.more >= 6 - blocks
        assert choice.lead.until >= 6
        assert "fewer than 6 blocks" in " ".join(choice.reasons)


def test_without_durations_nothing_is_decided(tmp_path: Path) -> None:
    lacking = run(tmp_path, apps=FEW, without=("deploy", "pull", "start", "build"))
    for choice in choose(lacking, CRITERIA).values():
        assert choice.confidence is Confidence.LEANING
        assert {"deploy", "update", "start", "build"} <= choice.dropped.keys()
        assert "more than two fifths of the weight lies on deploy, update, start and build" in choice.reasons[0]
        assert choice.lead is not None
        assert choice.lead.more == 0  # more blocks of the same metrics cannot decide


def test_what_the_run_never_measured_does_not_keep_a_choice_undecided(tmp_path: Path) -> None:
    lacking = run(tmp_path, apps=FEW, without=("surface", "care"))
    choices = choose(lacking, CRITERIA)
    assert choices["go"].confidence is Confidence.DECIDED
    for choice in choices.values():
        assert "not measured" not in " ".join(choice.reasons)
        assert choice.dropped == dict.fromkeys(("components", "patching", "upkeep", "gaps"), NOT_IN_RUN)


def test_what_one_strategy_lacks_keeps_a_choice_undecided(twelve: Run) -> None:
    """The other strategies have deployments and pulls, so the one without them may be better or worse."""
    groups = ("deploy", "pull")
    lacks = {key for key in twelve.series() if key[0] == "go-slim" and key[1].split(".")[0] in groups}
    series = {key: each for key, each in twelve.series().items() if key not in lacks}
    choices = choose(replace(twelve, _series=series), CRITERIA)
    for app in ("go", ""):
        choice = choices[app]
        assert choice.confidence is Confidence.LEANING
        assert choice.dropped["deploy"] == "not measured for slim"
        assert "deploy and update were not measured for every strategy, and more" in " ".join(choice.reasons)
        assert choice.lead is not None
        assert choice.lead.more == 0  # more blocks of the same metrics cannot decide
    assert choices["node"].confidence is Confidence.DECIDED


def test_equal_strategies_are_a_tie_or_open_never_decided(tmp_path: Path) -> None:
    same = {"twin": ((50, 50, 50, 50, 50), 0.2, 20, 5.0)}
    criteria = weighted(
        {"size": 0, "build": 0, "components": 0, "update": 0}, run(tmp_path, apps=same).manifest.metrics
    )
    verdicts = [choose(run(tmp_path, apps=same, seed=seed), criteria)["twin"].confidence for seed in range(8)]
    assert Confidence.DECIDED not in verdicts


def test_of_one_strategy_there_is_nothing_to_choose(twelve: Run) -> None:
    cells = tuple(cell for cell in twelve.manifest.cells if cell.strategy == "scratch")
    choices = choose(replace(twelve, manifest=replace(twelve.manifest, cells=cells)), CRITERIA)
    assert set(choices) == {"", *FEW}
    for choice in choices.values():
        assert (choice.confidence, choice.take, choice.reasons) == (Confidence.OPEN, None, (NO_CHOICE,))


def test_judge() -> None:
    def lead(estimate: float, low: float, high: float, *thin: str) -> Lead:
        return Lead(estimate=estimate, low=low, high=high, thin=thin)

    assert judge(lead(1.2, 1.1, 1.3), Coverage(shaky=0.0))[0] is Confidence.DECIDED
    assert judge(lead(1.2, 0.9, 1.5), Coverage(shaky=0.0))[0] is Confidence.LEANING
    assert judge(lead(1.01, 0.99, 1.02), Coverage(shaky=0.0))[0] is Confidence.TIE
    assert judge(lead(1.02, 1.01, 1.05), Coverage(shaky=0.0))[0] is Confidence.LEANING
    assert judge(lead(1.2, 1.1, 1.3, "deploy"), Coverage(shaky=0.5))[0] is Confidence.LEANING


def test_constraints_exclude_and_say_why(twelve: Run) -> None:
    choice = choose(twelve, CRITERIA, [need("shell")])["go"]
    assert choice.take is not None
    assert choice.take.strategy == "multi-stage"
    out = {option.cell.strategy: option.out for option in choice.options if option.out}
    assert out.keys() == {"distroless", "scratch"}
    assert "surface.shells 0" in out["scratch"]
    small = limit("size.transfer=100MB", twelve.manifest.metrics, at_most=True)
    assert {o.cell.strategy for o in choose(twelve, CRITERIA, [small])["go"].options if o.out} == {"full", "slim"}
    nothing = limit("size.transfer=1kB", twelve.manifest.metrics, at_most=True)
    assert choose(twelve, CRITERIA, [nothing])["go"].confidence is Confidence.OPEN
    both = choose(twelve, CRITERIA, [need("shell"), need("non-root")])["go"]
    assert both.take is not None
    assert both.take.strategy == "multi-stage"


def test_a_constraint_that_was_not_measured_leaves_it_open(tmp_path: Path) -> None:
    lacking = run(tmp_path, apps=FEW, blocks=2, without=("surface", "intruder"))
    choice = choose(lacking, CRITERIA, [need("shell")])["go"]
    assert choice.confidence is Confidence.OPEN
    assert choice.take is None
    assert "not measured" in choice.reasons[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("size.transfer", "not METRIC=VALUE"),
        ("size.nothing=1", "no metric has the name"),
        ("size.transfer=ten", "is not a value"),
        ("size.transfer=1s", "Use a number with B, kB"),
        ("start.warm.total=100MB", "is not a value"),
    ],
)
def test_limits_that_make_no_sense(twelve: Run, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        limit(text, twelve.manifest.metrics, at_most=True)


def test_weights_that_make_no_sense(twelve: Run) -> None:
    metrics = twelve.manifest.metrics
    for wrong in ({"speed": 1.0}, {"deploy": -1.0}, {"deploy": math.nan}, {"build.reproducible": 1.0}):
        with pytest.raises(UsageError):
            weighted(wrong, metrics)
    with pytest.raises(UsageError, match="every weight is 0"):
        weighted(dict.fromkeys((item.name for item in CRITERIA), 0.0), metrics)
    with pytest.raises(UsageError, match="no need has this name"):
        need("beauty")


@given(st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=2, max_size=5))
def test_shares_are_shares_and_a_dominating_option_has_all(rows: list[list[float]]) -> None:
    logs = np.array(rows)
    names = [f"s{i}" for i in range(len(rows))]
    take = names[int(np.argmin(logs @ np.ones(3)))]
    found = sensitivity_of(logs, np.ones(3), names, ["a", "b", "c"], take)
    assert sum(found.anyhow.values()) == pytest.approx(1)
    assert sum(found.near.values()) == pytest.approx(1)
    best = logs.min(axis=0) - 0.1
    found = sensitivity_of(np.vstack([best, logs]), np.ones(3), ["best", *names], ["a", "b", "c"], "best")
    assert found.anyhow == {"best": 1.0}
    assert not found.alone
    assert not found.flips


def test_a_flip_is_where_the_ranking_turns() -> None:
    """Two options, two criteria: a is ahead by ln 4 in x, behind by ln 2 in y. They are even at y = 2 x."""
    logs = np.array([[0.0, math.log(2)], [math.log(4), 0.0]])
    found = sensitivity_of(logs, np.ones(2), ["a", "b"], ["x", "y"], "a")
    flips = {flip.criterion: flip.limit for flip in found.flips}
    assert flips == {"x": pytest.approx(0.5), "y": pytest.approx(2.0)}
    assert found.alone == {"y": "b"}
    assert found.anyhow["a"] == pytest.approx(2 / 3, abs=0.02)  # a wins if w_y < 2 w_x: two thirds of the simplex


def test_over_all_apps_the_mean_of_the_leads_counts(twelve: Run) -> None:
    choices = choose(twelve, CRITERIA)
    leads = [choices[app].lead for app in FEW]
    whole = choices[""]
    assert whole.take is not None
    assert whole.take.strategy == "distroless"
    assert whole.lead is not None
    logs = [math.log(lead.estimate) for lead in leads if lead]
    assert math.log(whole.lead.estimate) == pytest.approx(sum(logs) / len(logs))


# what may not be concluded from


def test_old_data_are_stale(twelve: Run) -> None:
    started = twelve.manifest.started
    assert not [d for d in doubts([twelve], now=started + 29 * DAY) if d.withholds]
    (stale,) = (doubt for doubt in doubts([twelve], now=started + 31 * DAY) if doubt.withholds)
    assert stale.kind is DoubtKind.STALE
    choice = withheld(choose(twelve, CRITERIA)["go"], [stale])
    assert choice.confidence is Confidence.WITHHELD
    assert choice.reasons[0] == "stale"


def test_runs_of_two_environments_are_mixed(twelve: Run, tmp_path: Path) -> None:
    other = run(tmp_path, apps=FEW, engine="docker 29.0")
    (mixed,) = (d for d in doubts([twelve, other], now=other.manifest.started) if d.withholds)
    assert mixed.kind is DoubtKind.MIXED
    assert "engine: docker 20.10.24 → docker 29.0" in mixed.text


def test_runs_of_one_environment_are_read_as_one(tmp_path: Path) -> None:
    runs = [run(tmp_path, apps=FEW, blocks=4, seed=seed) for seed in (1, 2)]
    assert not [doubt for doubt in doubts(runs, now=runs[0].manifest.started) if doubt.withholds]
    whole = joined(runs)
    series = whole.series()["go-full", "deploy.total"]
    assert sorted(series.block.tolist()) == list(range(8))
    assert choose(runs[0], CRITERIA[:2])["go"].confidence is Confidence.LEANING
    assert choose(whole, CRITERIA[:2])["go"].confidence is Confidence.DECIDED


def test_an_image_that_changed_within_a_run_is_another(twelve: Run) -> None:
    series = dict(twelve.series())
    key = "go-full", "size.transfer"
    one = series[key]
    series[key] = replace(
        one,
        value=np.array([290e6, 350e6]),
        block=np.array([0, 1], dtype=np.int32),
        order=np.array([0, 99], dtype=np.int32),
        at=np.array([0.0, 1.0]),
    )
    found = doubts([replace(twelve, _series=series)], now=twelve.manifest.started)
    assert [doubt.kind for doubt in found if doubt.withholds] == [DoubtKind.MIXED]


def test_thin_data_are_said_to_be(tmp_path: Path) -> None:
    thin = run(tmp_path, apps=FEW, blocks=2)
    (doubt,) = doubts([thin], now=thin.manifest.started)
    assert doubt.kind is DoubtKind.THIN
    assert doubt.text.startswith("Every duration has 1 to ")  # builds have half as many
    mostly = run(tmp_path, apps=FEW, blocks=8)
    (doubt,) = doubts([mostly], now=mostly.manifest.started)
    assert doubt.text.startswith("build.cold and build.source have 4 blocks each; at least 6 blocks are needed")


def test_an_unknown_criterion_metric_is_dropped(twelve: Run) -> None:
    odd = Criterion(name="odd", weight=1, metrics=("odd.total",), meaning="nothing has it")
    assert choose(twelve, (*CRITERIA, odd))["go"].dropped["odd"] == NOT_IN_RUN
