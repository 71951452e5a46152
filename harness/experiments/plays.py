"""Scenarios played out on a real engine: a probe for each, so that the runner stores every play as it ends.

Everything goes over one link of the bandwidth and round-trip time of the question: pulls and starts on fresh nodes, N
of them at once, and rebuilds with a push. Versions are stored in a registry of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from harness.cell.prepare import Prepared, Workshop
from harness.cell.start import Door, start_and_ask
from harness.engine.contract import ContainerSpec
from harness.errors import LabError, TryFailed
from harness.lab.bases.bases import BaseImage
from harness.lab.lab import Lab
from harness.lab.link import Link
from harness.lab.node import Node
from harness.lab.registry import Registry
from harness.lab.state import RunState
from harness.model import Cell, Metric, Status, Unit
from harness.probes.base import CellProbe, EngineProbe, Reading, Visit
from harness.scenarios.formulas import SCENARIOS, Question
from harness.settings import IMAGE_PREFIX

STORAGE = "storage"
SAME = "play.update-cold.same"  # metric that says which of its two plays a cell had
_PLAYED = "played"  # the one state


def metric_of(scenario: str) -> str:
    """The metric that a play of the scenario gives."""
    return f"play.{scenario}"


def _seconds(scenario: str) -> Metric:
    title = next(each.title for each in SCENARIOS if each.name == scenario)
    return Metric(name=metric_of(scenario), state=_PLAYED, unit=Unit.SECONDS, help=f"wall time: {title}")


class Play(CellProbe):
    """Plays one scenario out for a cell, once."""

    scenario: ClassVar[str]
    activity = "pulls"
    states = (_PLAYED,)
    reports: ClassVar = {}
    blocks = 1
    guess = 15.0

    def __init__(self, question: Question) -> None:
        self._question = question

    def impossible(self, lab: Lab) -> str:
        """Raises LabError if there cannot be several nodes side by side: the comparison needs them all."""
        if lab.nodes.kind in ("", "layers"):
            why = lab.nodes.impossible or "images can only be pulled to the engine itself"
            raise LabError(f"scenarios need several empty machines: {why}", fix="`tare doctor` shows what is missing.")
        return ""

    def _link(self, lab: Lab, target: str) -> Link:
        wire = self._question.wire
        megabits = wire.bits_per_second / 1e6
        return Link(lab.reaper, target, lab.bind, megabits=megabits, up_megabits=megabits, rtt=wire.rtt)

    def _reading(self, seconds: float, **more: float) -> Reading:
        return Reading({metric_of(self.scenario): seconds, **more})


# ── deploys ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _DeployPlay(Play):
    """A deployment to one fresh node."""

    @contextmanager
    def _node_after(self, lab: Lab, cell: Prepared, before: str) -> Iterator[tuple[Node, str]]:
        """A fresh node and its registry's address on the link, after a pull of `before` ("": of nothing)."""
        with lab.nodes.fresh() as node, self._link(lab, node.registry) as link:
            if before:
                # like a node that deployed the previous version: from the same registry, so the engine knows its layers
                node.engine.pull(f"{link.address}/{cell.repository}:{before}")
            yield node, link.address


class FirstPlay(_DeployPlay):
    name = "play-first"
    scenario = "first"
    rank = 91
    metrics = (_seconds("first"),)

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:  # noqa: ARG002 - as CellProbe has it
        with self._node_after(lab, cell, "") as (node, registry):
            yield _PLAYED, lambda: self._reading(_deploy(lab, node, registry, cell, "current"))


class UpdatePlay(_DeployPlay):
    name = "play-update"
    scenario = "update"
    rank = 92
    metrics = (_seconds("update"),)

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:  # noqa: ARG002 - as CellProbe has it
        with self._node_after(lab, cell, "current") as (node, registry):
            yield _PLAYED, lambda: self._reading(_deploy(lab, node, registry, cell, "changed"))


class UpdateColdPlay(_DeployPlay):
    """If builds are not reproducible, the version before shares nothing with the new one but the base: a node that has
    the base represents it.

    `known` says by cell id whether the builds of earlier sessions were reproducible.
    """

    name = "play-update-cold"
    scenario = "update-cold"
    rank = 93
    metrics = (
        _seconds("update-cold"),
        Metric(
            name=SAME,
            state=_PLAYED,
            unit=Unit.BOOLEAN,
            help="1 if the version before shared its layers because the cell builds reproducibly, 0 if only the base",
        ),
    )

    def __init__(self, question: Question, known: Mapping[str, bool]) -> None:
        super().__init__(question)
        self._known = known

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        rebuilt = state.rebuilt(cell.cell.id)
        same = self._known.get(cell.cell.id) if rebuilt is None else not rebuilt
        if same is None:
            raise TryFailed(Status.ERROR, "no build without cache says whether the layers stay the same")
        before, after = ("current", "changed") if same else ("base" if cell.base_manifest else "", "current")
        with self._node_after(lab, cell, before) as (node, registry):
            yield (
                _PLAYED,
                lambda: self._reading(_deploy(lab, node, registry, cell, after), **{SAME: float(same)}),
            )


class ScalePlay(Play):
    name = "play-scale"
    scenario = "scale"
    rank = 94
    metrics = (_seconds("scale"),)

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:  # noqa: ARG002 - as CellProbe has it
        count = self._question.nodes
        with ExitStack() as stack:
            nodes = [stack.enter_context(lab.nodes.fresh()) for _ in range(count)]
            link = stack.enter_context(self._link(lab, nodes[0].registry))
            pool = stack.enter_context(ThreadPoolExecutor(count))
            yield _PLAYED, lambda: self._at_once(pool, lab, nodes, link.address, cell)

    def _at_once(
        self, pool: ThreadPoolExecutor, lab: Lab, nodes: Sequence[Node], registry: str, cell: Prepared
    ) -> Reading:
        began = time.monotonic()
        for done in [pool.submit(_deploy, lab, node, registry, cell, "current") for node in nodes]:
            done.result()
        return self._reading(time.monotonic() - began)


def _deploy(lab: Lab, node: Node, registry: str, cell: Prepared, name: str) -> float:
    """s of the pull, and from the create call to the first valid answer."""
    app, image = cell.cell.app, f"{registry}/{cell.repository}:{name}"
    env = lab.services.env(cell.cell, on_node=True)
    spec = ContainerSpec(image=image, env=env, network="host", limits=lab.limits)
    began = time.monotonic()
    node.engine.pull(image)
    pulled = time.monotonic() - began
    times = start_and_ask(node.engine, spec, Door.of(app, node.address, app.port))
    node.engine.remove(times.container)
    return pulled + times.ready - times.called


# ── builds ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class RebuildPlay(Play):
    """A build after a source change, and its push to a registry that has the version before."""

    name = "play-rebuild"
    scenario = "rebuild"
    activity = "builds"
    rank = 95
    metrics = (_seconds("rebuild"),)
    cold: ClassVar = False

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        workshop, tag = Workshop(lab, state), f"{IMAGE_PREFIX}cell/{cell.cell.id}:rebuilt"
        with self._link(lab, lab.registry.pull) as link:
            repository = f"{link.address}/{cell.repository}"
            _push_unchanged(lab, workshop, cell.cell, f"{repository}:before")
            if self.cold and lab.may_prune:
                lab.engine.prune_builds()
            try:
                yield _PLAYED, lambda: self._rebuild(lab, state, workshop, cell.cell, tag, f"{repository}:rebuilt")
            finally:
                lab.engine.remove_image(tag)

    def _rebuild(self, lab: Lab, state: RunState, workshop: Workshop, cell: Cell, tag: str, reference: str) -> Reading:
        built = workshop.build(
            cell,
            tag,
            edit=cell.app.source_change,
            number=state.next_edit(),
            no_cache=self.cold and lab.cold_without_cache,
        )
        began = time.monotonic()
        _push(lab, tag, reference)
        return self._reading(built.seconds + time.monotonic() - began)


class RebuildColdPlay(RebuildPlay):
    name = "play-rebuild-cold"
    scenario = "rebuild-cold"
    rank = 96
    metrics = (_seconds("rebuild-cold"),)
    cold = True


class StoragePlay(EngineProbe):
    """Bytes that a separate registry has on disk after the requested number of versions of every cell, each from a real
    edit. All cells share the registry, so it is one play for all of them.
    """

    name = "play-storage"
    activity = "builds"
    rank = 97
    states = (_PLAYED,)
    reports: ClassVar = {}
    blocks = 1
    guess = 20.0
    metrics = (
        Metric(
            name=metric_of(STORAGE),
            state=_PLAYED,
            unit=Unit.BYTES,
            help="bytes that a registry stores for all versions of all cells",
        ),
    )

    def __init__(self, question: Question, cells: Sequence[Cell]) -> None:
        self._question = question
        self._cells = tuple(cells)

    def visit_engine(self, lab: Lab, state: RunState) -> Visit:
        lab.have_bases(self._cells, state)  # of the apps that the run has not come to yet, too
        yield _PLAYED, lambda: self._store(lab, state)

    def _store(self, lab: Lab, state: RunState) -> Reading:
        workshop = Workshop(lab, state)
        with lab.reaper.scope() as scope, Registry(lab.settings, scope, address=lab.bind) as registry:
            for cell in self._cells:
                repository = f"{registry.push}/{IMAGE_PREFIX}stored/{cell.id}"
                tag = f"{IMAGE_PREFIX}cell/{cell.id}:version"
                if cell.base and isinstance(base := lab.bases[cell.base], BaseImage):
                    # a push finds the base's layers, as in the lab's registry, and does not compress them anew
                    lab.store.publish(base, f"{IMAGE_PREFIX}stored/{cell.id}", "base", to=registry.push)
                _push_unchanged(lab, workshop, cell, f"{repository}:v1")
                for version in range(2, self._question.versions + 1):
                    workshop.build(cell, tag, edit=cell.app.source_change, number=state.next_edit())
                    try:
                        _push(lab, tag, f"{repository}:v{version}")
                    finally:
                        lab.engine.remove_image(tag)
            return Reading({metric_of(STORAGE): float(registry.stored_bytes())})


def _push_unchanged(lab: Lab, workshop: Workshop, cell: Cell, reference: str) -> None:
    """Push the version before a change, built with the present cache. If a build is not reproducible, an image from
    before the cache was emptied shares nothing with a build from the present cache.
    """
    tag = f"{IMAGE_PREFIX}cell/{cell.id}:unchanged"
    workshop.build(cell, tag)
    try:
        _push(lab, tag, reference)
    finally:
        lab.engine.remove_image(tag)


def _push(lab: Lab, image: str, reference: str) -> None:
    engine = lab.engine
    engine.tag(image, reference)
    try:
        engine.push(reference)
    finally:
        engine.remove_image(reference)
