import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.run.plan import (
    ENOUGH_BLOCKS,
    Block,
    Further,
    Plan,
    ProbePlan,
    Row,
    RowProgress,
    expected_seconds,
    next_block,
    parse_budget,
)

CELLS = st.lists(st.from_regex(r"[a-z]{1,5}-[a-z]{1,5}", fullmatch=True), min_size=1, max_size=12, unique=True)
PROBES = (
    ProbePlan(name="size", blocks=1, guess=1.0),
    ProbePlan(name="floor", blocks=None, guess=1.0, of_engine=True),
    ProbePlan(name="start", blocks=None, guess=2.0),
    ProbePlan(name="pull", blocks=None, guess=10.0),
)


def plan(**changes):
    values = {"cells": ("a-x", "b-x"), "probes": PROBES, "seed": 7, "budget": 600.0, "blocks": None} | changes
    return Plan(**values)


@given(CELLS, st.integers(0, 2**32), st.integers(0, 50), st.data())
def test_a_block_is_every_cell_of_an_app_once(cells, seed, block, data):
    apps = tuple(data.draw(st.sampled_from("xyz")) for _ in cells)
    whole = plan(cells=tuple(cells), apps=apps, seed=seed)
    rows = [row for row in whole.rows() if row.probe == "start"]
    orders = {row.app: whole.order(Block(row, block)) for row in rows}
    assert Counter(cell for order in orders.values() for cell in order) == Counter(cells)
    assert all(apps[cells.index(cell)] == app for app, order in orders.items() for cell in order)


@given(CELLS, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_order(cells, seed):
    one, two = (plan(cells=tuple(cells), seed=seed) for _ in range(2))
    blocks = [Block(Row("start"), number) for number in range(5)]
    assert [one.order(block) for block in blocks] == [two.order(block) for block in blocks]


def test_orders_differ_between_blocks_and_probes():
    whole = plan(cells=tuple(f"c-{n}" for n in range(8)))
    orders = {whole.order(Block(Row(probe.name), number)) for probe in PROBES[2:] for number in range(10)}
    assert len(orders) == 20


def test_a_probe_of_the_engine_visits_the_engine():
    whole = plan(apps=("a", "b"))
    (floor,) = (row for row in whole.rows() if row.probe == "floor")
    assert whole.order(Block(floor, 0)) == ("",)


def test_apps_are_measured_one_after_the_other_and_the_engine_with_the_first():
    rows = plan(cells=("b-x", "a-x"), apps=("b", "a")).rows()
    assert [row.app for row in rows] == ["b", "", "b", "b", *["a"] * 3]


def run(whole, cost=None, width=lambda row, done: 1 / math.sqrt(done) if done >= 6 else None, more=lambda row, done: 1):
    """Play the plan with a clock of its own; the blocks in the order they were chosen, and the seconds spent."""
    cost = cost or {probe.name: probe.guess for probe in whole.probes}
    done, elapsed, chosen = Counter(), 0.0, []
    while True:
        progress = {
            row: RowProgress(done[row], cost[row.probe], width(row, done[row]), more(row, done[row]))
            for row in whole.rows()
        }
        block = next_block(whole, progress, elapsed=elapsed)
        if block is None:
            return chosen, elapsed
        chosen.append(block)
        done[block.row] += 1
        elapsed += cost[block.row.probe]


@given(
    budget=st.one_of(st.none(), st.floats(0.1, 5_000)),
    blocks=st.one_of(st.none(), st.integers(1, 80)),
    costs=st.lists(st.floats(0.1, 300), min_size=4, max_size=4),
)
def test_every_row_gets_its_first_block_if_it_fits_and_no_bound_is_passed(budget, blocks, costs):
    if budget is None and blocks is None:
        blocks = 3
    whole = plan(budget=budget, blocks=blocks, apps=("a", "b"))
    cost = dict(zip((p.name for p in PROBES), costs, strict=True))
    chosen, elapsed = run(whole, cost)
    rows = whole.rows()
    first = [block.row for block in chosen if block.index == 0]
    assert first == [row for row in rows if row in first]  # app by app
    assert [block.index for block in chosen[: len(first)]] == [0] * len(first)
    counts = Counter(block.row for block in chosen)
    assert all(counts[row] <= whole.limit(row) for row in rows)
    if budget is not None:
        assert elapsed <= budget + 1e-6
        # a row that would just fit may be left: sums of floats are not exact
        assert all(elapsed + cost[row.probe] > budget - 1e-6 for row in rows if not counts[row])
    else:
        assert first == list(rows)
        assert all(counts[row] == whole.limit(row) for row in rows)


@given(st.data())
def test_blocks_of_a_row_are_numbered_without_gaps(data):
    whole = plan(budget=data.draw(st.floats(1, 500)), apps=("a", "b"))
    chosen, _ = run(whole)
    for row in whole.rows():
        numbers = [block.index for block in chosen if block.row == row]
        assert numbers == list(range(len(numbers)))


FOUR = {Row("size"): RowProgress(1, 1, 0.0, 0), Row("floor"): RowProgress(5, 1, 0.001, 0)}


def test_time_goes_where_the_undecided_interval_is_widest_per_second():
    progress = {**FOUR, Row("start"): RowProgress(6, 10, 0.5), Row("pull"): RowProgress(6, 10, 0.2)}
    assert next_block(plan(), progress, elapsed=10) == Block(Row("start"), 6)
    progress[Row("start")] = RowProgress(6, 500, 0.5)
    assert next_block(plan(), progress, elapsed=10) == Block(Row("pull"), 6)
    progress[Row("start")] = RowProgress(6, 10, 0.5, more=0)
    assert next_block(plan(), progress, elapsed=10) == Block(Row("pull"), 6), "what is decided can wait"


def test_within_a_budget_only_open_cells_are_visited_and_else_all():
    open_ = frozenset({"a-x"})
    progress = {**FOUR, Row("start"): RowProgress(9, 10, 0.5, 3, open_), Row("pull"): RowProgress(9, 10, 0.1, 0)}
    block = next_block(plan(), progress, elapsed=10)
    assert block == Block(Row("start"), 9, open_)
    assert plan().order(block) == ("a-x",)
    without = plan(budget=None, blocks=20)
    assert without.order(next_block(without, progress, elapsed=10)) != ("a-x",)


def test_what_is_known_to_the_plans_precision_can_wait():
    progress = {**FOUR, Row("start"): RowProgress(9, 10, 0.15), Row("pull"): RowProgress(9, 10, 0.05)}
    assert next_block(plan(precision=0.2), progress, elapsed=10) == Block(Row("start"), 9), "both are: the wider one"
    progress[Row("pull")] = RowProgress(9, 100, 0.25)
    assert next_block(plan(precision=0.2), progress, elapsed=10) == Block(Row("pull"), 9), "the only one that is not"


def test_what_cannot_be_decided_in_time_gets_what_is_left():
    hopeless = RowProgress(6, 10, 5.0, more=1000)
    progress = {**FOUR, Row("start"): hopeless, Row("pull"): RowProgress(6, 10, 0.2, more=3)}
    assert next_block(plan(), progress, elapsed=10) == Block(Row("pull"), 6)
    progress[Row("pull")] = RowProgress(9, 10, 0.2, more=0)
    assert next_block(plan(), progress, elapsed=10) == Block(Row("start"), 6)


def test_enough_is_enough():
    chosen, _ = run(plan(budget=1e9))
    assert Counter(block.row.probe for block in chosen)["start"] == ENOUGH_BLOCKS


def test_further_blocks_are_of_the_probes_that_need_them():
    names = {"floor": Row("floor"), "start": Row("start"), "pull": Row("pull"), "size": Row("size")}
    more = plan(blocks=12).extended(Further(probes=frozenset({"start", "pull"}), blocks=24))
    assert {name: more.limit(row) for name, row in names.items()} == {"floor": 12, "start": 24, "pull": 24, "size": 1}
    last = more.extended(Further(probes=frozenset({"start"}), blocks=36))
    assert {name: last.limit(row) for name, row in names.items()} == {"floor": 12, "start": 36, "pull": 24, "size": 1}


@given(st.floats(1, 1e5), st.integers(0, 5), st.floats(0, 2e5))
def test_the_expectation_is_never_negative_nor_past_the_budget(budget, done, elapsed):
    whole = plan(budget=budget)
    progress = {Row(p.name): RowProgress(done, p.guess, None) for p in PROBES}
    expected = expected_seconds(whole, progress, elapsed=elapsed)
    assert 0 <= expected <= budget


@given(st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_a_budget_is_read_as_written(hours, minutes, seconds):
    assert parse_budget(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("text", ["", "m", "5x", "1.2.3m", "5m3", "-5m", "0", "inf", "5 m 3"])
def test_what_is_no_budget_is_said(text):
    with pytest.raises(UsageError, match="not a length of time"):
        parse_budget(text)


@pytest.mark.parametrize("changes", [{"blocks": 0}, {"budget": None}, {"cells": ("a-x", "a-x")}, {"apps": ("a",)}])
def test_a_plan_that_cannot_be_is_refused(changes):
    with pytest.raises(UsageError):
        plan(**changes)
