"""Quantities: read from text, and written with their units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Metric, Unit
from harness.stats.intervals import summarise
from harness.text.units import SYMBOLS, bounds_text, factor_text, parse_quantity, scale, score_text


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("100 MB", 1e8, Unit.BYTES),
        ("1.5MiB", 1.5 * 2**20, Unit.BYTES),
        (" 5 ms ", 0.005, Unit.SECONDS),
        ("3 µs", 3e-6, Unit.SECONDS),
        ("3 \N{GREEK SMALL LETTER MU}s", 3e-6, Unit.SECONDS),
        ("2 %", 0.02, Unit.RATIO),
    ],
)
def test_text_with_a_unit_is_a_quantity_of_that_unit_alone(text: str, value: float, unit: Unit) -> None:
    quantity = parse_quantity(text)
    assert quantity is not None and quantity.value == pytest.approx(value)
    assert [other for other in Unit if quantity.fits(other)] == [unit]


def test_a_plain_number_fits_every_metric() -> None:
    quantity = parse_quantity("8")
    assert quantity is not None and quantity.value == 8.0 and all(quantity.fits(unit) for unit in Unit)


@pytest.mark.parametrize("text", ["", "MB", "-1 MB", "1 elephant", "1e3", "inf", "nan", "1 2", "1,5 MB", "٣"])
def test_other_text_is_none(text: str) -> None:
    assert parse_quantity(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    quantity = parse_quantity(text)
    assert quantity is None or quantity.value >= 0


@given(st.integers(0, 10**6), st.sampled_from([symbol for symbols in SYMBOLS.values() for symbol in symbols]))
def test_every_symbol_is_read(number: int, symbol: str) -> None:
    assert parse_quantity(f"{number} {symbol}") == parse_quantity(f"{number}{symbol}") is not None


def test_a_count_and_an_answer_have_no_unit() -> None:
    count, answer = (Metric(name="x", unit=unit, help="") for unit in (Unit.COUNT, Unit.BOOLEAN))
    assert scale(count, [128.0]).amount(128.0) == "128"
    assert (scale(answer, [1.0]).amount(1.0), scale(answer, [0.0]).amount(0.0)) == ("yes", "no")


def test_an_interval_is_written_by_its_bounds_and_never_narrower_than_it_is() -> None:
    seconds = Metric(name="x", unit=Unit.SECONDS, help="")
    summary = summarise([0.1616, 0.1616, 0.1617, 0.1617, 0.1618, 0.1618, 0.1619])
    assert bounds_text(summary, scale(seconds, [0.1616])) == "[161–162]"  # both are 162 ms if rounded
    wide = summarise([0.150, 0.155, 0.160, 0.161, 0.165, 0.170, 0.180])
    assert bounds_text(wide, scale(seconds, [0.161])) == "[150–180]"
    assert bounds_text(summarise([1.0, 2.0]), scale(seconds, [1.5])) == ""


@pytest.mark.parametrize(
    ("value", "said"), [(3233.18, "3233×"), (59.99, "60.0×"), (0.31, "0.31×"), (1.87e-05, "0.000019×"), (0.0, "0×")]
)
def test_a_factor_has_two_to_three_digits_at_any_size(value: float, said: str) -> None:
    assert factor_text(value) == said


@pytest.mark.parametrize(("value", "said"), [(0.0695, "0.0695×"), (0.25, "0.250×"), (1.0, "1.00×"), (12.3456, "12.3×")])
def test_a_score_has_three_digits(value: float, said: str) -> None:
    assert score_text(value) == said


def test_a_small_size_in_a_column_of_large_sizes_is_not_zero() -> None:
    metric = Metric(name="size.waste", unit=Unit.BYTES, help="", deterministic=True)
    column = scale(metric, [6590.0, 352e6])
    assert column.amount(352e6) == "352.0 MB"
    assert column.amount(6590.0) == "6.6 kB"
    assert column.text(6590.0) == "0.0066"
    assert column.amount(0.0) == "0.0 MB"
