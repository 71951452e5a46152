"""The night's measuring on a real engine: jobs of cells for each track, and jobs of kept images side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.cell.prepare import Prepared
from harness.errors import StoreError, UsageError
from harness.lab.lab import Lab
from harness.model import Cell
from harness.nights.images import SavedImages
from harness.nights.nightly import Pairing
from harness.nights.records import CONFIRM, FLOATING, GOOD, NEW, NIGHTLY, PINNED
from harness.nights.schedule import parse_schedule
from harness.nights.watch import Watch
from harness.probes.base import Probe
from harness.run.job import Job, measure
from harness.run.plan import parse_budget
from harness.settings import Settings
from harness.store.run import read_run
from harness.text.display import Display
from harness.tomlfile import Document

TRACKS = (PINNED, FLOATING)

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
    audit: int = 7  # nights
    schedule: str = ""  # in the form of harness/nights/schedule.py; "" is learned


def read_config(path: Path) -> Config:
    """Raises CatalogueError with file and line for a mistake."""
    document = Document(path)
    root = document.root
    config = Config(
        blocks=root.integer("blocks", low=1, high=60, default=10),
        budget=parse_budget(root.text("budget", default="90m")),
        tracks=root.texts(root.spelling("tracks", "lanes")) or (PINNED,),
        cells=root.texts("cells") or ("*",),
        probes=root.texts("probes") or ("*",),
        confirm_pairs=root.integer("confirm_pairs", low=6, high=60, default=12),
        confirm_budget=parse_budget(root.text("confirm_budget", default="30m")),
        audit=root.integer("audit", low=1, high=365, default=7),
        schedule=root.text("schedule", default="", empty=True),
    )
    for track in config.tracks:
        if track not in TRACKS:
            root.problem(f"there is no track {track!r}", key="tracks", fix=f"Use {' or '.join(TRACKS)}.")
    try:
        parse_schedule(config.schedule)
    except UsageError as error:
        root.problem(error.what, key="schedule", fix=error.fix)
    root.close()
    for problem in document.told():
        raise problem
    return config


def selected(catalogue: Catalogue, probes: Iterable[Probe], config: Config) -> tuple[list[Cell], list[Probe]]:
    """The cells that are on and match, and the probes that match. Raises UsageError if nothing does."""
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


class EngineBench:
    """Measures nights on this machine's engine. `look` reads the history again each time; `measuring` runs a job."""

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
        self._measuring = measuring
        self._images: dict[str, Mapping[str, str]] = {}
        self.look = look

    def measure(self, track: str) -> str:
        """Measure every cell of the track, and keep their images."""
        keep = self.kept(track)

        def after(lab: Lab, prepared: Mapping[str, Prepared]) -> None:
            for cell, made in prepared.items():
                if not keep.has(cell, made.id):
                    keep.put(cell, made.id, lab.engine.save(made.image))

        note = {"purpose": NIGHTLY, **({"schedule": self._config.schedule} if self._config.schedule else {})}
        job = self._job(track, self._cells, self._probes, self._config.budget, self._config.blocks, note)
        return self._measuring(replace(job, after=after), self._settings, self._display).name

    def images(self, run: str) -> Mapping[str, str]:
        """Image ids by cell of the last session of each; empty if the run has no sample or is gone."""
        if run not in self._images:
            try:
                stored = read_run(self._results / run)
            except StoreError:
                return {}
            found = {cell: image for session in stored.sessions for cell, image in session.images.items()}
            self._images[run] = found if stored.series() else {}
        return self._images[run]

    def compare(self, track: str, night: str, pairings: Sequence[Pairing], *, continues: str = "") -> str:
        """Both images of every pairing, in blocks of their own, by the probes that have the metrics."""
        keep = self.kept(track)
        known = {cell.id: cell for cell in self._cells}
        cells: list[Cell] = []
        for pairing in pairings:
            for suffix, image in ((GOOD, pairing.good.image), (NEW, pairing.new)):
                cells.append(of_archive(known[pairing.cell], suffix, keep.archive(pairing.cell, image)))
        metrics = {metric for pairing in pairings for metric in pairing.metrics}
        probes = [probe for probe in self._probes if any(metric.name in metrics for metric in probe.metrics)]
        note = {
            "purpose": CONFIRM,
            "night": night,
            "metrics": [[pairing.cell, metric] for pairing in pairings for metric in pairing.metrics],
            "good": {pairing.cell: pairing.good.night for pairing in pairings},
            **({"continues": continues} if continues else {}),
        }
        job = self._job(track, cells, probes, self._config.confirm_budget, self._config.confirm_pairs, note)
        job = replace(job, pairs={pairing.cell + NEW: pairing.cell + GOOD for pairing in pairings})
        return self._measuring(job, self._settings, self._display).name

    def kept(self, track: str) -> SavedImages:
        return SavedImages.of(self._settings.cache, self._results, track)

    def say(self, text: str) -> None:
        self._display.say(text)

    def _job(
        self,
        track: str,
        cells: Sequence[Cell],
        probes: Sequence[Probe],
        budget: float,
        blocks: int,
        note: Mapping[str, object],
    ) -> Job:
        return Job(
            root=self._root,
            results=self._results,
            catalogue=self._catalogue,
            cells=cells,
            probes=probes,
            budget=budget,
            blocks=blocks,
            track=track,
            note=note,
        )


def of_archive(cell: Cell, suffix: str, archive: Path | None) -> Cell:
    """The cell under another name, its image loaded from an archive instead of built."""
    return replace(renamed(cell, suffix), archive=archive)


def renamed(cell: Cell, suffix: str) -> Cell:
    """The cell under another name. Services that its image carries stay in it."""
    name = cell.strategy.name
    services = tuple(
        replace(service, inside=(*service.inside, name + suffix)) if name in service.inside else service
        for service in cell.app.services
    )
    return replace(cell, app=replace(cell.app, services=services), strategy=replace(cell.strategy, name=name + suffix))
