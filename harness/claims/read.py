"""Reads the claims of variants/claims.toml, in the format of docs/claims.md, into the records of claims/claim.py."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.catalogue.names import NAME, NAME_RULE
from harness.claims.claim import Claim, EndsAs, Follows, Interpretation, Less, Same, Test, Within
from harness.errors import CatalogueError
from harness.model import Metric, Status, Unit
from harness.text.units import SYMBOLS, parse_quantity
from harness.tomlfile import Document, Table, shown

_WITH_UNIT = (*SYMBOLS[Unit.BYTES], *SYMBOLS[Unit.SECONDS])
_OUTCOMES: Mapping[str, Status | None] = {"works": Status.OK, "fails": None} | {
    str(status): status for status in Status if status is not Status.OK
}
_COUNTED: tuple[Unit, ...] = (Unit.COUNT, Unit.BOOLEAN, Unit.RATIO)


def read_claims(path: Path, metrics: Sequence[Metric] = ()) -> tuple[Claim, ...]:
    """The claims of a file. `metrics` are the metrics of the probes: values must be in their units, and no name may
    look like a misspelt name.

    Raises CatalogueError with file, line and fix for the first mistake, and the lines of the others.
    """
    document = Document(path)
    known = {metric.name: metric for metric in metrics}
    claims: list[Claim] = []
    for table in document.root.tables("claim"):
        claim = _claim(table, known)
        if any(claim.name == other.name for other in claims):
            table.problem(
                f"{claim.name} is already the name of a claim", key="name", fix="Give each claim a different name."
            )
        claims.append(claim)
    document.root.close()
    if document.problems:
        first, *others = document.told()
        more = ", ".join(f"{error.line or '–'} ({error.what})" for error in others)
        fix = f"{first.fix} Also line {more}." if others else first.fix
        raise CatalogueError(first.what, path=first.path, line=first.line, fix=fix)
    return tuple(claims)


def _claim(table: Table, known: Mapping[str, Metric]) -> Claim:
    tables = table.tables(table.spelling("interpretation", "reading"))
    claim = Claim(
        name=table.text("name"),
        says=table.text("says"),
        note=table.text("note", default=""),
        interpretations=tuple(_interpretation(inner, known) for inner in tables),
    )
    table.close()
    if claim.name and not NAME.fullmatch(claim.name):
        table.problem(f'name is "{claim.name}"', key="name", fix=NAME_RULE)
    return claim


def _interpretation(table: Table, known: Mapping[str, Metric]) -> Interpretation:
    name = table.text("metric") if "outcome" not in table else ""
    _check_metric(table, "metric", name, known)
    title, decide, cells = table.text("title"), table.text("decide", default=""), table.texts("cells")
    if not cells:
        table.problem("cells is missing", fix='Add cells = ["*-slim"], patterns of cell ids.')
    given = [key for key in _TESTS if key in table]
    if len(given) == 1 or given == ["at_least", "at_most"]:
        test = _TESTS[given[0]](_Reader(table, known.get(name), known))
        table.close()
    else:
        test = EndsAs(status=None)  # any test will do: a file with a mistake is not used
        if given:
            table.problem(
                f"{' and '.join(given)} together", key=given[1], fix="Make a separate interpretation of each."
            )
        else:
            table.problem("the test is missing", fix=f"Add one of {', '.join(_TESTS)}.")
    return Interpretation(title=title, metric=name, cells=cells, test=test, decide=decide)


def _check_metric(table: Table, key: str, name: str, known: Mapping[str, Metric]) -> None:
    """A name that looks misspelt is a mistake. Another unknown name may still be in runs."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    if name not in known and close:
        table.problem(f"no metric has the name {name}", key=key, fix=f"Did you mean {close[0]}?")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the test of one interpretation, whose metric is None if no probe here has it."""

    table: Table
    metric: Metric | None
    known: Mapping[str, Metric]

    def about(self) -> Test:
        value, text = self._quantity("about")
        tolerance = self.table.number("tolerance", low=0.0, high=10.0)
        margin = f"{tolerance * 100:.3g} %"
        return Within(low=value * (1 - tolerance), high=value * (1 + tolerance), words=f"about {text} ± {margin}")

    def bounds(self) -> Test:
        low, high, words = -math.inf, math.inf, []
        if "at_least" in self.table:
            low, text = self._quantity("at_least")
            words.append(f"at least {text}")
        if "at_most" in self.table:
            high, text = self._quantity("at_most")
            words.append(f"at most {text}")
        if low > high:
            self.table.problem("at_least is above at_most", key="at_least", fix="Swap them.")
        return Within(low=low, high=high, words=" and ".join(words))

    def equals(self) -> Test:
        value, text = self._quantity("equals")
        return Within(low=value, high=value, words=f"exactly {text}")

    def less_than(self) -> Test:
        than = self.table.texts("less_than")
        if not than:
            self.table.problem("less_than is empty", key="less_than", fix='Name patterns of cell ids: ["*-full"].')
        return Less(than=than)

    def follows(self) -> Test:
        metric = self.table.text("follows")
        _check_metric(self.table, "follows", metric, self.known)
        apart = self.table.number("apart", low=1.0, high=1e6, default=1.1)
        return Follows(
            metric=metric, apart=apart, exceptions=self.table.number("exceptions", low=0, high=0.5, default=0)
        )

    def same(self) -> Test:
        return Same(tolerance=self.table.number("same", low=0.0, high=10.0))

    def outcome(self) -> Test:
        return EndsAs(status=_OUTCOMES.get(self.table.choice("outcome", tuple(_OUTCOMES))))

    def _quantity(self, key: str) -> tuple[float, str]:
        """A value in the metric's unit (text with a unit, or a plain number of what is counted), and its text."""
        value = self.table.scalar(key)
        if isinstance(value, str):
            quantity = parse_quantity(value)
            if quantity is None or not quantity.symbol:
                fix = f"Write a number and a unit ({', '.join(_WITH_UNIT)}), or a plain number for a count."
                self.table.problem(f"{key} is {shown(value)}", key=key, fix=fix)
                return 0.0, value
            number, text = quantity.value, value.strip()
            units = tuple(unit for unit in Unit if quantity.symbol in SYMBOLS[unit])
        else:
            number, units, text = float(value), _COUNTED, f"{value:g}"
        if not math.isfinite(number):
            self.table.problem(f"{key} is {text}", key=key, fix="Use a number.")
        elif self.metric and self.metric.unit not in units:
            wanted = {Unit.BYTES: '"400 MB"', Unit.SECONDS: '"80 ms"'}.get(self.metric.unit, "a plain number")
            what = f"{key} is {shown(value)}, but {self.metric.name} is in {self.metric.unit}"
            self.table.problem(what, key=key, fix=f"Write {wanted}.")
        return number, text


_TESTS: Mapping[str, Callable[[_Reader], Test]] = {
    "about": _Reader.about,
    "at_least": _Reader.bounds,
    "at_most": _Reader.bounds,
    "equals": _Reader.equals,
    "less_than": _Reader.less_than,
    "follows": _Reader.follows,
    "same": _Reader.same,
    "outcome": _Reader.outcome,
}
