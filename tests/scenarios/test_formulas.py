"""Scenarios: what holds for every image and wire, hand-worked sums, and intervals."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenarios.formulas import (
    PUSH_TRIPS,
    SCENARIOS,
    Estimate,
    LinkSpeed,
    Parts,
    Question,
    Typical,
    exact,
    of_samples,
    plain,
    pushed,
    storage,
    vectors,
)
from harness.scenarios.layer_sizes import CellLayers, ImageLayers, LayerSize
from harness.scenarios.pull_model import LAYER_TRIPS, LEAD_TRIPS, LayerCost, PullProfile, predict
from harness.stats.intervals import SMALLEST_DECIDABLE

MB = 10**6


def layer(name, packed, base=False):
    return LayerSize(digest=f"sha256:{name}", packed=packed, base=base)


def cell(app="go", strategy="slim", *, program=10 * MB, reproducible=False, base=30 * MB, scale=(1.0,)):
    """An image of a base, libraries and a program; its next version differs in the program."""

    def pull(*costs):
        return Typical.of([PullProfile(tuple(LayerCost(n, b, u * s) for n, b, u in costs), 0.1 * s, 0.2 * s)
                           for s in scale])  # fmt: skip

    def image(version):
        parts = layer("base", base, True), layer(f"{app} libraries", 5 * MB), layer(f"{app} {version}", program)
        return ImageLayers(config=1000, layers=parts)

    return Parts(
        cell=f"{app}-{strategy}", app=app, strategy=strategy,
        empty=pull(("base", base, 1.0), ("libraries", 5 * MB, 0.2), ("program", program, 0.3)),
        update=pull(("program 2", program, 0.3)), base=pull(("libraries", 5 * MB, 0.2), ("program", program, 0.3)),
        start=of_samples([0.5 * s for s in scale]), cold=of_samples([20.0]), source=of_samples([4.0]),
        reproducible=reproducible, images=CellLayers(current=image(1), changed=image(2)),
    )  # fmt: skip


def ask(parts, name, *, mbit=100.0, rtt=0.0, nodes=4):
    scenario = next(each for each in SCENARIOS if each.name == name)
    return scenario.compute(parts, Question(wire=LinkSpeed(bits_per_second=mbit * 1e6, rtt=rtt), nodes=nodes))


def test_worked_by_hand():
    """80 Mbit/s carry 10 MB a second. One layer: lead 0.1, 1 s of download, 0.3 of unpacking, tail 0.2, start 0.5."""
    parts = cell()
    assert ask(parts, "update", mbit=80).value == pytest.approx(0.1 + 1.0 + 0.3 + 0.2 + 0.5)
    trips = (LEAD_TRIPS + LAYER_TRIPS) * 0.05
    assert ask(parts, "update", mbit=80, rtt=0.05).value == pytest.approx(2.1 + trips)
    assert ask(parts, "rebuild", mbit=80).value == pytest.approx(4.0 + 1.0001)
    assert ask(parts, "rebuild", mbit=80, rtt=0.05).value == pytest.approx(5.0001 + PUSH_TRIPS * 0.05)
    assert ask(parts, "rebuild-cold", mbit=80).value == pytest.approx(20.0 + 1.5001)  # libraries are new too
    assert ask(cell(reproducible=True), "rebuild-cold", mbit=80).value == pytest.approx(20.0 + 1.0001)
    assert ask(parts, "update-cold").value > ask(parts, "update").value
    assert ask(cell(reproducible=True), "update-cold") == ask(cell(reproducible=True), "update")


@given(st.floats(1, 10_000), st.floats(0, 0.5), st.integers(1, 50))
def test_n_nodes_take_as_long_as_one_on_an_nth_of_the_wire(mbit, rtt, nodes):
    together = ask(cell(), "scale", mbit=mbit, rtt=rtt, nodes=nodes)
    alone = ask(cell(), "first", mbit=mbit / nodes, rtt=rtt)
    assert together.value == pytest.approx(alone.value)
    assert together.value >= ask(cell(), "first", mbit=mbit, rtt=rtt).value


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=12), st.floats(1, 10_000), st.integers(1, 9))
def test_intervals_hold_their_value_and_exist_where_samples_do(scale, mbit, nodes):
    for name in ("first", "update", "scale"):
        answer = ask(cell(scale=scale), name, mbit=mbit, nodes=nodes)
        assert answer.n == len(scale)
        if len(scale) < SMALLEST_DECIDABLE:
            assert answer.low is None and answer.high is None
        else:
            assert answer.low <= answer.value * (1 + 1e-9) and answer.value <= answer.high * (1 + 1e-9)


def test_the_typical_pull_repeats_the_median_of_the_pulls_it_is_made_of():
    scale = [0.9, 1.0, 1.3, 1.1, 1.05, 1.02, 0.97]
    typical = cell(scale=scale).empty
    own = typical.profile.overhead + sum(layer.unpack for layer in typical.profile.layers)
    assert own == pytest.approx(1.8 * 1.02)
    assert (typical.low, typical.high) == pytest.approx((0.9 / 1.02, 1.3 / 1.02))
    fastest = LinkSpeed(bits_per_second=1e15)
    assert typical.pull(fastest).value == pytest.approx(own)


def test_a_slow_wire_leaves_little_of_the_engines_uncertainty():
    """What the wire takes is exact, and unpacking that is hidden behind it cannot make the pull longer."""
    parts = cell(scale=[0.8, 0.9, 1.0, 1.0, 1.1, 1.2], base=MB, program=50 * MB)  # the last layer arrives last
    fast, slow = (ask(parts, "first", mbit=mbit) for mbit in (100_000, 10))
    assert slow.high - slow.low < fast.high - fast.low


def test_sums_add_the_squares_of_distances():
    one = Estimate(value=10, low=7, high=13, n=6)
    two = Estimate(value=5, low=1, high=8, n=9)
    assert one.plus(two) == Estimate(value=15, low=10, high=15 + math.hypot(3, 3), n=6)
    assert one.plus(exact(5)) == Estimate(value=15, low=12, high=18, n=6)
    assert one.plus(Estimate(value=1, low=None, high=None, n=2)) == Estimate(value=11, low=None, high=None, n=2)


def test_storage_counts_shared_layers_once_and_each_versions_own():
    go, python = cell("go"), cell("python", program=2 * MB)
    both = storage([go, python])
    assert both.apps == ("go", "python")
    assert both.first == 30 * MB + 15 * MB + 7 * MB + 2000
    assert both.alone == both.first + 30 * MB
    assert both.added == 12 * MB + 2000
    assert both.of(1) == both.first and both.of(10) == both.first + 9 * both.added
    assert storage([go, python], cached=False).added == both.added + 10 * MB  # the libraries are new every time
    assert storage([]) is None


def test_what_was_not_measured_has_no_answer():
    nothing = Parts(cell="go-slim", app="go", strategy="slim")
    assert all(ask(nothing, scenario.name) is None for scenario in SCENARIOS)
    assert pushed(nothing, cached=True) is None and storage([nothing]) is None


@pytest.mark.parametrize("bad", [{"bits_per_second": 0}, {"bits_per_second": 1, "rtt": -1},
                                 {"bits_per_second": math.inf}, {"bits_per_second": math.nan}])  # fmt: skip
def test_a_wire_that_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match="a wire needs"):
        LinkSpeed(**bad)


def test_vectors_are_plain_data_that_the_embedded_parts_reproduce():
    parts = cell(scale=[1.0, 1.1, 1.2])
    question = Question(wire=LinkSpeed(bits_per_second=5e7, rtt=0.02))
    vector = json.loads(json.dumps(vectors({"go-slim": parts}, [question])))[0]
    embedded = json.loads(json.dumps(plain(parts)))
    profile = embedded["update"]["profile"]
    again = predict(
        PullProfile(tuple(LayerCost(**each) for each in profile["layers"]), profile["lead"], profile["tail"]),
        bits_per_second=vector["question"]["wire"]["bits_per_second"], rtt=vector["question"]["wire"]["rtt"],
    )  # fmt: skip
    assert vector["scenarios"]["update"]["value"] == pytest.approx(again.seconds + embedded["start"]["value"])
    assert embedded["pushed"] == {"cached": 10 * MB + 1000, "uncached": 15 * MB + 1000}
