"""Claims: common sentences about images, as comparisons over metrics; variants/claims.toml has the built-in claims.

A claim has interpretations, because a sentence may be true in one way and false in another (compressed or not, with or
without the base). An interpretation is one test over one metric of some cells. harness/claims/read.py reads claims, and
harness/claims/judge.py judges them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from harness.model import Status


class Answer(StrEnum):
    """The answer of the runs to a claim. Only a claim can have DEPENDS: its interpretations differ."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    UNTESTABLE = "not testable"  # there is nothing that could be less
    DEPENDS = "depends on the interpretation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Bounds of a value, in the metric's unit; infinite if there is none."""

    low: float = -math.inf
    high: float = math.inf
    words: str  # "about 400 MB ± 25 %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Less:
    """Less than the same app's cell that matches one of `than`."""

    than: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"less than {' or '.join(self.than)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows:
    """Of two cells of an app that differ in `metric` by at least the factor `apart`, the cell with less of it also has
    less of this metric.

    `exceptions` is the share of pairs that may do otherwise.
    """

    metric: str
    apart: float
    exceptions: float

    @property
    def words(self) -> str:
        rule = f"less if {self.metric} is less (pairs that differ by a factor of at least {self.apart:g})"
        return f"{rule}, in {100 - self.exceptions * 100:.3g} % of pairs" if self.exceptions else rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """All cells have the same value, within `tolerance` (relative)."""

    tolerance: float

    @property
    def words(self) -> str:
        return f"the same within {self.tolerance * 100:.3g} %" if self.tolerance else "exactly the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndsAs:
    """How making the cell ready ends: ok if it is built, starts and answers rightly; None is any failure."""

    status: Status | None

    @property
    def words(self) -> str:
        match self.status:
            case None:
                return "fails to be built, to start or to answer"
            case Status.OK:
                return "is built, starts and answers"
        return f"ends as {self.status}"


Test = Within | Less | Follows | Same | EndsAs


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpretation:
    """One interpretation of a claim. `metric` is "" for an outcome; `cells` are patterns of cell ids
    (`*-distroless`).
    """

    title: str
    metric: str
    cells: tuple[str, ...]
    test: Test
    decide: str = ""  # the command that measures what is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    name: str
    says: str
    interpretations: tuple[Interpretation, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The answer of one unit, and its run. `numbers` is text with unit and interval; `log` of a failed try."""

    unit: str
    answer: Answer
    numbers: str
    run: str
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An interpretation's verdict. Without findings nothing was measured, and `environment` is ""."""

    interpretation: Interpretation
    answer: Answer
    findings: tuple[Evidence, ...]
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    claim: Claim
    answer: Answer
    interpretations: tuple[Judged, ...]

    @property
    def environments(self) -> tuple[str, ...]:
        """Fingerprints of the environments that interpretations come from; two of them are not compared."""
        return tuple(dict.fromkeys(judged.environment for judged in self.interpretations if judged.environment))
