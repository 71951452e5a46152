"""Each scenario beside a real run of it: the formulas' error on this machine.

The parts are measured as a run measures them, without a shaped wire. Then every scenario is played out over one link of
the bandwidth and round-trip time asked for: pulls and starts on fresh nodes, N of them at once, rebuilds with a push,
versions stored in a registry of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cell.prepare import Prepared, Workshop
from harness.cell.start import Door, start_and_ask
from harness.engine.contract import ContainerSpec
from harness.errors import LabError, TryFailed
from harness.lab.lab import Lab
from harness.lab.link import Link
from harness.lab.node import Node
from harness.lab.registry import Registry
from harness.lab.state import RunState
from harness.ledger import Ledger
from harness.probes.build import BuildProbe
from harness.run.pace import Pace
from harness.run.visit import Bench, visit
from harness.scenarios.formulas import SCENARIOS, Estimate, Parts, Question, Typical, exact, of_samples, storage
from harness.scenarios.layer_sizes import CellLayers, ImageLayers
from harness.scenarios.pull_model import PullProfile, profile
from harness.settings import IMAGE_PREFIX

PULLS = 6  # unshaped pulls of each kind, for the parts: the fewest that have an interval
BUILDS = 2  # of each kind
LIMIT = 0.15  # a formula that is further off than this is wrong here; bytes must agree within BYTES_LIMIT
BYTES_LIMIT = 0.01  # a registry keeps manifests too
_BUILT = ("update-cold", "rebuild", "rebuild-cold")  # scenarios that need builds as parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One scenario, computed and played out; seconds, or bytes for storage."""

    cell: str
    scenario: str
    predicted: Estimate
    measured: float
    limit: float = LIMIT

    @property
    def error(self) -> float:
        """The formula's answer over the measurement, less one."""
        return self.predicted.value / self.measured - 1

    @property
    def holds(self) -> bool:
        return abs(self.error) <= self.limit


class Checker:
    """Plays scenarios out in a lab, one cell at a time. Raises LabError where nodes cannot be had side by side."""

    def __init__(
        self,
        lab: Lab,
        state: RunState,
        question: Question,
        say: Callable[[str], None],
        ledger: Ledger,
        *,
        only: Collection[str] = (),
    ) -> None:
        """`only` names the scenarios to play out; all where it is empty."""
        if lab.nodes.kind in ("", "layers"):
            why = lab.nodes.impossible or "the only node is the engine itself"
            raise LabError(f"scenarios need separate nodes: {why}", fix="`tare doctor` shows what is missing.")
        self._lab = lab
        self._question = question
        self._say = say
        self._only = only
        self._state = state
        self._workshop = Workshop(lab, state)
        self._bench = Bench(lab=lab, state=state, workshop=self._workshop)
        self._pace = Pace(lab.monitor, ledger)
        self._prepared: dict[str, Prepared] = {}
        self._parts: dict[str, Parts] = {}

    def cell(self, prepared: Prepared) -> Iterator[Check]:
        """Measure a cell's parts, then play out every scenario of it."""
        parts = self.measure(prepared)
        name = prepared.cell.id
        self._prepared[name], self._parts[name] = prepared, parts
        for scenario in SCENARIOS:
            if not self._wanted(scenario.name):
                continue
            play = self._plays()[scenario.name]
            predicted = scenario.compute(parts, self._question)
            assert predicted is not None
            self._say(f"{name}: {scenario.title}")
            self._pace.wait()
            yield Check(cell=name, scenario=scenario.name, predicted=predicted, measured=play(prepared))

    def _wanted(self, scenario: str) -> bool:
        return not self._only or scenario in self._only

    def _plays(self) -> Mapping[str, Callable[[Prepared], float]]:
        return {
            "first": self._first,
            "update": lambda prepared: self._update(prepared, before="current", after="changed"),
            "update-cold": self._update_cold,
            "scale": self._scale,
            "rebuild": lambda prepared: self._rebuild(prepared, cold=False),
            "rebuild-cold": lambda prepared: self._rebuild(prepared, cold=True),
        }

    # ── parts ──────────────────────────────────────────────────────────────────────────────────────────────────

    def measure(self, prepared: Prepared) -> Parts:
        """The parts of a cell, from pulls and builds without a shaped wire."""
        self._say(f"{prepared.cell.id}: measuring the parts of the formulas")
        empty: list[PullProfile] = []
        update: list[PullProfile] = []
        base: list[PullProfile] = []
        starts: list[float] = []
        for _ in range(PULLS):
            with self._lab.nodes.fresh() as node:
                self._pace.wait()
                empty.append(self._profiled(node, prepared, "current"))
                starts.append(self._start(node, node.registry, prepared, "current"))
                update.append(self._profiled(node, prepared, "changed"))
            with self._lab.nodes.fresh() as node:
                if prepared.base_manifest:
                    node.engine.pull(f"{node.registry}/{prepared.repository}:base")
                self._pace.wait()
                base.append(self._profiled(node, prepared, "current"))
        values: dict[str, list[float]] = {}
        probe = BuildProbe()
        for block in range(BUILDS if any(map(self._wanted, _BUILT)) else 0):
            for made in visit(self._bench, probe, prepared, block, wanted=probe.states, pace=self._pace):
                if not made.succeeded:
                    raise TryFailed(made.try_.status, f"{prepared.cell.id}: {made.try_.reason}", log=made.try_.log)
                for metric, value in made.try_.values.items():
                    values.setdefault(metric, []).append(value)
        bottom = prepared.base_manifest
        return Parts(
            cell=prepared.cell.id,
            app=prepared.cell.app.name,
            strategy=prepared.cell.strategy.name,
            empty=Typical.of(empty),
            update=Typical.of(update),
            base=Typical.of(base),
            start=of_samples(starts),
            cold=of_samples(values.get("build.cold", ())),
            source=of_samples(values.get("build.source", ())),
            reproducible=all(values["build.reproducible"]) if values else None,
            images=CellLayers(
                current=ImageLayers.of(prepared.manifest, bottom),
                changed=ImageLayers.of(prepared.changed_manifest, bottom),
            ),
        )

    def _profiled(self, node: Node, prepared: Prepared, name: str) -> PullProfile:
        manifest = prepared.changed_manifest if name == "changed" else prepared.manifest
        pulled = node.engine.pull(f"{node.registry}/{prepared.repository}:{name}")
        return profile(pulled, manifest.layers, partial=True)

    # ── plays: seconds ─────────────────────────────────────────────────────────────────────────────────────────

    def _link(self, target: str) -> Link:
        wire = self._question.wire
        megabits = wire.bits_per_second / 1e6
        return Link(self._lab.keeper, target, self._lab.bind, megabits=megabits, up_megabits=megabits, rtt=wire.rtt)

    def _first(self, prepared: Prepared) -> float:
        with self._lab.nodes.fresh() as node, self._link(node.registry) as link:
            return self._deploy(node, link.address, prepared, "current")

    def _update(self, prepared: Prepared, *, before: str, after: str) -> float:
        with self._lab.nodes.fresh() as node, self._link(node.registry) as link:
            # as a node that deployed the version before: from the same registry, so that the engine knows its layers
            node.engine.pull(f"{link.address}/{prepared.repository}:{before}")
            return self._deploy(node, link.address, prepared, after)

    def _update_cold(self, prepared: Prepared) -> float:
        """The version before shares nothing with the new one but the base: a node with the base stands for it."""
        parts = self._parts[prepared.cell.id]
        if parts.reproducible:
            return self._update(prepared, before="current", after="changed")
        return (
            self._update(prepared, before="base", after="current") if prepared.base_manifest else self._first(prepared)
        )

    def _scale(self, prepared: Prepared) -> float:
        count = self._question.nodes
        with ExitStack() as stack:
            nodes = [stack.enter_context(self._lab.nodes.fresh()) for _ in range(count)]
            link = stack.enter_context(self._link(nodes[0].registry))
            pool = stack.enter_context(ThreadPoolExecutor(count))
            self._pace.wait()
            began = time.monotonic()
            for done in [pool.submit(self._deploy, node, link.address, prepared, "current") for node in nodes]:
                done.result()
            return time.monotonic() - began

    def _deploy(self, node: Node, registry: str, prepared: Prepared, name: str) -> float:
        began = time.monotonic()
        node.engine.pull(f"{registry}/{prepared.repository}:{name}")
        pulled = time.monotonic()
        return pulled - began + self._start(node, registry, prepared, name)

    def _start(self, node: Node, registry: str, prepared: Prepared, name: str) -> float:
        app = prepared.cell.app
        spec = ContainerSpec(
            image=f"{registry}/{prepared.repository}:{name}",
            env=self._lab.services.env(prepared.cell, on_node=True),
            network="host",
        )
        times = start_and_ask(node.engine, spec, Door.of(app, node.address, app.port))
        node.engine.remove(times.container)
        return times.ready - times.called

    def _rebuild(self, prepared: Prepared, *, cold: bool) -> float:
        """A build after a source change, and its push to a registry that has the version before."""
        lab, app = self._lab, prepared.cell.app
        tag = f"{IMAGE_PREFIX}cell/{prepared.cell.id}:rebuilt"
        with self._link(lab.registry.pull) as link:
            self._push_unchanged(prepared, f"{link.address}/{prepared.repository}:before")
            if cold and lab.may_prune:
                lab.engine.prune_builds()
            self._pace.wait()
            try:
                built = self._workshop.build(
                    prepared.cell,
                    tag,
                    edit=app.source_change,
                    number=self._state.next_edit(),
                    no_cache=cold and not lab.may_prune,
                )
                began = time.monotonic()
                self._push(tag, f"{link.address}/{prepared.repository}:rebuilt")
                return built.seconds + time.monotonic() - began
            finally:
                lab.engine.remove_image(tag)

    def _push_unchanged(self, prepared: Prepared, reference: str) -> None:
        """Push the version before a change, built by the cache as it stands: where a build is not reproducible, an
        image that was built before the cache was emptied shares nothing with what is built from it now."""
        tag = f"{IMAGE_PREFIX}cell/{prepared.cell.id}:unchanged"
        self._workshop.build(prepared.cell, tag)
        try:
            self._push(tag, reference)
        finally:
            self._lab.engine.remove_image(tag)

    def _push(self, image: str, reference: str) -> None:
        engine = self._lab.engine
        engine.tag(image, reference)
        try:
            engine.push(reference)
        finally:
            engine.remove_image(reference)

    # ── plays: bytes ───────────────────────────────────────────────────────────────────────────────────────────

    def storage(self) -> Check:
        """All cells so far as if they were one strategy's, in as many versions as asked for, each from a real edit."""
        lab, versions = self._lab, self._question.versions
        self._say(f"storage of {versions} versions")
        # apps' names tell versions of one strategy apart; two strategies of one app are two apps here
        expected = storage(replace(parts, app=parts.cell) for parts in self._parts.values())
        assert expected is not None
        with lab.keeper.scope() as scope, Registry(lab.settings, scope, address=lab.bind) as registry:
            for prepared in self._prepared.values():
                repository = f"{registry.push}/{prepared.repository}"
                self._push_unchanged(prepared, f"{repository}:v1")
                for version in range(2, versions + 1):
                    tag = f"{IMAGE_PREFIX}cell/{prepared.cell.id}:version"
                    edit = prepared.cell.app.source_change
                    self._workshop.build(prepared.cell, tag, edit=edit, number=self._state.next_edit())
                    self._push(tag, f"{repository}:v{version}")
                    lab.engine.remove_image(tag)
            return Check(
                cell=" + ".join(self._prepared),
                scenario="storage",
                predicted=exact(expected.of(versions)),
                measured=float(registry.stored_bytes()),
                limit=BYTES_LIMIT,
            )


def check(
    root: Path, names: Sequence[str], question: Question, *, say: Callable[[str], None], only: Collection[str] = ()
) -> Iterator[Check]:
    """Play out every scenario for the cells named. Raises UsageError for cells that there are not, and LabError."""
    from harness.catalogue.read import read
    from harness.errors import UsageError
    from harness.lab.lab import open_lab
    from harness.settings import Settings

    settings = Settings.from_environ()
    catalogue = read(root)
    known = {cell.id: cell for cell in catalogue.cells}
    for name in names:
        if name not in known:
            raise UsageError("no cell has this name", where=name, fix=f"The cells are {', '.join(known)}.")
    cells = [known[name] for name in names]
    state, ledger = RunState(), Ledger()
    with open_lab(settings, catalogue, cells, state, say=say, ledger=ledger) as lab:
        checker = Checker(lab, state, question, say, ledger, only=only)
        for cell in cells:
            say(f"{cell.id}: building")
            yield from checker.cell(Workshop(lab, state).prepare(cell))
        yield checker.storage()
