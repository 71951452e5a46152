import math

import numpy as np

from harness.model import Metric, Unit
from harness.run.undecided import Undecided, undecided

TIME = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="")
SIZE = Metric(name="size.transfer", unit=Unit.BYTES, headline=True, deterministic=True, help="")
CELLS = ("a-full", "a-slim")


def samples(metric, *columns):
    return {(cell, metric.name): dict(enumerate(column)) for cell, column in zip(CELLS, columns, strict=False)}


def noisy(seed, n, sigma=0.05, centre=1.0):
    return list(centre * np.exp(np.random.default_rng(seed).normal(0, sigma, n)))


def seen(values, metric, precision=0.0, cells=CELLS):
    return undecided(values, cells, [metric], precision=precision)


def test_nothing_is_known_before_six_blocks():
    assert seen({}, TIME) == Undecided(None, 0, frozenset(CELLS))
    assert seen(samples(TIME, noisy(1, 3), noisy(2, 3)), TIME) == Undecided(None, 3, frozenset(CELLS))


def test_the_widest_undecided_comparison_counts():
    calm = seen(samples(TIME, noisy(1, 8), noisy(2, 8)), TIME)
    wild = seen(samples(TIME, noisy(1, 8, 0.2), noisy(2, 8, 0.2)), TIME)
    assert calm.width is not None
    assert wild.width is not None
    assert 0.02 < calm.width < wild.width
    assert 0 < calm.more < wild.more


def test_a_cell_that_is_decided_or_known_well_enough_is_closed():
    cells = ("a-full", "a-slim", "a-scratch")
    values = samples(TIME, noisy(1, 12), noisy(2, 12))
    values["a-scratch", TIME.name] = dict(enumerate(noisy(3, 12, 0.05, 3.0)))
    open_ = seen(values, TIME, cells=cells)
    assert open_.open == {"a-full", "a-slim"}
    assert open_.width is not None
    enough = seen(values, TIME, precision=open_.width, cells=cells)
    assert (enough.more, enough.open) == (0, frozenset(cells)), "if nothing is open, all are"


def test_pairs_are_compared_with_each_other_and_not_with_the_first():
    cells = ("a-full.base", "a-full.head", "a-slim.base", "a-slim.head")
    centres = (1.0, 2.0, 5.0, 5.0)  # the second pair differs much from the first cell, and not from each other
    values = {
        (cell, TIME.name): dict(enumerate(noisy(seed, 8, centre=centre)))
        for seed, (cell, centre) in enumerate(zip(cells, centres, strict=True))
    }
    pairs = {"a-full.head": "a-full.base", "a-slim.head": "a-slim.base"}
    assert undecided(values, cells, [TIME], precision=0.0).open == frozenset(cells)  # all differ from the first
    assert undecided(values, cells, [TIME], precision=0.0, pairs=pairs).open == {"a-slim.base", "a-slim.head"}


def test_what_is_decided_leaves_the_intervals_of_the_medians():
    found = seen(samples(TIME, noisy(1, 12), noisy(2, 12, centre=3.0)), TIME)
    assert found.more == 0
    assert found.width is not None
    assert 0 < found.width < math.inf


def test_exact_values_need_no_more():
    assert seen(samples(SIZE, [5.0], [4.0]), SIZE) == Undecided(0.0, 0, frozenset(CELLS))


def test_a_lone_cell_is_known_once_it_has_an_interval():
    assert seen(samples(TIME, noisy(1, 4)), TIME) == Undecided(None, 2, frozenset({"a-full"}))
    assert seen(samples(TIME, noisy(1, 9)), TIME).more == 0


def test_what_is_no_headline_is_left_out():
    quiet = Metric(name="start.warm.total", unit=Unit.SECONDS, help="")
    assert seen(samples(TIME, noisy(1, 8), noisy(2, 8)), quiet) == Undecided(None, 0, frozenset(CELLS))
