"""A lab on the engine in memory, and a run in it: everything a runner does, without an engine, a registry or a node."""

from __future__ import annotations

import gzip
import hashlib
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.engine.contract import ContainerSpec, Step
from harness.engine.fake.behaviour import Behaviour, FakeProgram
from harness.engine.fake.engine import FakeEngine
from harness.engine.fake.image import FakeImage
from harness.errors import BuildFailed
from harness.host.quiet import Quiet
from harness.image.context import BuildContext
from harness.image.manifest import Blob, ImageManifest
from harness.lab.bases.bases import BaseImage
from harness.lab.lab import Lab
from harness.lab.node import Node
from harness.lab.origins import KnownFiles
from harness.lab.services import Services
from harness.lab.state import RunState
from harness.lab.test_bed import Holder, TestBed
from harness.ledger import Ledger
from harness.model import App, Cell, Edit, Environment, Request, Strategy
from harness.probes.base import EngineProbe, Probe
from harness.run.plan import Further, Plan, ProbePlan
from harness.run.progress import Progress
from harness.run.runner import Runner
from harness.settings import Settings
from harness.store.run import CellInfo, Manifest, Run, read_run
from harness.store.writer import RunWriter
from harness.text.display import Display

REGISTRY = "registry.test:5000"
HOLDER = Holder("tare.local/holder:latest", ("pause",))
PORT = 8080


def make_cell(folder: Path, app: str, strategy: str = "slim", *, rank: int = 1) -> Cell:
    """A cell of an app with one source file, in a folder of its own below `folder`."""
    source = folder / "apps" / app
    source.mkdir(parents=True, exist_ok=True)
    (source / "main").write_text("version 0\n")
    edit = Edit("main", "version 0", "version {n}")
    of = App(
        name=app,
        title=app.capitalize(),
        language="go",
        path=source,
        port=PORT,
        ready=Request("/"),
        verify=(Request("/", equals="ok"),),
        source_change=edit,
        dependency_change=edit,
        start_timeout=2.0,
    )
    dockerfile = folder / f"{app}-{strategy}.Dockerfile"
    dockerfile.write_text(f"FROM scratch\nCOPY . /{strategy}\n")
    way = Strategy(name=strategy, title=strategy.capitalize(), summary="", trades="", path=folder, rank=rank)
    return Cell(app=of, strategy=way, dockerfile=dockerfile)


class Apps(Behaviour):
    """Every image answers "ok". A build whose tag has one of `broken` in it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: tuple[str, ...] = ()

    def build(self, tag: str, instructions: Sequence[str], cached: bool) -> tuple[Step, ...]:
        if any(name in tag for name in self.broken):
            raise BuildFailed("exit code: 1", log="the log")
        return super().build(tag, instructions, cached)

    def program(self, spec: ContainerSpec) -> FakeProgram:
        if spec.image == HOLDER.image:
            return FakeProgram()
        return FakeProgram(answer=lambda method, path: (200, b"ok"))


class FakeRegistry:
    """What the engines in memory have pushed, as a registry shows it: layers gzipped, manifests with their sizes."""

    push = pull = REGISTRY

    def __init__(self, images: dict[str, FakeImage]) -> None:
        self._images = images

    def manifest(self, repository: str, reference: str, *, architecture: str = "") -> ImageManifest:
        image = self._images[f"{REGISTRY}/{repository}:{reference}"]
        blobs = [blob_of(image.config), *(blob_of(gzip.compress(layer, mtime=0)) for layer in image.layers)]
        return ImageManifest(image.manifest_digest, "application/json", blobs[0], tuple(blobs[1:]))

    def stored_bytes(self) -> int:
        return sum(len(layer) for image in self._images.values() for layer in image.layers)


def blob_of(data: bytes) -> Blob:
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), "")


class FakeNodes:
    """Nodes that are engines in memory, each at a loopback address of its own."""

    kind = "namespace"
    impossible = ""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._made = 0

    @contextmanager
    def fresh(self) -> Iterator[Node]:
        self._made += 1
        host = f"127.99.{self._made // 250}.{1 + self._made % 250}"
        engine = FakeEngine(
            self._engine.behaviour, registry=self._engine.registry, origin="node", addresses=True, host=host
        )
        try:
            yield Node(engine=engine, kind=self.kind, address=host, registry=REGISTRY, started=0.0)
        finally:
            engine.close()


class QuietMonitor:
    """A machine on which nobody else works."""

    def __init__(self) -> None:
        self.waits = 0

    def wait(self, patience: float = 0.0) -> Quiet:
        self.waits += 1
        return Quiet(0.0, 0.0, True)

    def mark(self) -> None:
        pass


class Loaded:
    """A store of bases that the engine knows already."""

    def load(self, engine: FakeEngine, images: Iterable[BaseImage]) -> None:
        assert all(engine.inspect(image.name) for image in images)

    def publish(self, *_: object, to: str = "") -> None:
        """No base lies in the registry before it is pushed."""


def fake_lab(
    folder: Path, cells: Sequence[Cell], engine: FakeEngine | None = None, *, bases: Sequence[str] = ()
) -> Lab:
    """A lab for `cells`; `bases` are roles whose image the engine has."""
    engine = engine or FakeEngine(Apps(), origin="private", addresses=True)
    engine.build(context=BuildContext.of_files({}, dockerfile="FROM scratch"), tag=HOLDER.image)
    known = {}
    for role in bases:
        name = f"tare.local/base/{role}:1"
        context = BuildContext.of_files({role: b"base"}, dockerfile="FROM scratch")
        image = engine.build(context=context, tag=name).image
        known[role] = BaseImage(role=role, name=name, image_id=image, diff_ids=(), lane="packages", provenance={})
    store = Loaded()
    apps = tuple({cell.app.name: cell.app for cell in cells}.values())
    strategies = tuple({cell.strategy.name: cell.strategy for cell in cells}.values())
    return Lab(
        settings=Settings(cache=folder / "cache"),
        catalogue=Catalogue(apps=apps, strategies=strategies, bases={}, release="", cells=tuple(cells)),
        reaper=None,
        network=None,
        engine=engine,
        depot=None,
        registry=FakeRegistry(engine.registry),
        shelf=None,
        nodes=FakeNodes(engine),
        store=store,
        bases=known,
        test_bed=TestBed(engine, [PORT], HOLDER),
        services=Services(engine, store, known, None, "127.0.0.1"),
        security=None,
        files=KnownFiles(engine, folder),
        no_tool="",
        unseen="",
        monitor=QuietMonitor(),
        bind="127.0.0.1",
        notes={},
    )


class FakeRun:
    """Runs of `probes` over cells of the apps `names`, all in one results folder below `folder`."""

    def __init__(self, folder: Path, probes: Sequence[Probe], names: Sequence[str] = ("a", "b", "c")) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.probes = list(probes)
        self.cells = [make_cell(folder, name) for name in names]
        self.one_row = True  # all cells are compared with each other, though each is of an app of its own
        self.behaviour = Apps()
        self.engine = FakeEngine(self.behaviour, origin="private", addresses=True)
        self.lab = fake_lab(folder, self.cells, self.engine)
        self.out = io.StringIO()
        self.display = Display(self.out)
        self.clock = time.monotonic
        self.efforts: dict[str, float] = {}
        self.further: Iterator[Further] = iter(())  # what is asked for once the plan is done
        self.reported: list[str] = []  # apps, as their tables could be written

    def close(self) -> None:
        self.engine.close()

    def plan(self, *, blocks: int | None = 3, budget: float | None = None) -> Plan:
        plans = tuple(
            ProbePlan(name=p.name, blocks=p.blocks, guess=0.01, of_engine=isinstance(p, EngineProbe))
            for p in self.probes
        )
        apps = () if self.one_row else tuple(cell.app.name for cell in self.cells)
        names = tuple(cell.id for cell in self.cells)
        return Plan(cells=names, apps=apps, probes=plans, seed=3, budget=budget, blocks=blocks)

    def run(self, blocks: int | None = 3, *, budget: float | None = None, resume: Path | None = None) -> Run:
        """Run the plan to its end, or go on with a run."""
        before = read_run(resume) if resume else None
        plan = self.plan(blocks=blocks, budget=budget)
        manifest = Manifest(
            environment=Environment(facts={"engine": "fake"}),
            seed=3,
            metrics=tuple(metric for probe in self.probes for metric in probe.metrics),
            cells=tuple(CellInfo.of(cell) for cell in self.cells),
        )
        writer = RunWriter.resume(resume) if resume else RunWriter.create(self.results, manifest)
        with writer:
            self.ledger = Ledger(self.clock)
            self.runner = Runner(
                lab=replace(self.lab),
                state=RunState(),
                plan=plan,
                probes=self.probes,
                cells=self.cells,
                writer=writer,
                display=self.display,
                ledger=self.ledger,
                progress=Progress(plan, self.probes, before.tries() if before else (), efforts=self.efforts),
                report=self.reported.append,
                further=lambda: next(self.further, None),
            )
            self.runner.run()
        return read_run(writer.folder)

    def stored(self) -> Path:
        """The one run folder."""
        (folder,) = self.results.iterdir()
        return folder
