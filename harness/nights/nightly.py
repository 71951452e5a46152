"""One night: measure each track, look at the history, confirm what is suspect, write trends.html and a summary.

The order matters: a suspicion is confirmed the same night, in an A/B of tonight's image against the last good one,
under the same runner; only then is the exit code told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.cell.prepare import Prepared
from harness.errors import TareError, UsageError
from harness.lab.lab import Lab
from harness.model import Cell
from harness.nights.history import CONFIRM, FLOATING, GOOD, NEW, NIGHTLY, PINNED
from harness.nights.images import SavedImages
from harness.nights.watch import Watch, Watched
from harness.probes.base import Probe
from harness.run.job import Job, measure
from harness.run.plan import parse_budget
from harness.settings import Settings
from harness.store.run import read_run
from harness.text.display import Display
from harness.tomlfile import Document

TRACKS = (PINNED, FLOATING)
COULD_NOT_MEASURE = 2
# an image tells nothing of these: a build needs its sources; the version before an image and its base are not kept
NOT_OF_AN_IMAGE = ("build.*", "pull.previous.*", "pull.base.*", "link.*", "floor.*")

Measure = Callable[[Job, Settings, Display], Path]
Look = Callable[[], Watch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`benchmarks/nightly.toml`. Budgets are seconds."""

    blocks: int
    budget: float
    tracks: tuple[str, ...]
    cells: tuple[str, ...]
    probes: tuple[str, ...]
    confirm_pairs: int
    confirm_budget: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NightResult:
    """How a night went. `failed` holds why a track could not be measured."""

    found: Watch
    runs: Mapping[str, Path]  # by track
    failed: Mapping[str, str]
    confirmed: tuple[Path, ...]  # runs of A/Bs
    unconfirmed: tuple[str, ...]  # suspects that no A/B can be made of, and why

    @property
    def exit_code(self) -> int:
        """1 an alarm is open, 2 a track could not be measured, 3 data is stale or missing, 0 fine."""
        if self.found.exit_code == 1:
            return 1
        return COULD_NOT_MEASURE if self.failed else self.found.exit_code


def read_config(path: Path) -> Config:
    """Raises CatalogueError with file and line for a mistake."""
    document = Document(path)
    root = document.root
    config = Config(
        blocks=root.integer("blocks", low=1, high=60, default=10),
        budget=_seconds(root.text("budget", default="90m")),
        tracks=root.texts(root.spelling("tracks", "lanes")) or (PINNED,),
        cells=root.texts("cells") or ("*",),
        probes=root.texts("probes") or ("*",),
        confirm_pairs=root.integer("confirm_pairs", low=6, high=60, default=12),
        confirm_budget=_seconds(root.text("confirm_budget", default="30m")),
    )
    for track in config.tracks:
        if track not in TRACKS:
            root.problem(f"there is no track {track!r}", key="tracks", fix=f"Use {' or '.join(TRACKS)}.")
    root.close()
    for problem in document.told():
        raise problem
    return config


def _seconds(text: str) -> float:
    return parse_budget(text)


def selected(catalogue: Catalogue, probes: Iterable[Probe], config: Config) -> tuple[list[Cell], list[Probe]]:
    """The cells that are on and match, and the probes that match. Raises UsageError where nothing does."""
    cells = [
        cell
        for cell in catalogue.cells
        if cell.app.default and cell.strategy.default and any(fnmatchcase(cell.id, item) for item in config.cells)
    ]
    chosen = [probe for probe in probes if any(fnmatchcase(probe.name, item) for item in config.probes)]
    if not cells or not chosen:
        what = "cell" if not cells else "probe"
        raise UsageError(f"no {what} matches", where="nightly.toml", fix="`tox -e bench -- --co` lists the names.")
    return cells, chosen


class Nightly:
    """Runs a night. `look` tells the state of the history, anew each time; `measuring` runs a job."""

    def __init__(
        self,
        *,
        root: Path,
        results: Path,
        catalogue: Catalogue,
        probes: Sequence[Probe],
        config: Config,
        settings: Settings,
        display: Display,
        look: Look,
        measuring: Measure = measure,
    ) -> None:
        self._root = root
        self._results = results
        self._catalogue = catalogue
        self._cells, self._probes = selected(catalogue, probes, config)
        self._config = config
        self._settings = settings
        self._display = display
        self._look = look
        self._measuring = measuring

    def run(self) -> NightResult:
        """Measure, look, confirm, look again. Ctrl-C passes through, with every sample stored."""
        runs: dict[str, Path] = {}
        failed: dict[str, str] = {}
        confirmed: list[Path] = []
        unconfirmed: list[str] = []
        for track in self._config.tracks:
            try:
                runs[track] = self._measuring(self._job(track), self._settings, self._display)
                if not read_run(runs[track]).series():
                    failed[track] = "every cell failed"
            except TareError as error:  # the other track may still be measured, and the history be told
                failed[track] = str(error)
                self._display.say(f"track {track} could not be measured: {error}")
        found = self._look()
        for track, folder in runs.items():
            suspects = [
                item for item in found.series if item.suspicion and item.current and item.line.runs[-1] == folder.name
            ]
            able = [item for item in suspects if not self._why_not(item, track, folder, unconfirmed)]
            if able:
                try:
                    job = self._confirmation(able, track, folder)
                    confirmed.append(self._measuring(job, self._settings, self._display))
                except TareError as error:
                    unconfirmed.append(f"track {track}: the A/B failed: {error}")
        if confirmed:
            found = self._look()
        for track, folder in runs.items():
            self._promote(found, track, folder)
        return NightResult(
            found=found,
            runs=runs,
            failed=failed,
            confirmed=tuple(confirmed),
            unconfirmed=tuple(unconfirmed),
        )

    def _job(self, track: str) -> Job:
        keep = self._keep(track)

        def after(lab: Lab, prepared: Mapping[str, Prepared]) -> None:
            for cell, made in prepared.items():
                if keep.archive(cell, made.id) is None:
                    keep.put(cell, made.id, lab.engine.save(made.image))

        return Job(
            root=self._root,
            results=self._results,
            catalogue=self._catalogue,
            cells=self._cells,
            probes=self._probes,
            budget=self._config.budget,
            blocks=self._config.blocks,
            track=track,
            note={"purpose": NIGHTLY},
            after=after,
        )

    def _why_not(self, item: Watched, track: str, folder: Path, said: list[str]) -> bool:
        """Whether no A/B can be made of a suspect; the reason is added to `said`."""
        key, keep = item.key, self._keep(track)
        good, new = keep.good(key.cell), self._image(folder, key.cell)
        reason = ""
        if any(fnmatchcase(key.metric, pattern) for pattern in NOT_OF_AN_IMAGE):
            reason = "an A/B of images cannot measure it"
        elif not good:
            reason = "no good image of this cell is kept yet"
        elif not new or keep.archive(key.cell, new) is None:
            reason = "tonight's image is not kept"
        elif good[0] == new:
            reason = "tonight's image is the last good image, so the machine changed"
        if reason:
            said.append(f"{key.cell} {key.metric} ({track}): {reason}")
        return bool(reason)

    def _confirmation(self, suspects: Sequence[Watched], track: str, folder: Path) -> Job:
        """Both images of every suspect cell, in blocks of their own, under the probes that have the suspect metrics."""
        keep = self._keep(track)
        known = {cell.id: cell for cell in self._cells}
        cells: list[Cell] = []
        for name in dict.fromkeys(item.key.cell for item in suspects):
            good, new = keep.good(name), keep.archive(name, self._image(folder, name))
            assert good is not None  # or it would not be here
            for suffix, archive in ((GOOD, good[1]), (NEW, new)):
                strategy = replace(known[name].strategy, name=known[name].strategy.name + suffix)
                cells.append(replace(known[name], strategy=strategy, archive=archive))
        metrics = {item.key.metric for item in suspects}
        probes = [probe for probe in self._probes if any(metric.name in metrics for metric in probe.metrics)]
        return Job(
            root=self._root,
            results=self._results,
            catalogue=self._catalogue,
            cells=cells,
            probes=probes,
            budget=self._config.confirm_budget,
            blocks=self._config.confirm_pairs,
            track=track,
            note={
                "purpose": CONFIRM,
                "night": folder.name,
                "metrics": [[item.key.cell, item.key.metric] for item in suspects],
            },
        )

    def _promote(self, found: Watch, track: str, folder: Path) -> None:
        """Tonight's images of cells nothing is said against become the good ones."""
        keep = self._keep(track)
        doubtful = {
            item.key.cell for item in found.series if item.key.track == track and (item.alarm or item.suspicion)
        }
        for cell, image in read_run(folder).sessions[-1].images.items():
            if cell in doubtful:
                keep.prune(cell, {image})
            else:
                keep.promote(cell, image)

    def _keep(self, track: str) -> SavedImages:
        return SavedImages.of(self._settings.cache, self._results, track)

    def _image(self, folder: Path, cell: str) -> str:
        return next((s.images[cell] for s in reversed(read_run(folder).sessions) if cell in s.images), "")


def summary(night: NightResult, text: str) -> str:
    """The short text of a night: what was measured, what could not be, and what the history says."""
    lines = [f"track {track}: {folder.name}" for track, folder in night.runs.items()]
    lines += [f"track {track}: NOT MEASURED: {reason}" for track, reason in night.failed.items()]
    lines += [f"A/B of the suspects: {folder.name}" for folder in night.confirmed]
    lines += [f"not confirmed: {reason}" for reason in night.unconfirmed]
    return "\n".join(lines) + "\n" + text
