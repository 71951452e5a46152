"""Conditions that an image must meet to be a candidate: `--need shell`, `--at-most size.transfer=100MB`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, le

from harness.errors import UsageError
from harness.model import Metric
from harness.stats.intervals import summarise
from harness.store.run import Series
from harness.text.units import SYMBOLS, parse_quantity, scale


@dataclass(frozen=True, slots=True)
class Holds:
    """Whether a cell meets a constraint: None if it was not measured. `doubtful`: the limit is in the interval."""

    known: bool | None
    because: str = ""
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One of `metrics` (the first that a cell has) is at most or at least `limit`, in the metric's own unit."""

    text: str  # in words: needs a shell
    metrics: tuple[tuple[str, bool, float], ...]  # name, True for at most, limit

    def holds(self, cell: str, series: Mapping[tuple[str, str], Series], metrics: Mapping[str, Metric]) -> Holds:
        for name, at_most, limit in self.metrics:
            samples = series.get((cell, name))
            if samples is None or name not in metrics:
                continue
            metric = metrics[name]
            summary = summarise(samples.value, deterministic=metric.deterministic)
            compare: Callable[[float, float], bool] = le if at_most else ge
            measure = scale(metric, [summary.median])
            return Holds(
                compare(summary.median, limit),
                f"{name} {measure.amount(summary.median)}",
                summary.low is not None and summary.high is not None and summary.low <= limit <= summary.high
                and summary.low < summary.high,
            )  # fmt: skip
        return Holds(None)


_NEEDS: Mapping[str, tuple[str, tuple[tuple[str, bool, float], ...]]] = {
    "shell": ("needs a shell", (("surface.shells", False, 1), ("intruder.sh", False, 1))),
    "no-shell": ("must have no shell", (("surface.shells", True, 0), ("intruder.sh", True, 0))),
    "package-manager": ("needs a package manager", (("surface.managers", False, 1), ("intruder.apt", False, 1))),
    "no-package-manager": ("must have no package manager", (("surface.managers", True, 0), ("intruder.apt", True, 0))),
    "no-compiler": ("must have no compiler", (("surface.compilers", True, 0),)),
    "no-secrets": ("must hold no secrets", (("surface.secrets", True, 0),)),
    "non-root": ("must not run as root", (("surface.root", True, 0), ("harden.nonroot", False, 1))),
    "read-only": ("must work on a read-only root", (("harden.readonly", False, 1),)),
    "hardened": ("must work fully hardened", (("harden.all", False, 1),)),
    "reproducible": ("must build reproducibly", (("build.reproducible", False, 1),)),
}
NEEDS = tuple(_NEEDS)


def need(name: str) -> Constraint:
    """A constraint by its name. Raises UsageError if the name is unknown."""
    if name not in _NEEDS:
        raise UsageError("no need has this name", where=f"--need {name}", fix=f"Choose from {', '.join(NEEDS)}.")
    text, metrics = _NEEDS[name]
    return Constraint(text=text, metrics=metrics)


def limit(text: str, metrics: Sequence[Metric], *, at_most: bool) -> Constraint:
    """`size.transfer=100MB` as a constraint. Raises UsageError for an unknown metric, number or unit."""
    option = "--at-most" if at_most else "--at-least"
    name, equals, value = text.partition("=")
    metric = next((metric for metric in metrics if metric.name == name), None)
    if not equals or metric is None:
        raise UsageError(
            "not METRIC=VALUE" if not equals else f"no metric has the name {name!r}",
            where=f"{option} {text}",
            fix="Write it as size.transfer=100MB. `tare report --full` lists the metrics.",
        )
    quantity = parse_quantity(value)
    if quantity is None or not quantity.fits(metric.unit):
        units = ", ".join(SYMBOLS[metric.unit]) or "no unit"
        raise UsageError(
            f"{value!r} is not a value of {name}", where=f"{option} {text}", fix=f"Use a number with {units}."
        )
    word = "at most" if at_most else "at least"
    return Constraint(text=f"{name} {word} {value.strip()}", metrics=((name, at_most, quantity.value),))
