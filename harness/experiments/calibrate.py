"""Measures the catalogue of known effects: the job of a calibration, with the probes and the runner of every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.catalogue.catalogue import Catalogue
from harness.catalogue.read import read
from harness.cell.prepare import Prepared
from harness.errors import UsageError
from harness.experiments import effects as calibration
from harness.experiments.effects import LATE, LAYER, MEMORY, PLAIN, SHIFT, SLEEP, START, WITHIN
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import Cell, Metric, Unit
from harness.probes import all_probes
from harness.probes.base import CellProbe, Probe, Reading, Visit, When
from harness.probes.link import LinkProbe
from harness.run.job import Extent, Job, measure
from harness.settings import Settings
from harness.store.run import read_run
from harness.text.display import Display

_PILOT = 8  # blocks that show how long a plain start takes
_FULL = {"start": WITHIN, "build": 8, "link": 6}  # blocks
_SHORT = {"start": 10, "build": 2, "link": 1}
_WHAT = {"build": (PLAIN, SLEEP), "link": (LAYER,)}


class RegistryProbe(CellProbe):
    """The bytes that the registry holds of an image, fetched and counted, whatever a manifest says."""

    name = "registry"
    activity = "sizes"
    rank = 11
    states = ("image",)
    reports: ClassVar = {"image": "registry.stored"}
    blocks = 1
    guess = 1.0
    when = When.PREPARING
    metrics = (
        Metric(
            name="registry.stored",
            unit=Unit.BYTES,
            deterministic=True,
            help="bytes of config and layers as the registry serves them, each distinct blob once",
        ),
    )

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:  # noqa: ARG002 - as CellProbe has it
        yield "image", lambda: self._measure(lab, cell)

    def _measure(self, lab: Lab, cell: Prepared) -> Reading:
        digests = {blob.digest for blob in (cell.manifest.config, *cell.manifest.layers)}
        stored = sum(len(piece) for digest in digests for piece in lab.registry.blob(cell.repository, digest))
        return Reading({"registry.stored": float(stored)})


class EveryLink(LinkProbe):
    """The link probe with a real pull of every cell, not of three."""

    def begin(self, state: RunState, cells: Sequence[Prepared]) -> None:
        state.shape(*(cell.cell.id for cell in cells))


def calibrate(root: Path, results: Path, settings: Settings, display: Display, *, short: bool = False) -> Path:
    """Measure every known effect; returns the run's folder, under results/calibration.

    The short form takes fewer blocks and leaves out the 5 % shift, which needs a separate run to find out how long 5 %
    is.
    """
    folder = results / calibration.FOLDER
    catalogue = read(root / "calibration")
    for problem in catalogue.problems:
        raise problem
    cells = list(catalogue.cells)
    blocks = _SHORT if short else _FULL
    if not short:
        plain = [cell for cell in cells if cell.id == PLAIN]
        pilot = measure(_job(root, folder, catalogue, plain, {"start": Extent(blocks=_PILOT)}), settings, display)
        cells.append(_shifted(plain[0], pilot))
    starts = (PLAIN, LATE, MEMORY) if short else (PLAIN, LATE, MEMORY, SHIFT)
    extents = {name: Extent(cells=what, blocks=blocks[name]) for name, what in _WHAT.items()}
    extents["start"] = Extent(cells=starts, blocks=blocks["start"])
    return measure(_job(root, folder, catalogue, cells, extents), settings, display)


def _job(root: Path, folder: Path, catalogue: Catalogue, cells: Sequence[Cell], extents: dict[str, Extent]) -> Job:
    """All cells under the probes of `extents`; also sizes, if there are cells to compare."""
    names = {*extents, "size"} if len(cells) > 1 else set(extents)
    probes: list[Probe] = [probe for probe in all_probes() if probe.name in names and probe.name != "link"]
    if "link" in names:
        probes.append(EveryLink())
    if "size" in names:
        probes.append(RegistryProbe())
    return Job(
        root=root,
        results=folder,
        catalogue=catalogue,
        cells=cells,
        probes=probes,
        budget=None,
        blocks=WITHIN,
        extents=extents,
    )


def _shifted(plain: Cell, pilot: Path) -> Cell:
    """The plain cell with a wait of 5 % of the time that a plain start takes here."""
    series = read_run(pilot).series().get((PLAIN, START))
    if series is None:
        raise UsageError("no plain start succeeded", where=str(pilot), fix="`tare report` shows the reasons.")
    delay = calibration.SHIFTED * float(np.median(series.value))
    strategy = replace(plain.strategy, name="shift", title="Shift", rank=plain.strategy.rank + 1)
    app = replace(plain.app, env={**plain.app.env, "DELAY": f"{1e3 * delay:.3f}ms"})
    return replace(plain, strategy=strategy, app=app)
