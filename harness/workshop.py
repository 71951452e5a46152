"""Making a cell ready to be measured: build it, prove that it answers, push it, and keep it there.

What is built here is what pulls and starts measure; the build probe builds anew beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import ask
from harness.context import edited, pack
from harness.engine.contract import BuildResult, ContainerSpec
from harness.errors import BaseUnavailable, BuildFailed, EngineError, TryFailed
from harness.lab.lab import Lab
from harness.lab.registry import Manifest
from harness.ledger import Ledger
from harness.model import Cell, Edit, Status
from harness.pullmodel import PullProfile
from harness.settings import IMAGE_PREFIX
from harness.startup import LOG_TAIL, Door, start_and_ask
from harness.surface.inspection import Inspection
from harness.surface.reproduce import Unlike

_DEPOT_MOUNT = re.compile(r"--mount=type=secret,id=tare-\S+ ")  # not the author's words, so not in what they read


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A cell whose image is built, verified and pushed.

    `image` is the app as it stands, `changed` the same after its source change; both are also in the registry, as
    `repository:current` and `repository:changed`, and the base of the last stage as `repository:base`.
    """

    cell: Cell
    id: str  # image id
    image: str
    changed: str
    repository: str
    manifest: Manifest
    changed_manifest: Manifest
    base_manifest: Manifest | None  # None for scratch
    built: BuildResult
    diff_ids: tuple[str, ...]
    profiles: list[PullProfile] = field(default_factory=list)  # of the pulls to empty nodes in this session
    inspections: list[Inspection] = field(default_factory=list)  # one at most: of the walk of the saved image
    unlike: list[Unlike] = field(default_factory=list)  # one at most: of the first build that gave another image
    peaks: list[int] = field(default_factory=list)  # B of memory, read after all right answers


class Workshop:
    """Builds, verifies and pushes cells in a lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.ledger = Ledger()  # of what this workshop spends its time on

    def build(
        self, cell: Cell, tag: str, *, edit: Edit | None = None, number: int = 0, no_cache: bool = False
    ) -> BuildResult:
        """Build a cell's Dockerfile from its app, with an edit applied. Raises BaseUnavailable or BuildFailed."""
        lab = self._lab
        # engines whose BuildKit knows it date layers by it; others, and Dockerfiles that do not ask, ignore it
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        arguments: dict[str, str] = {"SOURCE_DATE_EPOCH": epoch} if epoch else {}
        environs: dict[str, Mapping[str, str]] = {}
        for role in cell.bases:
            base = lab.bases[role]
            if isinstance(base, BaseUnavailable):
                raise base
            with self.ledger.spend("bases"):
                lab.store.load(lab.engine, (base,))  # a node of kind "layers" may have removed it
            argument = lab.catalogue.bases[role].argument
            arguments[argument] = base.name
            environs[argument] = self._environ(base.name)
        changed = edited(cell.app, edit, number) if edit else None
        text = cell.dockerfile.read_text(encoding="utf-8")
        if lab.depot:
            text = lab.depot.rewrite(text, environs)
        return lab.engine.build(
            context=pack(cell.app.path, text, changed=changed),
            tag=tag,
            arguments=arguments,
            secrets=lab.depot.secrets if lab.depot else None,
            network=lab.build_network,
            no_cache=no_cache,
        )

    def _environ(self, image: str) -> Mapping[str, str]:
        """Environment of an image: where tools look for their settings depends on it."""
        info = self._lab.engine.inspect(image)
        stated = info.config.get("Env") if info else None
        return dict(str(pair).split("=", 1) for pair in stated) if isinstance(stated, list) else {}

    def prepare(self, cell: Cell, *, built: Callable[[], None] = lambda: None) -> Prepared:
        """`built` is called once nothing is being built any more, come what may.

        Raises TryFailed with the reason and log tail where the cell cannot be built, answer rightly or be pushed.
        """
        try:
            image, changed, result = self._make(cell)
        finally:
            built()
        with self.ledger.spend("starts"):
            for name in (image, changed):
                self.verify(cell, name)
        try:
            with self.ledger.spend("push"):
                return self._push(cell, image, changed, result)
        except EngineError as error:
            raise TryFailed(Status.ERROR, f"cannot be pushed: {error}") from error

    def _make(self, cell: Cell) -> tuple[str, str, BuildResult]:
        """Names of the image and of the changed one, and how the first was built."""
        depot = self._lab.depot
        position = depot.position() if depot else 0
        image, changed = (f"{IMAGE_PREFIX}cell/{cell.id}:{name}" for name in ("current", "changed"))
        try:
            with self.ledger.spend("builds"):
                if cell.archive:
                    return image, changed, self._loaded(cell.archive, image, changed)
                result = self.build(cell, image)
                self.build(cell, changed, edit=cell.app.source_change, number=1)
                return image, changed, result
        except BuildFailed as error:
            where = f" at {error.step}" if error.step else ""
            reason = _DEPOT_MOUNT.sub("", f"build failed{where}: {error.what}")
            if depot and (hosts := depot.unreachable(position)):
                reason = f"{', '.join(hosts)} could not be reached for packages: {reason}"
            raise TryFailed(Status.ERROR, reason, log=_DEPOT_MOUNT.sub("", error.log)) from error
        except (BaseUnavailable, EngineError) as error:
            raise TryFailed(Status.ERROR, f"cannot be built: {error}") from error

    def _loaded(self, archive: Path, image: str, changed: str) -> BuildResult:
        """A kept image under both names: what its source change would have made was not kept."""
        engine = self._lab.engine
        id_ = engine.load(archive, tag=image)
        engine.tag(image, changed)
        return BuildResult(image=id_, seconds=0.0, steps=(), log=f"loaded from {archive.name}\n")

    def verify(self, cell: Cell, image: str) -> None:
        """Start the image and compare every answer. Raises TryFailed with the container's last lines."""
        engine, stage = self._lab.engine, self._lab.stage
        spec = ContainerSpec(image=image, env=self._lab.services.env(cell), network=stage.network)
        port = stage.port(cell.app.port)
        container = start_and_ask(engine, spec, Door.of(cell.app, stage.address, port)).container
        try:
            ask.verify(stage.address, port, cell.app.verify)
        except TryFailed as error:
            raise TryFailed(error.status, error.reason, log=engine.logs(container, tail=LOG_TAIL)) from error
        finally:
            engine.remove(container)

    def _push(self, cell: Cell, image: str, changed: str, built: BuildResult) -> Prepared:
        lab = self._lab
        repository = f"{IMAGE_PREFIX}{cell.id}"  # a name the engine knows as ours, behind the registry too
        manifest = self._push_as(image, repository, "current")
        changed_manifest = self._push_as(changed, repository, "changed")
        base_manifest = None
        if cell.base:
            base = lab.bases[cell.base]
            assert not isinstance(base, BaseUnavailable)  # the image was built from it
            base_manifest = self._push_as(base.name, repository, "base")
        info = lab.engine.inspect(image)
        assert info is not None
        return Prepared(
            cell=cell,
            id=built.image,
            image=image,
            changed=changed,
            repository=repository,
            manifest=manifest,
            changed_manifest=changed_manifest,
            base_manifest=base_manifest,
            built=built,
            diff_ids=info.diff_ids,
        )

    def _push_as(self, image: str, repository: str, name: str) -> Manifest:
        engine, registry = self._lab.engine, self._lab.registry
        reference = f"{registry.push}/{repository}:{name}"
        engine.tag(image, reference)
        try:
            engine.push(reference)
        finally:
            engine.remove_image(reference)
        return registry.manifest(repository, name)

    def ensure(self, prepared: Prepared) -> None:
        """Fetch the cell's image back where a pull on this very engine has removed it (node kind "layers")."""
        engine, registry = self._lab.engine, self._lab.registry
        if engine.inspect(prepared.image) is None:
            reference = f"{registry.push}/{prepared.repository}:current"
            engine.pull(reference)
            engine.tag(reference, prepared.image)
            engine.remove_image(reference)
