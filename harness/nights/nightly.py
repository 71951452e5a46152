"""One night: measure each track, look at the history, compare the images of suspect and due series, report what is
sure.

The order matters: a suspicion is confirmed the same night, in an A/B of tonight's image against the last good image, by
the same runner; only then is the exit code decided. `Nightly` decides; a `NightBench` measures. The real bench is
harness/nights/bench.py, and benchmarks/trend_simulation.py has a bench that only computes.

**What is compared.** Every suspect is compared. Every cell is compared once in `audit` nights, even if nothing is
suspect: a creep of 0.1 % a night never makes the last three nights look worse, and a step in the night of a new kernel
has no night before it. A cell whose good image was built in another environment is compared in the first night of the
new one.

**The good image** stays the same until its successor is proved, so that a slow creep cannot move the image that later
nights are compared with:

- the first image of a cell is good;
- after `tare accept` of one of its durations, the image of the night before;
- an image that an A/B of all its judged metrics finds better in one and no worse in any.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from harness.errors import TareError
from harness.model import Direction, Metric
from harness.nights.budgets import OF_THE_MACHINE
from harness.nights.images import Good, ImageShelf
from harness.nights.records import Confirmation, Key
from harness.nights.watch import Watch, Watched
from harness.stats.intervals import PRACTICAL, Verdict

COULD_NOT_MEASURE = 2
# an A/B of images cannot measure these: a build needs its sources; the previous version of an image and its base are
# not kept
NOT_OF_AN_IMAGE = ("build.*", "pull.previous.*", "pull.base.*", *OF_THE_MACHINE)
ROUNDS = 3  # rounds of pairs until an A/B is decided
_BETTER = (Verdict.BETTER,)
SUSPECT, DUE, NEW_ENVIRONMENT = "suspect", "due", "new environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """An A/B of a cell: tonight's image against the good image, for these metrics."""

    cell: str
    good: Good
    new: str  # tonight's image
    metrics: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Which images were compared, and the result."""

    track: str
    run: str  # run id of the A/B
    pairing: Pairing
    answers: tuple[Confirmation, ...]


class NightBench(Protocol):
    """What a night needs from outside. Every method may raise TareError."""

    def measure(self, track: str) -> str:
        """Measure the track's cells, keep their images, and return the run's id."""

    def images(self, run: str) -> Mapping[str, str]:
        """Image ids of a night by cell; empty if nothing was measured."""

    def compare(self, track: str, night: str, pairings: Sequence[Pairing], *, continues: str = "") -> str:
        """Measure both images of each pairing in blocks side by side, and return the run's id.

        Its answer also holds the blocks of the run that it `continues`.
        """

    def look(self) -> Watch:
        """The state of the history, including everything measured so far."""

    def kept(self, track: str) -> ImageShelf:
        """The images kept of a track."""

    def say(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NightResult:
    """How a night went. `failed` holds why a track could not be measured."""

    found: Watch
    runs: Mapping[str, str]  # run id by track
    failed: Mapping[str, str]
    compared: tuple[Comparison, ...]
    unconfirmed: tuple[str, ...]  # suspects for which no A/B is possible, and why
    promoted: tuple[str, ...]  # cells that have a new good image from tonight on, and why

    @property
    def exit_code(self) -> int:
        """1 an alarm is open, 2 a track could not be measured, 3 data is stale or missing, 0 fine."""
        if self.found.exit_code == 1:
            return 1
        return COULD_NOT_MEASURE if self.failed else self.found.exit_code


def of_an_image(metric: Metric) -> bool:
    """Whether an A/B of two images can show that this metric got worse."""
    return (
        metric.headline
        and not metric.deterministic
        and metric.direction is not Direction.NEITHER
        and metric.has_ratio
        and not any(fnmatchcase(metric.name, pattern) for pattern in NOT_OF_AN_IMAGE)
    )


class Nightly:
    """Decides what a night does. `audit` is the number of nights after which a cell is compared although nothing is
    suspect.
    """

    def __init__(self, bench: NightBench, *, tracks: Sequence[str], audit: int) -> None:
        self._bench = bench
        self._lanes = tracks
        self._audit = audit

    def run(self) -> NightResult:
        """Measure, look, compare, look again. Ctrl-C passes through, with every sample stored."""
        runs: dict[str, str] = {}
        failed: dict[str, str] = {}
        unconfirmed: list[str] = []
        promoted: list[str] = []
        pairings: dict[str, tuple[Pairing, ...]] = {}
        comparisons: list[Comparison] = []
        for track in self._lanes:
            try:
                runs[track] = self._bench.measure(track)
                if not self._bench.images(runs[track]):
                    failed[track] = "every cell failed"
            except TareError as error:  # the other track can still be measured, and the history still be reported
                failed[track] = str(error)
                self._bench.say(f"track {track} could not be measured: {error}")
        found = self._bench.look()
        for track, run in runs.items():
            promoted += self._accepted(found, track, run)
            pairings[track] = tuple(self._pairings(found, track, run, unconfirmed))
        for track, chosen in pairings.items():
            run, rounds = "", 0
            while chosen and rounds < ROUNDS:
                try:
                    run, rounds = self._bench.compare(track, runs[track], chosen, continues=run), rounds + 1
                except TareError as error:
                    unconfirmed.append(f"track {track}: the A/B failed: {error}")
                    break
                found = self._bench.look()
                given = {pairing.cell: _answers(found, track, run, pairing) for pairing in chosen}
                comparisons = [item for item in comparisons if item.track != track or item.pairing.cell not in given]
                comparisons += [
                    Comparison(track=track, run=run, pairing=pairing, answers=given[pairing.cell]) for pairing in chosen
                ]
                chosen = tuple(pairing for pairing in chosen if any(map(_is_open, given[pairing.cell])))
        for track, run in runs.items():
            promoted += self._promote([item for item in comparisons if item.track == track], found, track, run)
        return NightResult(
            found=found,
            runs=runs,
            failed=failed,
            compared=tuple(comparisons),
            unconfirmed=tuple(unconfirmed),
            promoted=tuple(promoted),
        )

    def _pairings(self, found: Watch, track: str, run: str, said: list[str]) -> Iterable[Pairing]:
        """What to compare tonight, suspects first."""
        kept, images = self._bench.kept(track), self._bench.images(run)
        chosen: dict[str, tuple[list[str], str]] = {}
        for item in _of_tonight(found, track, run):
            key, reason = item.key, ""
            due = self._due(item, kept.good(key.cell)) if of_an_image(item.line.metric) and not item.alarm else ""
            if item.alarm and of_an_image(item.line.metric) and self._age(item) >= self._audit:
                due = DUE
            why = SUSPECT if item.suspicion else due
            if not why:
                continue
            good, new = kept.good(key.cell), images.get(key.cell, "")
            if not of_an_image(item.line.metric):
                reason = "an A/B of images cannot measure it"
            elif not good:
                reason = "no good image of this cell is kept yet"
            elif not kept.has(key.cell, new):
                reason = "tonight's image is not kept"
            elif good.image == new:
                reason = "tonight's image is the last good image, so the machine changed"
            if not reason:
                metrics, before = chosen.setdefault(key.cell, ([], why))
                metrics.append(key.metric)
                chosen[key.cell] = metrics, SUSPECT if SUSPECT in (why, before) else before
            elif why == SUSPECT and item.doubtful:
                said.append(f"{key.cell} {key.metric} ({track}): {reason}")
        for cell, (metrics, why) in sorted(chosen.items(), key=lambda item: (item[1][1] != SUSPECT, item[0])):
            good = kept.good(cell)
            assert good is not None  # or it was not chosen
            yield Pairing(cell=cell, good=good, new=images[cell], metrics=tuple(sorted(metrics)), why=why)

    def _due(self, item: Watched, good: Good | None) -> str:
        """Why a series is compared tonight although nothing is suspect; "" if it is not."""
        answered = any(answer.ratio.n for answer in item.answers)
        if good and good.night and good.night not in item.line.runs and not answered:
            return NEW_ENVIRONMENT
        age, nights = self._age(item), len(item.line.runs)
        # each cell has its own night in the cycle, so that not all of them are due at once
        own = (nights + zlib.crc32(item.key.cell.encode())) % self._audit == 0
        return DUE if nights > 1 and (age > self._audit or own) else ""

    @staticmethod
    def _age(item: Watched) -> int:
        """Nights since the last A/B of a series, or since its first night."""
        places = {run: index for index, run in enumerate(item.line.runs)}
        last = max((places[answer.night] for answer in item.answers), default=0)
        return len(places) - 1 - last

    def _accepted(self, found: Watch, track: str, run: str) -> Iterable[str]:
        """Handle a change of a duration that a person has accepted since: the image that they saw is the good image
        from now on.
        """
        kept, images = self._bench.kept(track), self._bench.images(run)
        done: set[str] = set()
        for item in _of_tonight(found, track, run):
            cell, good = item.key.cell, kept.good(item.key.cell)
            marks = [mark for mark in found.accepted if mark.holds_for(item.key)]
            if cell in done or not good or not marks or not of_an_image(item.line.metric) or marks[-1].at <= good.at:
                continue
            done.add(cell)
            seen = item.line.runs[-2] if len(item.line.runs) > 1 else run
            image = self._bench.images(seen).get(cell, "")
            night, image = (seen, image) if kept.has(cell, image) else (run, images.get(cell, ""))
            kept.promote(cell, Good(image, night, marks[-1].at, f"accepted: {marks[-1].reason}"))
            yield f"{cell} ({track}): the image of {night} is the good image from now on: accepted: {marks[-1].reason}"

    def _promote(self, compared: Sequence[Comparison], found: Watch, track: str, run: str) -> Iterable[str]:
        """Mark first images and proved successors as good. Then only tonight's images and the good images are kept."""
        kept = self._bench.kept(track)
        at = next((night.started for night in reversed(found.nights) if night.run == run), 0.0)
        judged: dict[str, set[str]] = {}
        for item in _of_tonight(found, track, run):
            if of_an_image(item.line.metric):
                judged.setdefault(item.key.cell, set()).add(item.key.metric)
        for cell, image in self._bench.images(run).items():
            if not kept.good(cell):
                kept.promote(cell, Good(image, run, at, "the first image"))
        for comparison in compared:
            cell, answers = comparison.pairing.cell, {answer.metric: answer.ratio for answer in comparison.answers}
            better = [f"{name} {ratio.estimate:.3f}×" for name, ratio in answers.items() if ratio.verdict in _BETTER]
            proved = all(ratio.verdict in (*_BETTER, Verdict.SAME) for ratio in answers.values())
            if better and proved and answers.keys() >= judged.get(cell, set()):
                why = f"proved better: {', '.join(better)}"
                kept.promote(cell, Good(comparison.pairing.new, run, at, why))
                yield f"{cell} ({track}): tonight's image is the good image from now on: {why}"
        for cell, image in self._bench.images(run).items():
            kept.prune(cell, {image})


def _of_tonight(found: Watch, track: str, run: str) -> Iterable[Watched]:
    """The series of a track that were measured tonight, in the order of their names."""
    series = (item for item in found.series if item.current and item.key.track == track and item.line.runs[-1] == run)
    return sorted(series, key=lambda item: _name(item.key))


def _answers(found: Watch, track: str, run: str, pairing: Pairing) -> tuple[Confirmation, ...]:
    return tuple(
        answer
        for item in found.series
        if item.key.track == track and item.key.cell == pairing.cell and item.key.metric in pairing.metrics
        for answer in item.answers
        if answer.run == run
    )


def _is_open(answer: Confirmation) -> bool:
    """Whether more pairs are worth their time: the A/B is undecided and the growth may be too large, or it is worse and
    may not be.
    """
    ratio = answer.ratio
    if ratio.verdict is Verdict.WORSE:
        return bool(ratio.low and ratio.high and ratio.low < 1 + PRACTICAL and ratio.high > 1 / (1 + PRACTICAL))
    if ratio.verdict is not Verdict.UNDECIDED:
        return False
    return ratio.low is None or ratio.high is None or ratio.high > 1 + PRACTICAL or ratio.low < 1 / (1 + PRACTICAL)


def _name(key: Key) -> tuple[str, str]:
    return key.cell, key.metric
