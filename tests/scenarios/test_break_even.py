"""Break-even: the curves are the pull model's own, and every crossing is one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenarios.break_even import FASTEST, SLOWEST, break_even, crossings, pull_curve, raised
from harness.scenarios.formulas import Parts, Typical, of_samples
from harness.scenarios.pull_model import LayerCost, PullProfile, predict

sizes = st.integers(1, 10**9)
short = st.floats(0, 20, allow_nan=False)
profiles = st.builds(
    lambda costs, lead, tail: PullProfile(tuple(LayerCost(f"sha256:{n}", *c) for n, c in enumerate(costs)), lead, tail),
    st.lists(st.tuples(sizes, short), max_size=9),
    short,
    short,
)
trips = st.sampled_from([0.0, 0.005, 0.2])
speeds = st.floats(SLOWEST, FASTEST)


def at(curve, x):
    return next(piece.line.at(x) for piece in curve if piece.start <= x <= piece.end)


@given(profiles, trips, st.integers(1, 4), st.integers(1, 5), speeds)
def test_a_curve_is_the_models_prediction_everywhere(profile, rtt, parallel, nodes, speed):
    curve = pull_curve(profile, rtt=rtt, parallel=parallel, nodes=nodes)
    expected = predict(profile, bits_per_second=speed, rtt=rtt, parallel=parallel, nodes=nodes).seconds
    assert at(curve, 8 / speed) == pytest.approx(expected, rel=1e-7, abs=1e-7)


@given(profiles, trips)
def test_a_curve_has_no_gaps_and_does_not_jump(profile, rtt):
    curve = pull_curve(profile, rtt=rtt)
    assert curve[0].start == 8 / FASTEST and curve[-1].end == 8 / SLOWEST
    for one, two in pairwise(curve):
        assert one.end == two.start
        assert one.line.at(one.end) == pytest.approx(two.line.at(one.end), rel=1e-6, abs=1e-6)


@given(profiles)
def test_without_round_trips_a_curve_is_convex(profile):
    slopes = [piece.line.b for piece in pull_curve(profile)]
    assert all(one <= two * (1 + 1e-9) for one, two in pairwise(slopes))


@given(profiles, profiles, trips, st.floats(0, 5))
def test_the_faster_one_changes_exactly_at_the_crossings(a, b, rtt, start):
    first, second = raised(pull_curve(a, rtt=rtt), start), pull_curve(b, rtt=rtt)
    found = crossings(first, second)
    edges = [FASTEST, *(crossing.bits_per_second for crossing in found), SLOWEST]
    assert edges == sorted(edges, reverse=True)
    for number, crossing in enumerate(found):
        assert crossing.below != found[number - 1].below or not number
        x = 8 / crossing.bits_per_second
        assert at(first, x) == pytest.approx(at(second, x), rel=1e-6, abs=1e-6)
    for number, (fast, slow) in enumerate(pairwise(edges)):
        speed = (fast * slow) ** 0.5
        gap = at(first, 8 / speed) - at(second, 8 / speed)
        if abs(gap) > 1e-6 and found:
            first_wins = found[number - 1].below if number else not found[0].below
            assert (gap < 0) == first_wins


def test_two_images_may_change_places_twice():
    """Fast wire: the one that unpacks less. Middling: the one that can unpack while it waits. Slow: the smaller one."""
    mb = 10**6
    big_first = PullProfile((LayerCost("a", 10 * mb, 3.0), LayerCost("b", 90 * mb, 0.1)), 0, 0)
    big_last = PullProfile((LayerCost("c", 80 * mb, 0.1), LayerCost("d", 10 * mb, 2.7)), 0, 0)
    found = crossings(pull_curve(big_first), pull_curve(big_last))
    assert [crossing.below for crossing in found] == [True, False]
    for crossing in found:
        times = [predict(p, bits_per_second=crossing.bits_per_second).seconds for p in (big_first, big_last)]
        assert times[0] == pytest.approx(times[1])


def test_the_same_image_twice_never_crosses():
    profile = PullProfile((LayerCost("a", 10**8, 3.0), LayerCost("b", 10**7, 0.1)), 0.1, 0.1)
    assert crossings(pull_curve(profile), pull_curve(profile)) == ()


def deploys(scale, size, unpack, start):
    pulls = [PullProfile((LayerCost("a", size, unpack * each),), 0.1 * each, 0.1 * each) for each in scale]
    return Parts(cell="", app="", strategy="", empty=Typical.of(pulls), start=of_samples([start * s for s in scale]))


def test_a_break_even_is_as_sure_as_the_samples():
    sure, unsure = (
        break_even(deploys(scale, 10**7, 0.1, 2.0), deploys(scale, 10**8, 0.5, 0.1), "empty")[0]
        for scale in ([0.99, 1.01, 1.0, 1.0, 0.995, 1.005], [0.7, 1.3, 1.0, 1.0, 0.9, 1.1])
    )
    assert sure.bits_per_second == pytest.approx(unsure.bits_per_second, rel=1e-6)
    for crossing in (sure, unsure):
        assert crossing.low < crossing.bits_per_second < crossing.high
    assert sure.high - sure.low < unsure.high - unsure.low


def test_without_enough_samples_a_break_even_has_no_bounds():
    (crossing,) = break_even(deploys([1.0], 10**7, 0.1, 2.0), deploys([1.0], 10**8, 0.5, 0.1), "empty")
    assert crossing.low is None and crossing.high is None
    assert break_even(Parts(cell="", app="", strategy=""), deploys([1.0], 10**8, 0.5, 0.1), "empty") == ()
