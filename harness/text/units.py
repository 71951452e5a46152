"""How quantities are written for people: units, digits, intervals and ratios. No input, no output."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from harness.model import Metric, Unit
from harness.stats.intervals import Ratio, Summary, Verdict


def counted(number: int, thing: str) -> str:
    """`1 cell`, `35 cells`."""
    return f"{number} {thing}{'s' * (number != 1)}"


SYMBOLS: Mapping[Unit, Mapping[str, float]] = {  # units that people may write after a number, and their factors
    Unit.BYTES: {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    Unit.SECONDS: {"s": 1, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "min": 60},
    Unit.COUNT: {},
    Unit.BOOLEAN: {},
    Unit.RATIO: {"%": 0.01},
}
_FACTORS = {symbol: factor for symbols in SYMBOLS.values() for symbol, factor in symbols.items()}
_SMALLER = {"GB": "MB", "MB": "kB", "kB": "B"}
_QUANTITY = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?P<symbol>[A-Za-zµ%]*)\s*")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value in B, in s, or the plain number or share itself; and the unit it was written with, "" without one."""

    value: float
    symbol: str

    def fits(self, unit: Unit) -> bool:
        """Whether it may be a value of a metric in this unit. A number without a unit fits every metric."""
        return not self.symbol or self.symbol in SYMBOLS[unit]


def parse_quantity(text: str) -> Quantity | None:
    """`100 MB`, `1.5s`, `2 %`, `8`: a number that is not negative and a unit of `SYMBOLS`. None for other text."""
    match = _QUANTITY.fullmatch(text.replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}"))
    if match is None or (match["symbol"] and match["symbol"] not in _FACTORS):
        return None
    return Quantity(float(match["number"]) * _FACTORS.get(match["symbol"], 1.0), match["symbol"])


@dataclass(frozen=True, slots=True)
class Scale:
    """How the values of one column are written: one unit and one number of decimals, so that they can be compared."""

    unit: str
    factor: float  # value × factor is in `unit`
    decimals: int

    def text(self, value: float) -> str:
        if self.unit == "yes/no":
            return "yes" if value else "no"
        shown = f"{value * self.factor:.{self.decimals}f}"
        if value and not float(shown):  # a column spans decades: a small value is not written as 0
            return f"{value * self.factor:.{1 - math.floor(math.log10(abs(value * self.factor)))}f}"
        return shown

    @property
    def suffix(self) -> str:
        """The unit that follows a number; "" for a count, a yes or a no."""
        return "" if self.unit in ("count", "yes/no") else f" {self.unit}"

    def amount(self, value: float) -> str:
        """`12.3 MB`, `128`, `yes`. Bytes that would be 0 in the column's unit are written in a smaller unit."""
        if value and self.unit in _SMALLER and not float(f"{value * self.factor:.{self.decimals}f}"):
            return Scale(_SMALLER[self.unit], self.factor * 1e3, 1 if _SMALLER[self.unit] != "B" else 0).amount(value)
        return self.text(value) + self.suffix

    def deviation(self, value: float) -> str:
        """Rounded away from zero: an interval may be shown wider than it is, never narrower."""
        power = 10**self.decimals
        return f"{math.ceil(value * self.factor * power - 1e-9) / power:.{self.decimals}f}"


def scale(metric: Metric, values: Iterable[float]) -> Scale:
    """Three digits for the smallest value, two if a measured column spans decades. MB is 10⁶ bytes."""
    sizes = [abs(value) for value in values if value]
    small, large = min(sizes, default=1.0), max(sizes, default=1.0)
    unit, factor = "", 1.0
    match metric.unit:
        case Unit.BOOLEAN:
            return Scale("yes/no", 1, 0)
        case Unit.COUNT:
            return Scale("count", 1, 0 if all(size.is_integer() for size in sizes) else 1)
        case Unit.RATIO:
            unit, factor = "%", 100
        case Unit.BYTES:
            unit, factor = ("GB", 1e-9) if small >= 1e9 else ("MB", 1e-6) if large >= 1e6 else ("kB", 1e-3)
            if large < 1e3:
                return Scale("B", 1, 0)
        case Unit.SECONDS:
            unit, factor = ("s", 1) if large >= 10 or small >= 1 else ("ms", 1e3) if large >= 1e-3 else ("µs", 1e6)
    significant = 2 if large >= 10 * small and not metric.deterministic else 3
    digits = significant - 1 - math.floor(math.log10(small * factor))
    return Scale(unit, factor, max(0, min(digits, 1 if large * factor >= 100 else 2)))


def interval_text(summary: Summary, scale: Scale) -> str:
    """`±1.2` if the interval is about symmetric to the median, otherwise `[72.0–79.9]`; "" if there is no interval."""
    if summary.low is None or summary.high is None or summary.low == summary.high:
        return ""
    below, above = summary.median - summary.low, summary.high - summary.median
    if max(below, above) <= 1.5 * min(below, above) or max(below, above) * scale.factor < 2 * 10**-scale.decimals:
        return f"±{scale.deviation(max(below, above))}"
    return bounds_text(summary, scale)


def bounds_text(summary: Summary, scale: Scale) -> str:
    """`[72.0–79.9]`, the interval by its bounds; "" if there is none."""
    if summary.low is None or summary.high is None or summary.low == summary.high:
        return ""
    low, high = scale.text(summary.low), scale.text(summary.high)
    if low == high:  # rounded away from each other, because an interval is never shown narrower than it is
        power = scale.factor * 10**scale.decimals
        low, high = (
            scale.text(edge / power) for edge in (math.floor(summary.low * power), math.ceil(summary.high * power))
        )
    return f"[{low}–{high}]"


def summary_text(summary: Summary, scale: Scale) -> str:
    """`12.3 MB ±0.1`, `128`: the median with its unit and interval."""
    return f"{scale.amount(summary.median)} {interval_text(summary, scale)}".rstrip()


def ratio_text(ratio: Ratio) -> str:
    """`0.31×`; `≈1.01×` for no practical difference, `1.04×?` if undecided."""
    inexact = ratio.verdict is Verdict.SAME and ratio.p is not None
    return f"{'≈' if inexact else ''}{factor_text(ratio.estimate)}{'?' if ratio.verdict is Verdict.UNDECIDED else ''}"


def factor_text(x: float) -> str:
    """`3233×`, `28.1×`, `0.31×`, `0.000019×`: two to three digits, and never 0 for a number that is not 0."""
    if not x:
        return "0×"
    decimals = 0 if x >= 99.5 else 1 if x >= 9.95 else 2 if x >= 0.0995 else 1 - math.floor(math.log10(x))
    return f"{x:.{decimals}f}×"


def score_text(x: float) -> str:
    """A score with three digits, so that two scores can be divided: `0.0695×`."""
    return f"{x:.{max(2 - math.floor(math.log10(x)), 0)}f}×" if x else "0×"


def shortened(names: Collection[str], every: Collection[str]) -> list[str]:
    """The names, with one pattern in place of all names that begin alike: start.cold.*."""
    found = []
    for name in names:
        parts = name.split(".")
        prefixes = (".".join(parts[:count]) + "." for count in range(1, len(parts)))
        whole = (prefix for prefix in prefixes if all(one in names for one in every if one.startswith(prefix)))
        found.append(next((f"{prefix}*" for prefix in whole), name))
    return list(dict.fromkeys(found))
