"""Change points are found at their places, and nowhere else. benchmarks/trend_simulation.py shows how often."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import changepoints as trend
from harness.stats import segments as scan
from harness.stats.changepoints import ChangeKind

levels = st.floats(0.001, 1000, allow_nan=False)
histories = st.lists(levels, min_size=0, max_size=80)


def noisy(nights: int, *steps: tuple[int, float], seed: int = 1, noise: float = 0.02) -> np.ndarray:
    """Nightly medians round 1, multiplied from a night on by each step."""
    level = np.random.default_rng(seed).normal(0, noise, nights)
    for night, factor in steps:
        level[night:] += np.log(factor)
    return np.exp(level)


def looked_back(values: np.ndarray, **options: object) -> tuple[trend.Change, ...]:
    (found,) = trend.discoveries([trend.changes(values, **options)])  # type: ignore[arg-type]
    return found


def test_a_deterministic_metric_changes_where_it_differs():
    found = trend.exact([5, 5, 6, 6, 5])
    assert [(c.index, c.kind, c.before, c.after, c.p) for c in found] == [
        (2, ChangeKind.EXACT, 5, 6, None),
        (4, ChangeKind.EXACT, 6, 5, None),
    ]
    assert found[0].ratio == pytest.approx(1.2)
    assert trend.exact([0, 3])[0].ratio == np.inf


@pytest.mark.parametrize("factor", [0.85, 0.94, 1.06, 1.2, 3.0])
def test_a_step_is_found_at_its_night(factor):
    (found,) = looked_back(noisy(90, (50, factor)))
    assert found.kind is ChangeKind.STEP
    assert abs(found.index - 50) <= 2
    assert found.ratio == pytest.approx(factor, rel=0.02)


def test_two_steps_cut_the_baseline_twice():
    found = looked_back(noisy(120, (40, 1.1), (80, 1.1)))
    assert [abs(c.index - at) <= 1 for c, at in zip(found, (40, 80), strict=True)] == [True, True]
    assert found[1].before == pytest.approx(1.1, rel=0.01)


def test_what_came_and_went_is_found_at_both_ends():
    found = looked_back(noisy(300, (200, 1.08), (210, 1 / 1.08)))
    assert len(found) == 2
    assert abs(found[0].index - 200) <= 1
    assert abs(found[1].index - 210) <= 1


@pytest.mark.parametrize("after", [3, 4, 8])
def test_what_ended_a_few_nights_ago_keeps_its_beginning(after):
    """The step up, with few nights behind the step down, is poor evidence alone; the two together are not."""
    nights = 35 + after
    found = [trend.changes(noisy(nights, (24, 1.12), (35, 1 / 1.12), seed=seed)) for seed in range(20)]
    kept = trend.discoveries([*found, *(trend.changes(noisy(nights, seed=100 + seed)) for seed in range(60))])
    assert (
        sum([abs(c.index - at) <= 1 for c, at in zip(one, (24, 35), strict=False)] == [True, True] for one in kept)
        >= 18
    )
    assert sum(map(len, kept)) <= 42


def test_a_drift_is_not_a_staircase():
    values = noisy(100) * np.exp(np.linspace(0, np.log(1.15), 100))
    (found,) = looked_back(values)
    assert found.kind is ChangeKind.DRIFT
    assert found.ratio == pytest.approx(1.15, rel=0.04)


def test_a_difference_nobody_would_act_on_is_no_change():
    assert looked_back(noisy(200, (100, 1.015), noise=0.005)) == ()


def test_an_accepted_change_is_a_border_that_nothing_spans():
    values = noisy(90, (50, 1.2))
    assert looked_back(values, cuts=[50]) == ()
    after = looked_back(noisy(90, (50, 1.2), (70, 1.1)), cuts=[50])
    assert [abs(c.index - 70) <= 1 for c in after] == [True]


def test_spikes_are_not_changes():
    values = noisy(100)
    values[[20, 47, 48, 90]] *= 2
    assert looked_back(values) == ()


def test_the_same_series_gives_the_same_answer():
    values = noisy(100, (60, 1.05))
    assert trend.changes(values) == trend.changes(values)


def test_values_that_are_all_equal_have_no_change():
    assert trend.changes(np.full(40, 2.5)) == ()
    assert trend.changes(np.zeros(40)) == ()
    assert trend.suspect(np.full(40, 2.5)) is None


def test_a_step_without_any_noise_is_found():
    values = np.repeat([1.0, 2.0], 20)
    (found,) = looked_back(values)
    assert (found.index, found.before, found.after) == (20, 1.0, 2.0)


def test_a_false_discovery_among_a_thousand_is_not_told():
    quiet = [trend.changes(noisy(60, seed=seed)) for seed in range(300)]
    assert any(quiet)  # or nothing would be controlled
    assert sum(map(bool, trend.discoveries(quiet))) <= 1


def test_the_last_nights_are_suspect_when_they_got_worse():
    values = noisy(40, (38, 1.1))
    found = trend.suspect(values)
    assert found is not None
    assert found.nights in trend.TAILS
    assert found.ratio == pytest.approx(1.1, rel=0.03)
    assert trend.suspect(1 / values) is None  # an improvement
    assert trend.suspect(1 / values, worse=-1) is not None  # of what should be large


def test_in_a_short_history_one_night_is_suspect_only_when_it_jumped():
    assert trend.suspect(noisy(8, (7, 1.08))) is None
    jump = trend.suspect(noisy(8, (7, 1.3)))
    assert jump is not None
    assert (jump.nights, jump.p) == (1, None)


def test_two_nights_tell_a_jump_where_their_samples_tell_the_noise():
    assert trend.suspect([1.0, 1.01, 1.3]) is not None
    assert trend.suspect([1.0, 1.3], error=0.02) is not None
    assert trend.suspect([1.0, 1.3], error=0.1) is None
    assert trend.suspect([1.0, 1.3]) is None  # the noise is unknown
    assert trend.suspect([1.0]) is None


@given(histories)
def test_any_history_is_answered(values):
    found = trend.changes(values)
    assert all(0 <= change.index < len(values) for change in found)
    assert [change.index for change in found] == sorted(change.index for change in found)
    trend.suspect(values)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1000))
def test_the_unit_makes_no_difference(seed, factor):
    values = noisy(60, (40, 1.08), seed=seed)
    plain, scaled = trend.changes(values), trend.changes(values * factor)
    assert [c.index for c in plain] == [c.index for c in scaled]
    assert [c.p for c in plain] == pytest.approx([c.p for c in scaled], rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.9), st.integers(1, 40))
def test_the_variance_of_a_correlated_mean_is_bartletts_sum(rho, k):
    lags = np.arange(1, k)
    by_sum = 1 + 2 * ((1 - lags / k) * rho**lags).sum()
    assert scan.grown(k, np.array(rho)) == pytest.approx(by_sum, rel=1e-9)


def test_the_memory_of_a_series_is_estimated_without_its_bias():
    random = np.random.default_rng(5)
    series = random.normal(size=(4000, 60))
    for night in range(1, 60):
        series[:, night] = 0.5 * series[:, night - 1] + np.sqrt(0.75) * series[:, night]
    series -= series.mean(axis=1, keepdims=True)
    assert np.median(scan.memory_of(series)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.simulation
def test_a_change_at_little_noise_is_suspect_in_its_first_night():
    """The size of a shift is asked of the values as they are: clipped at three deviations it would look too small."""
    found = [trend.suspect(noisy(31, (30, 1.05), seed=seed, noise=0.005)) for seed in range(40)]
    assert sum(item is not None for item in found) >= 36


def test_a_weak_suspicion_is_for_an_a_b_and_a_strong_one_for_people():
    found = [trend.suspect(noisy(40, seed=seed)) for seed in range(300)]
    suspects = [item for item in found if item]
    assert 15 <= len(suspects) <= 75
    assert sum(item.strong for item in suspects) <= 24
