import math

import numpy as np

from harness.model import Metric, Unit
from harness.outlook import outlook

TIME = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="")
SIZE = Metric(name="size.transfer", unit=Unit.BYTES, headline=True, deterministic=True, help="")
CELLS = ("a-full", "a-slim")


def samples(metric, *columns):
    return {(cell, metric.name): dict(enumerate(column)) for cell, column in zip(CELLS, columns, strict=False)}


def noisy(seed, n, sigma=0.05, centre=1.0):
    return list(centre * np.exp(np.random.default_rng(seed).normal(0, sigma, n)))


def test_nothing_is_known_before_six_blocks():
    assert outlook({}, CELLS, [TIME]) == (None, 0)
    width, more = outlook(samples(TIME, noisy(1, 3), noisy(2, 3)), CELLS, [TIME])
    assert width is None
    assert more == 3


def test_the_widest_undecided_comparison_counts():
    width, more = outlook(samples(TIME, noisy(1, 8), noisy(2, 8)), CELLS, [TIME])
    assert width is not None
    assert 0.02 < width < 1
    assert more > 0
    wider, _ = outlook(samples(TIME, noisy(1, 8, 0.2), noisy(2, 8, 0.2)), CELLS, [TIME])
    assert wider is not None
    assert wider > width


def test_what_is_decided_leaves_the_intervals_of_the_medians():
    width, more = outlook(samples(TIME, noisy(1, 12), noisy(2, 12, centre=3.0)), CELLS, [TIME])
    assert more == 0
    assert width is not None
    assert 0 < width < math.inf


def test_exact_values_need_no_more():
    assert outlook(samples(SIZE, [5.0], [4.0]), CELLS, [SIZE]) == (0.0, 0)


def test_a_lone_cell_is_known_once_it_has_an_interval():
    assert outlook(samples(TIME, noisy(1, 4)), CELLS, [TIME]) == (None, 2)
    assert outlook(samples(TIME, noisy(1, 9)), CELLS, [TIME])[1] == 0


def test_what_is_no_headline_is_left_out():
    quiet = Metric(name="start.warm.total", unit=Unit.SECONDS, help="")
    assert outlook(samples(TIME, noisy(1, 8), noisy(2, 8)), CELLS, [quiet]) == (None, 0)
