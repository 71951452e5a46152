"""Known effects and how a calibration run measured them, which shows the accuracy of the harness in an environment.

The effects are those of the catalogue in calibration/, where each strategy differs from `plain` in one thing. Its runs
are ordinary runs in `results/calibration/`; harness/experiments/calibrate.py makes them, this module reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from harness.errors import StoreError
from harness.model import Direction, Phase, Status
from harness.stats.intervals import Difference, Verdict, difference, ratio
from harness.store.format import read_manifest
from harness.store.run import Run, Series, list_runs

FOLDER = "calibration"  # beside the runs of apps, under results/
APP = "knobs"
PLAIN, LATE, SHIFT, MEMORY, LAYER, SLEEP = (
    f"{APP}-{n}" for n in ("plain", "late", "shift", "memory", "layer", "sleep")
)

DELAY = 0.100  # s for which `late` waits before it listens
RANDOM = 50_000_000  # B of the additional layer of `layer`
ALLOCATED = 64_000_000  # B that `memory` fills
SLEPT = 2.0  # s that a step of `sleep` takes
SHIFTED = 0.05  # share of the plain start by which `shift` is later
WITHIN = 30  # blocks within which the shift must be found
LINK = 100  # Mbit/s of payload: harness.probes.link.MEASURED

START, COLD, PEAK = "start.warm.total", "build.cold", "memory.ready"


class Recovery(StrEnum):
    """How exactly an effect was measured."""

    RECOVERED = "yes"
    # the estimate is off, but there is no interval, or the interval reaches into the tolerance
    UNSURE = "not known yet"
    MISSED = "no"
    ABSENT = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A known effect and its measurement, all in `unit`.

    `low` and `high` bound the 95 % interval; for the link, whose few pulls give no interval, the range.
    """

    name: str
    how: str  # the metric and the cells
    unit: str
    expected: float = 0.0
    tolerance: float = 0.0
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0  # blocks or samples
    exact: bool = False  # the same every time: one measurement is enough

    @property
    def outcome(self) -> Recovery:
        if self.measured is None:
            return Recovery.ABSENT
        if abs(self.measured - self.expected) <= self.tolerance:
            return Recovery.RECOVERED
        if self.low is None or self.high is None:
            return Recovery.MISSED if self.exact else Recovery.UNSURE
        reaches = self.low <= self.expected + self.tolerance and self.high >= self.expected - self.tolerance
        return Recovery.UNSURE if reaches else Recovery.MISSED


def newest(results: Path, fingerprint: str) -> Path | None:
    """The folder of the last calibration of an environment; None if there is none."""
    for folder in reversed(list_runs(results / FOLDER)):
        try:
            manifest = read_manifest(folder)
        except StoreError:
            continue
        if manifest.environment.fingerprint == fingerprint and len(manifest.cells) > 1:
            return folder
    return None


def effects(run: Run) -> tuple[Effect, ...]:
    """Every known effect in a fixed order; an effect that the run lacks is listed as not measured."""
    return (
        _late(run),
        _shift(run),
        _memory(run),
        *_layer(run),
        _link(run),
        _sleep(run),
    )


def _late(run: Run) -> Effect:
    found = _difference(run, START, LATE)
    name = f"{1e3 * DELAY:.0f} ms before listening"
    return _effect(name, f"{START}, late − plain", "ms", 1e3, DELAY, 0.002, found)


def _memory(run: Run) -> Effect:
    found = _difference(run, PEAK, MEMORY)
    name = f"{ALLOCATED / 1e6:.0f} MB filled before listening"
    return _effect(name, f"{PEAK}, memory − plain", "MB", 1e-6, ALLOCATED, 2e6, found)


def _sleep(run: Run) -> Effect:
    found = _difference(run, COLD, SLEEP)
    whole = run.series().get((SLEEP, COLD))
    tolerance = 0.03 * float(np.median(whole.value)) if whole is not None else 0.0
    name = f"a RUN that sleeps {SLEPT:g} s; tolerance 3 % of the build"
    return _effect(name, f"{COLD}, sleep − plain", "s", 1.0, SLEPT, tolerance, found)


def _shift(run: Run) -> Effect:
    """How many blocks it takes until the shift is found; never found counts as one block too many."""
    series = run.series()
    plain, shifted = series.get((PLAIN, START)), series.get((SHIFT, START))
    name = f"a start that is {SHIFTED:.0%} later is called worse within {WITHIN} blocks"
    how, unit = f"{START}, shift ÷ plain", "blocks"
    if plain is None or shifted is None:
        return Effect(name=name, how=how, unit=unit)
    blocks = sorted({*plain.block.tolist(), *shifted.block.tolist()})[:WITHIN]
    took = next((n for n in range(1, len(blocks) + 1) if _worse(plain, shifted, blocks[:n])), None)
    middle = WITHIN / 2
    if took is None and len(blocks) < WITHIN:  # not found yet, and not enough blocks to call it lost
        return Effect(name=name, how=how, unit=unit)
    return Effect(
        name=name,
        how=how,
        unit=unit,
        expected=middle,
        tolerance=middle,
        measured=took if took is not None else WITHIN + 1,
        n=len(blocks),
        exact=True,
    )


def _worse(plain: Series, shifted: Series, blocks: Sequence[int]) -> bool:
    answer = ratio(_first(plain, blocks), _first(shifted, blocks), direction=Direction.SMALLER)
    return answer is not None and answer.verdict is Verdict.WORSE


def _first(series: Series, blocks: Sequence[int]) -> Series:
    kept = np.isin(series.block, blocks)
    return Series(series.value[kept], series.block[kept], series.order[kept], series.at[kept])


def _layer(run: Run) -> Iterator[Effect]:
    mb = f"{RANDOM / 1e6:.0f} MB"
    unpacked = _exactly(run, "size.unpacked")
    yield Effect(
        name=f"{mb} of random bytes, unpacked",
        how="size.unpacked, layer − plain",
        unit="B",
        expected=RANDOM,
        measured=unpacked,
        n=int(unpacked is not None),
        exact=True,
    )
    stored, transfer = _exactly(run, "registry.stored"), _exactly(run, "size.transfer")
    yield Effect(
        name=f"{mb} of random bytes, transferred (expected: the bytes in the registry)",
        how="size.transfer, layer − plain",
        unit="B",
        expected=stored or 0.0,
        measured=None if stored is None else transfer,
        n=int(transfer is not None),
        exact=True,
    )
    # stored blocks of deflate add 5 B to each 65 535 (RFC 1951, § 3.2.4); tar and config some kB
    yield Effect(
        name="the bytes of the compressed layer in the registry, because random bytes do not shrink; tolerance 0.1 %",
        how="registry.stored, layer − plain",
        unit="B",
        expected=RANDOM,
        tolerance=RANDOM / 1000,
        measured=stored,
        n=int(stored is not None),
        exact=True,
    )


def _link(run: Run) -> Effect:
    """From the first byte of the first layer to the last byte of the last layer, against bytes ÷ bandwidth."""
    name = f"a link of {LINK} Mbit/s: bytes over bandwidth; tolerance 3 %"
    how, unit = "downloads of link, layer", "s"
    transfer = run.series().get((LAYER, "size.transfer"))
    spans = [
        span
        for try_ in run.tries()
        if try_.probe == "link" and try_.cell == LAYER and try_.status is Status.OK and (span := _span(try_.phases))
    ]
    if transfer is None or not spans:
        return Effect(name=name, how=how, unit=unit)
    expected = float(transfer.value[0]) * 8 / (LINK * 1e6)
    return Effect(
        name=name,
        how=how,
        unit=unit,
        expected=expected,
        tolerance=0.03 * expected,
        measured=float(np.median(spans)),
        low=min(spans),
        high=max(spans),
        n=len(spans),
    )


def _span(phases: Sequence[Phase]) -> float:
    downloads = [phase for phase in phases if phase.name.startswith("download ")]
    return max((p.start + p.seconds for p in downloads), default=0.0) - min((p.start for p in downloads), default=0.0)


def _exactly(run: Run, metric: str) -> float | None:
    """How much more `layer` has; None if unknown, or if not the same every time."""
    values = [run.series().get((cell, metric)) for cell in (PLAIN, LAYER)]
    known = [set(series.value.tolist()) for series in values if series is not None]
    if len(known) != 2 or any(len(found) != 1 for found in known):
        return None
    return float(known[1].pop() - known[0].pop())


def _difference(run: Run, metric: str, cell: str) -> Difference | None:
    plain, other = run.series().get((PLAIN, metric)), run.series().get((cell, metric))
    return None if plain is None or other is None else difference(plain, other)


def _effect(
    name: str, how: str, unit: str, factor: float, expected: float, tolerance: float, found: Difference | None
) -> Effect:
    """`factor` converts seconds and bytes to `unit`."""
    if found is None:
        return Effect(name=name, how=how, unit=unit, expected=expected * factor, tolerance=tolerance * factor)
    return Effect(
        name=name,
        how=how,
        unit=unit,
        expected=expected * factor,
        tolerance=tolerance * factor,
        measured=found.estimate * factor,
        low=None if found.low is None else found.low * factor,
        high=None if found.high is None else found.high * factor,
        n=found.n,
    )
