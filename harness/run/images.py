"""Measuring images that exist already, side by side: each image is a cell of a generated catalogue.

So samples are stored and resumed, and tables and decisions are made, by the code of every other run. Nothing is built:
the probes of builds are left out. A pull has other states than that of a built cell: an empty node, and a node that has
the first image, which shows what an update from one version to the next fetches.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from harness.catalogue.catalogue import Catalogue
from harness.cell.prepare import Prepared
from harness.errors import UsageError
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.model import App, Cell, Connection, Edit, Exit, LogLine, Metric, Readiness, Request, Strategy, Unit
from harness.probes import all_probes, of_groups
from harness.probes.base import Probe, Visit
from harness.probes.pull import PullProbe, reading
from harness.run.job import Job, Reporter, measure
from harness.settings import Settings
from harness.store.run import Run
from harness.store.typed import check
from harness.text.display import Display

APP = "image"  # the name of the generated app
NOTE = "images"  # kept with the plan of a run, so that the run can be continued
_LEFT_OUT = ("build", "rebuild", "pull")  # pull: ImagePull stands for it
ONLY_RUNNING = ("intruder", "harden")  # probes that need a running container, which a job that has ended is not
_UPDATE = {
    "total": (Unit.SECONDS, "wall time"),
    "download": (Unit.SECONDS, "the part until the last layer has arrived"),
    "unpack": (Unit.SECONDS, "time spent unpacking, partly while other layers still arrive"),
    "fetched": (Unit.BYTES, "compressed bytes of the layers that the machine did not have"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The request: images by file or name, and how a container of them shows that it works.

    `path` is an HTTP path that answers 200, `log` a text of a log line; `until_exit` is for jobs. Without any of them
    the port accepts a connection. `timeout` is how long (s) that may take.
    """

    names: tuple[str, ...]
    port: int = 0
    path: str = ""
    log: str = ""
    until_exit: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        asked = [bool(self.path), bool(self.log), self.until_exit]
        if sum(asked) > 1:
            raise UsageError("more than one sign of readiness", fix="Use one of --ready, --ready-log and --until exit.")
        if not self.names:
            raise UsageError("no image", fix="Name one or more: `tare measure app:1 app:2`.")
        if not self.port and not self.log and not self.until_exit:
            fix = "Add --port PORT, --ready-log TEXT, or --until exit for a job."
            raise UsageError("how does a container show that it works?", where=self.names[0], fix=fix)
        if self.path and not self.path.startswith("/"):
            raise UsageError(f"{self.path!r} is no path", where="--ready", fix="Write it as /health.")

    @property
    def ready(self) -> Readiness:
        if self.until_exit:
            return Exit()
        if self.log:
            return LogLine(self.log)
        return Request(self.path) if self.path else Connection()

    @classmethod
    def of(cls, run: Run) -> Self:
        """The request of a stored run. Raises UsageError if it is a run of another kind."""
        note = run.manifest.plan.get(NOTE)
        if not isinstance(note, dict):
            raise UsageError("this run did not measure images", where=run.id, fix="See `tare runs`.")
        try:
            stored: dict[str, Any] = {**note, "names": tuple(note["names"])}
            images = cls(**stored)
            check(images)
        except (KeyError, TypeError, AttributeError) as error:
            fix = "Measure the images anew."
            raise UsageError(f"its plan is not a request for images: {error}", where=run.id, fix=fix) from error
        return images


class ImagePull(PullProbe):
    """A pull to an empty node with the start that follows, and a pull to a node that has the first image."""

    states = ("empty", "update")
    reports: ClassVar = {"empty": "pull.empty.total", "deploy": "deploy.total"}
    metrics = (
        *(metric for metric in PullProbe.metrics if metric.state == "empty"),
        *(
            Metric(
                name=f"pull.update.{name}",
                state="update",
                phases=name == "total",
                unit=unit,
                help=f"{text} (pull to a machine that has the first image)",
            )
            for name, (unit, text) in _UPDATE.items()
        ),
    )

    def __init__(self) -> None:
        self._first: Prepared | None = None

    def begin(self, state: RunState, cells: Sequence[Prepared]) -> None:  # noqa: ARG002 - as Probe has it
        self._first = min(cells, key=lambda cell: cell.cell.strategy.rank)

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        with lab.nodes.fresh() as node:
            yield "empty", lambda: self._deploy(lab, state, node, cell)
        first = self._first or cell
        with lab.nodes.fresh() as node:
            node.engine.pull(f"{node.registry}/{first.repository}:current")
            name = f"{node.registry}/{cell.repository}:current"
            yield "update", lambda: reading("pull.update", node.engine.pull(name), cell.manifest)


@contextmanager
def generated(catalogue: Catalogue, images: Images) -> Iterator[Catalogue]:
    """A catalogue with a cell for each image, on the bases of `catalogue`. Its folder is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tare-images-") as name:
        folder, source = Path(name), Path(name, "source")
        source.mkdir()  # and stays empty: there is no app folder
        nothing = Edit(file="", find="", replace="")
        app = App(
            name=APP,
            title="Images",
            language="",
            path=source,
            port=images.port,
            ready=images.ready,
            verify=(),
            source_change=nothing,
            dependency_change=nothing,
            env=images.env,
            start_timeout=images.timeout,
        )
        cells = []
        for rank, (image, row) in enumerate(zip(images.names, rows(images.names), strict=True)):
            path = Path(image)
            archive = path.absolute() if path.exists() else None
            text = "file" if archive else "reference"
            way = Strategy(name=row, title=image, summary=f"{text} {image}", trades="", path=folder, rank=rank)
            dockerfile = folder / f"{row}.Dockerfile"
            dockerfile.write_text(f"# not built: {text} {image}\n", encoding="utf-8")
            reference = "" if archive else image
            cells.append(Cell(app=app, strategy=way, dockerfile=dockerfile, archive=archive, reference=reference))
        strategies = tuple(cell.strategy for cell in cells)
        yield replace(catalogue, apps=(app,), strategies=strategies, cells=tuple(cells), problems=())


def rows(names: Sequence[str]) -> list[str]:
    """A name for the row of each image: the last part of its name, in the letters that an id may have, each once."""
    found: list[str] = []
    for name in names:
        last = re.sub(r"\.(tar|tgz|oci)(\.gz)?$", "", name.rstrip("/").rpartition("/")[2].partition("@")[0])
        plain = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-") or "image"
        row, number = plain, 2
        while row in found:
            row, number = f"{plain}-{number}", number + 1
        found.append(row)
    return found


def probes(images: Images, groups: Sequence[str] = ()) -> list[Probe]:
    """The probes for images; with `groups`, only the probes with a metric of these groups. Raises UsageError."""
    left_out = (*_LEFT_OUT, *(ONLY_RUNNING if images.until_exit else ()))
    found: list[Probe] = [probe for probe in all_probes() if probe.name not in left_out]
    found = sorted([*found, ImagePull()], key=lambda probe: probe.rank)
    return of_groups(found, groups, "an image")


def measure_images(
    root: Path,
    results: Path,
    catalogue: Catalogue,
    settings: Settings,
    display: Display,
    *,
    images: Images,
    groups: Sequence[str] = (),
    budget: float | None,
    blocks: int | None,
    seed: int | None = None,
    resume: Run | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Measure the images, or continue a run of them, and return the run's folder."""
    with generated(catalogue, images) as own:
        job = Job(
            root=root,
            results=results,
            catalogue=own,
            cells=own.cells,
            probes=probes(images, groups),
            budget=budget,
            blocks=blocks,
            seed=seed,
            resume=resume,
            note={NOTE: asdict(images), "command": "tox -e tare -- measure"},
            reporter=reporter or Reporter(),
            ready=str(images.ready),
        )
        return measure(job, settings, display)
