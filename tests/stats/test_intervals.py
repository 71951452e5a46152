"""The intervals keep their promise, by simulation; the comparisons do not cry wolf."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from harness.model import Direction
from harness.stats.intervals import (
    RATE,
    SMALLEST_DECIDABLE,
    Method,
    Ratio,
    Verdict,
    blocks_to_exclude,
    confirm,
    control,
    difference,
    interval,
    ratio,
    relative_width,
    summarise,
)

Floats = NDArray[np.float64]
Sample = Callable[[np.random.Generator, tuple[int, int]], Floats]

SIZES = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30)
REPEATS = 10_000


def modes(share: float, gap: float, noise: float = 0.03) -> Sample:
    """Two modes, `gap` apart in logs; `share` of the values are in the upper one."""
    return lambda r, shape: np.exp(r.normal(0, noise, shape) + gap * (r.random(shape) < share))


SHAPES: dict[str, Sample] = {
    "log-normal": lambda r, shape: np.exp(r.normal(0, 0.3, shape)),
    "two modes 30:70": modes(0.3, 0.4),
    "two modes 45:55": modes(0.45, 0.4),
    "two modes 49:51, far apart": modes(0.49, 3.0, 0.001),
    "spikes": lambda r, shape: np.exp(r.normal(0, 0.03, shape) + (r.random(shape) < 0.1) * r.exponential(1, shape)),
}


@dataclass
class Column:
    value: Floats
    block: NDArray[np.int32]


def column(values: list[float] | Floats, blocks: list[int] | None = None) -> Column:
    array = np.asarray(values, np.float64)
    return Column(array, np.asarray(range(array.size) if blocks is None else blocks, np.int32))


def coverage(sample: Sample, n: int, random: np.random.Generator, truth: float) -> float:
    """Share of intervals that hold the truth; NaN if there is none."""
    values = sample(random, (REPEATS, n))
    low, high, _ = interval(np.sort(values))
    one = summarise(values[0])
    if one.low is None:
        assert np.isnan(low).all(), "what is simulated is what is reported"
        return math.nan
    assert (one.low, one.high) == (low[0], high[0]), "what is simulated is what is reported"
    return float(np.mean((low <= truth) & (truth <= high)))


def widened_t(values: Floats) -> tuple[Floats, Floats]:
    """The best of what is not given below six samples: a t interval on logs, widened to the range."""
    logs, n = np.log(values), values.shape[-1]
    half = stats.t.ppf(0.975, n - 1) * logs.std(axis=-1, ddof=1) / math.sqrt(n)
    centre = logs.mean(axis=-1)
    low, high = np.minimum(centre - half, logs.min(axis=-1)), np.maximum(centre + half, logs.max(axis=-1))
    return np.exp(low), np.exp(high)


def printed(share: float) -> str:
    return "     –" if math.isnan(share) else f"{100 * share:>6.1f}"


@pytest.mark.simulation
def test_intervals_cover_the_median(capsys: pytest.CaptureFixture[str]) -> None:
    """The promise is 95 %, of every shape, wherever an interval is given: no floor below it, none by shape or size.

    For continuous values the coverage of order statistics does not depend on the distribution, so theory also says
    what must come out; the simulation has to agree with it.
    """
    random = np.random.default_rng(20261123)
    found: dict[tuple[str, int], float] = {}
    instead: dict[tuple[str, int], float] = {}
    for name, sample in SHAPES.items():
        truth = float(np.median(sample(random, (1, 400_000))))
        for n in SIZES:
            found[name, n] = coverage(sample, n, random, truth)
            if n < SMALLEST_DECIDABLE:
                low, high = widened_t(sample(random, (REPEATS, n)))
                instead[name, n] = float(np.mean((low <= truth) & (truth <= high)))
    lines = ["coverage of the 95 % interval, %".ljust(34) + "".join(f"{n:>6}" for n in SIZES)]
    lines += [name.ljust(34) + "".join(printed(found[name, n]) for n in SIZES) for name in SHAPES]
    few = [n for n in SIZES if n < SMALLEST_DECIDABLE]
    lines += ["not given: t on logs or range".ljust(34) + "".join(f"{n:>6}" for n in few)]
    lines += [name.ljust(34) + "".join(printed(instead[name, n]) for n in few) for name in SHAPES]
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    error = 3.5 * math.sqrt(0.95 * 0.05 / REPEATS)  # of the simulation; 45 comparisons
    for (name, n), share in found.items():
        assert math.isnan(share) == (n < SMALLEST_DECIDABLE), (name, n)
        if n >= SMALLEST_DECIDABLE:
            rank = int(stats.binom.ppf(0.025, n, 0.5))
            exact = 1 - 2 * stats.binom.cdf(rank - 1, n, 0.5)
            assert exact >= 0.95
            assert share == pytest.approx(exact, abs=error), (name, n)
    # and what is not given would indeed have broken the promise
    assert all(instead["two modes 49:51, far apart", n] < 0.95 - error for n in few if n < 5)


def test_rank_intervals_are_scipys() -> None:
    for n in (6, 9, 30, 999):
        values = np.arange(1.0, n + 1)
        summary = summarise(values)
        ours = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
        assert (summary.low, summary.high, summary.method) == (ours.low, ours.high, Method.ORDER)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_a_summary_is_in_order(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.minimum <= summary.median <= summary.maximum
    assert summary.n == len(values)
    assert relative_width(summary) >= 0
    if len(values) < SMALLEST_DECIDABLE:
        assert (summary.low, summary.high, summary.method) == (None, None, Method.NONE)
        assert relative_width(summary) == math.inf
    else:
        assert summary.low is not None
        assert summary.high is not None
        assert summary.minimum <= summary.low <= summary.median <= summary.high <= summary.maximum


def test_deterministic_values_are_exact_as_long_as_they_are() -> None:
    exact = summarise([5.0, 5.0], deterministic=True)
    assert (exact.low, exact.high, exact.method, relative_width(exact)) == (5.0, 5.0, Method.EXACT, 0.0)
    assert summarise([5.0, 5.0, 6.0], deterministic=True).method is Method.NONE


def test_outliers_are_flagged_and_stay() -> None:
    summary = summarise([1.0, 1.02, 0.98, 1.01, 9.0, 0.99])
    assert summary.outliers == (4,)
    assert summary.maximum == 9.0
    assert summarise([1.0, 1.0, 1.0, 1.0, 1.0, 2.0]).outliers == (5,)
    assert summarise([1.0, 1.0, 1.0]).outliers == ()


def test_nothing_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="one or more"):
        summarise([])


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_the_p_value_is_scipys(n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(0, 1, n), random.normal(0.3, 1, n)
    ours = ratio(column(np.exp(a)), column(np.exp(b)))
    assert ours
    signed = stats.wilcoxon(b - a, method="exact").pvalue
    summed = stats.mannwhitneyu(a, b, method="exact").pvalue
    assert ours.p == pytest.approx(signed if n >= 12 else min(1.0, 2 * min(signed, summed)))


def test_what_few_blocks_can_say_is_known() -> None:
    """The smallest p of complete separation: 2/2ⁿ by signs, 2/C(2n, n) by ranks, which counts twice for two tries."""
    for n in (3, 5, 6, 8, 11, 12, 20):
        answer = ratio(column(np.ones(n)), column(np.full(n, 2.0)))
        assert answer
        assert answer.p == pytest.approx(2 / 2**n if n >= 12 else min(1.0, 4 / math.comb(2 * n, n)))
        assert (answer.verdict is Verdict.WORSE) == (n >= 6)


Noise = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def spiky(random: np.random.Generator, n: int) -> Floats:
    return np.asarray(random.normal(0, 0.1, n) + (random.random(n) < 0.08) * random.exponential(0.6, n))


def two_modes(random: np.random.Generator, n: int) -> Floats:
    return np.asarray(random.normal(0, 0.02, n) + 0.3 * (random.random(n) < 0.5))


def drifting(random: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    drift = np.cumsum(random.normal(0, 0.1, n))
    return drift + random.normal(0, 0.05, n), drift + random.normal(0, 0.05, n)


NOISE: dict[str, Noise] = {
    "normal": lambda r, n: (r.normal(0, 0.1, n), r.normal(0, 0.1, n)),
    "spikes": lambda r, n: (spiky(r, n), spiky(r, n)),
    "two modes": lambda r, n: (two_modes(r, n), two_modes(r, n)),
    "drift": drifting,
}


@pytest.mark.simulation
@pytest.mark.parametrize("kind", NOISE)
def test_equal_cells_are_seldom_called_different(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At most 1 % of lone comparisons, with no practical threshold to help; exact by theory, so no looser floor."""
    random = np.random.default_rng(5)
    shares = {}
    for n in (6, 7, 8, 10, 11, 12, 20, 300):
        repeats = 1500 if n < 100 else 500
        called = 0
        for _ in range(repeats):
            a, b = NOISE[kind](random, n)
            answer = ratio(column(np.exp(a)), column(np.exp(b)), practical=1e-9)
            assert answer
            called += answer.verdict in (Verdict.BETTER, Verdict.WORSE)
        shares[n] = called / repeats
        assert shares[n] <= RATE + 3 * math.sqrt(RATE * (1 - RATE) / repeats), (kind, n)
    with capsys.disabled():
        print(f"\nA/A, {kind}: called different, %: " + ", ".join(f"n = {n} {s:.1%}" for n, s in shares.items()))


@pytest.mark.simulation
@pytest.mark.parametrize(("true", "n"), [(1.10, 6), (1.06, 8), (1.01, 20), (1.0, 12)])
def test_how_many_more_blocks_it_takes_is_about_right(true: float, n: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What is foretold, against the block at which it is decided in fact; medians over 60 futures."""
    random = np.random.default_rng(n)
    foretold, took = [], []
    for _ in range(60):
        logs = random.normal(0, 0.05, (2, 400)) + np.array([[0.0], [math.log(true)]])
        values = np.exp(logs)

        def answer(blocks: int, values: Floats = values) -> Ratio:
            found = ratio(column(values[0, :blocks]), column(values[1, :blocks]))
            assert found
            return found

        now = answer(n)
        if now.verdict is not Verdict.UNDECIDED:
            continue
        foretold.append(now.n + now.more)
        took.append(next(k for k in range(n + 1, 401) if answer(k).verdict is not Verdict.UNDECIDED))
    with capsys.disabled():
        print(f"\n{true:g}×, after {n}: foretold {np.median(foretold):g}, took {np.median(took):g} ({len(took)} runs)")
    assert len(took) > 10
    assert 0.5 <= np.median(foretold) / np.median(took) <= 2


def test_drift_common_to_a_block_cancels() -> None:
    drift = np.exp(np.linspace(0, 1, 12))
    answer = ratio(column(drift), column(drift * 0.5))
    assert answer
    assert (answer.estimate, answer.low, answer.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (answer.verdict, answer.more) == (Verdict.BETTER, 0)
    assert answer.p == pytest.approx(2 / 2**12)


def test_differences_are_paired_too() -> None:
    drift = np.linspace(1, 9, 8)
    answer = difference(column(drift), column(drift + 0.1))
    assert answer
    assert (answer.estimate, answer.low, answer.high, answer.n) == pytest.approx((0.1, 0.1, 0.1, 8))
    few = difference(column([1.0, 2.0]), column([2.0, 3.0]))
    assert few
    assert (few.estimate, few.low, few.high) == (1.0, None, None)
    assert difference(column([1], [0]), column([1], [1])) is None


def test_only_blocks_that_hold_both_are_compared() -> None:
    answer = ratio(column([1, 2, 4], [0, 1, 2]), column([8, 2, 7], [2, 0, 9]))
    assert answer
    assert (answer.n, answer.estimate) == (2, pytest.approx(2.0))
    assert (answer.low, answer.high, answer.verdict, answer.more) == (None, None, Verdict.UNDECIDED, 4)
    assert ratio(column([1], [0]), column([1], [1])) is None
    assert ratio(column([0.0]), column([1.0])) is None


@pytest.mark.parametrize(
    ("factor", "direction", "verdict"),
    [
        (0.5, Direction.SMALLER, Verdict.BETTER),
        (2.0, Direction.SMALLER, Verdict.WORSE),
        (2.0, Direction.LARGER, Verdict.BETTER),
        (2.0, Direction.NEITHER, Verdict.DIFFERENT),
        (1.001, Direction.SMALLER, Verdict.SAME),
    ],
)
def test_verdicts(factor: float, direction: Direction, verdict: Verdict) -> None:
    random = np.random.default_rng(1)
    base, noise = np.ones(8), np.exp(random.normal(0, 0.005, 8))
    answer = ratio(column(base), column(base * factor * noise), direction=direction)
    assert answer
    assert answer.verdict is verdict


def test_five_blocks_decide_nothing_and_noise_asks_for_more() -> None:
    sure = ratio(column(np.ones(5)), column([0.10, 0.11, 0.10, 0.10, 0.11]))
    assert sure
    assert (sure.verdict, sure.more, sure.low, sure.high) == (Verdict.UNDECIDED, 1, None, None)
    calm = ratio(column(np.ones(8)), column(np.exp([0.05, -0.03, 0.04, 0.05, -0.01, 0.06, 0.05, 0.02])))
    wild = ratio(column(np.ones(8)), column(np.exp([0.5, -0.3, 0.4, 0.5, -0.1, 0.6, -0.5, 0.2])))
    assert calm
    assert wild
    assert 1 <= calm.more < wild.more


def test_the_blocks_until_an_interval_excludes_a_value() -> None:
    """Four times the blocks halve an interval; a value at the estimate itself is never excluded."""
    answer = Ratio(estimate=1.0, low=1 / 1.1, high=1.1, p=0.5, n=12, verdict=Verdict.UNDECIDED)
    assert blocks_to_exclude(answer, math.sqrt(1.1)) == 36
    assert blocks_to_exclude(answer, 1 / math.sqrt(1.1)) == 36
    assert blocks_to_exclude(answer, 1.2) == 1
    assert blocks_to_exclude(answer, 1.0) > 10_000
    few = Ratio(estimate=1.0, low=None, high=None, p=None, n=4, verdict=Verdict.UNDECIDED)
    assert blocks_to_exclude(few, 1.05) == 2


def test_deterministic_metrics_are_compared_exactly() -> None:
    smaller = ratio(column([200.0]), column([199.0]), deterministic=True)
    equal = ratio(column([200.0]), column([200.0, 200.0]), deterministic=True)
    nothing = ratio(column([200.0]), column([0.0]), deterministic=True)
    assert smaller
    assert equal
    assert nothing
    assert (smaller.verdict, smaller.p) == (Verdict.BETTER, None)
    assert (equal.verdict, equal.estimate) == (Verdict.SAME, 1.0)
    assert nothing.estimate == 0.0
    assert ratio(column([0.0]), column([1.0]), deterministic=True) is None
    none_of_either = ratio(column([0.0]), column([0.0]), deterministic=True)
    assert none_of_either
    assert none_of_either.verdict is Verdict.SAME


def test_what_should_be_deterministic_and_is_not_gets_statistics() -> None:
    wavering = column([100.0, 101.0, 100.0, 101.0, 100.0, 101.0])
    answer = ratio(column(np.full(6, 100.5)), wavering, deterministic=True)
    assert answer
    assert answer.p is not None
    assert answer.verdict is Verdict.SAME


@given(st.lists(st.floats(0, 1), max_size=30))
def test_control_is_scipys_benjamini_hochberg(pvalues: list[float]) -> None:
    expected = stats.false_discovery_control(pvalues) <= RATE if pvalues else []
    ours = control(pvalues)
    borderline = [abs(p * len(pvalues) - RATE * k) < 1e-9 for p in pvalues for k in range(len(pvalues) + 1)]
    if not any(borderline):
        assert list(ours) == list(expected)


def test_a_lone_finding_among_many_does_not_survive() -> None:
    def found(p: float, verdict: Verdict) -> Ratio:
        return Ratio(estimate=0.9, low=0.8, high=0.99, p=p, n=8, verdict=verdict)

    many = {index: found(0.5, Verdict.UNDECIDED) for index in range(30)}
    table = confirm({**many, "lucky": found(0.008, Verdict.BETTER), "sure": found(1e-5, Verdict.BETTER)})
    assert table["sure"].verdict is Verdict.BETTER
    assert table["lucky"].verdict is Verdict.UNDECIDED
    # from p = 0.8 % to 1 % · 2/32: its deviate must grow from 2.65 to 3.42
    assert table["lucky"].more == math.ceil(8 * (stats.norm.isf(0.01 * 2 / 32 / 2) / stats.norm.isf(0.004)) ** 2) - 8


@pytest.mark.simulation
def test_of_what_a_table_claims_little_is_false(capsys: pytest.CaptureFixture[str]) -> None:
    """Tables of 24 comparisons, a third of them truly different: false claims are at most 1 % of the claims."""
    random = np.random.default_rng(3)
    false = claims = true = 0
    for _ in range(150):
        table = {}
        for index in range(24):
            shift = 0.25 if index < 8 else 0.0
            a, b = random.normal(0, 0.08, (2, 10))
            answer = ratio(column(np.exp(a)), column(np.exp(b + shift)), practical=1e-9)
            assert answer
            table[index] = answer
        claimed = [index for index, item in confirm(table).items() if item.verdict is Verdict.WORSE]
        claimed += [index for index, item in confirm(table).items() if item.verdict is Verdict.BETTER]
        claims += len(claimed)
        true += sum(index < 8 for index in claimed)
        false += sum(index >= 8 for index in claimed)
    with capsys.disabled():
        print(f"\n150 tables: {claims} claims, {false} false; {true / 1200:.0%} of the differences found")
    assert true > 600
    assert false / claims <= RATE + 3 * math.sqrt(RATE / claims)
