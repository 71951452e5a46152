"""The records of a history: a series and its key, a night, its failures, and the results of an A/B."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model import Metric
from harness.stats.intervals import Ratio
from harness.store.format import Manifest

NIGHTLY = "nightly"
CONFIRM = "confirm"  # purpose of a run that compares suspects with their last good images
GOOD, NEW = ".good", ".new"  # the ends of the names of such a run's cells
PINNED, FLOATING = "pinned", "floating"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of a series."""

    cell: str
    metric: str
    fingerprint: str
    track: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One run of the history."""

    run: str
    started: float  # Unix time, s
    fingerprint: str
    track: str
    git: str
    exact_print: str = ""  # fingerprint of the facts that exact metrics depend on; "": the same as `fingerprint`
    purpose: str = ""
    schedule: str = ""  # in the form of harness/nights/schedule.py; "" is not known
    cells: frozenset[str] = frozenset()  # metrics that should have been measured; none: not known
    metrics: frozenset[str] = frozenset()

    @property
    def exact(self) -> str:
        return self.exact_print or self.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class NightSeries:
    """A series: columns of one length, oldest night first. `low` and `high` are NaN if there is no interval."""

    key: Key
    metric: Metric
    runs: tuple[str, ...]
    at: Floats  # start of the run, Unix time, s
    n: NDArray[np.int64]
    median: Floats
    low: Floats
    high: Floats
    samples: tuple[Floats, ...] = ()  # by night; only if requested


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Tries of one cell and probe that failed in one night for one reason."""

    run: str
    cell: str
    probe: str
    status: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The result of a night's A/B: the new image's metric ÷ the last good image's."""

    run: str  # of the A/B
    night: str  # the run whose suspicion it checked
    cell: str
    metric: str
    ratio: Ratio
    base: str = ""  # the night of the good image; "" if the run does not say


def track_of(manifest: Manifest) -> str:
    """The track of a run's bases; a run without a track used cached bases, so it counts as pinned."""
    return str(manifest.plan.get("track", PINNED))


def purpose_of(manifest: Manifest) -> str:
    """The purpose of a run; "" is an ordinary run of the matrix."""
    return str(manifest.plan.get("purpose", ""))
