"""Making a cell ready to be measured: build it, prove that it answers, push it, and keep it there.

Pulls and starts measure the image that is built here; the build probe builds other images.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from harness.cell import ask
from harness.cell.foreign import bring
from harness.cell.start import LOG_TAIL, Door, start_and_ask
from harness.engine.contract import BuildResult, ContainerSpec
from harness.errors import BaseUnavailable, BuildFailed, EngineError, LabError, TryFailed, UsageError
from harness.image.context import BuildContext, edited
from harness.image.manifest import ImageManifest
from harness.lab.bases.bases import BaseImage
from harness.lab.kept_images import Kept, key_of
from harness.lab.lab import Lab
from harness.lab.state import RunState
from harness.ledger import Ledger
from harness.model import Cell, Edit, Status
from harness.settings import IMAGE_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A cell whose image is built, verified and pushed.

    `image` is the image of the unchanged app; the registry has it as `repository:current`. `repository:changed` is the
    image after the source change, and `repository:base` is the base of the last stage.
    """

    cell: Cell
    id: str  # image id
    image: str
    repository: str
    manifest: ImageManifest
    changed_manifest: ImageManifest
    base_manifest: ImageManifest | None  # None for scratch, and for an image that is not built
    log: str  # trace of its build
    diff_ids: tuple[str, ...]
    started: float  # s from the create call to the first valid answer, on a machine that may have been busy
    key: str = ""  # key of the image on the shelf; "" if it is not there
    kept: float = 0.0  # Unix time when an earlier run built it; 0: built in this session


class Workshop:
    """Builds, verifies and pushes cells in a lab.

    If it `rebuilds`, the bases of a kept image are loaded with the image. Otherwise the disk writes that follow a load
    would disturb the next timed build.
    """

    def __init__(self, lab: Lab, state: RunState, *, rebuilds: bool = False) -> None:
        self._lab = lab
        self._state = state
        self._rebuilds = rebuilds
        self.ledger = Ledger()  # account of this workshop's time

    def build(
        self,
        cell: Cell,
        tag: str,
        *,
        edit: Edit | None = None,
        number: int = 0,
        no_cache: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> BuildResult:
        """Build a cell's Dockerfile from its app, with an edit applied. `names` are other names of its bases, by role.

        Raises BaseUnavailable, BuildFailed or UsageError.
        """
        lab = self._lab
        # newer BuildKits date layers by it; older ones, and Dockerfiles that do not ask for it, ignore it
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        arguments: dict[str, str] = {"SOURCE_DATE_EPOCH": epoch} if epoch else {}
        for role in cell.bases:
            base = self._base(role)  # a node of kind "layers" may have removed it
            argument = lab.catalogue.bases[role].argument
            arguments[argument] = names[role] if names else base.name
        contexts = {
            image: names[role] if names else base.name
            for image, role in cell.stand_ins.items()
            if (base := self._base(role)).lane != "upstream"  # then the builder gets the image itself
        }
        changed = edited(cell.app, edit, number) if edit else None
        context = context_of(cell, changed)
        context.patterns()  # BuildKit's own message would name no file
        return lab.engine.build(
            context=context,
            tag=tag,
            arguments=arguments,
            secrets=lab.depot.secrets if lab.depot else None,
            secrets_for=lab.depot.secrets_for if lab.depot else None,
            network=lab.build_network,
            no_cache=no_cache,
            timeout=lab.limits.build,
            contexts=contexts,
        )

    def _base(self, role: str) -> BaseImage:
        """A base, loaded. Raises BaseUnavailable."""
        base = self._lab.bases[role]
        if isinstance(base, BaseUnavailable):
            raise base
        with self.ledger.spend("bases"):
            self._lab.store.load(self._lab.engine, (base,))
        return base

    def prepare(self, cell: Cell) -> Prepared:
        """An image of an earlier run is used if it is kept and its inputs are the same.

        Raises TryFailed with the reason and log tail if the cell cannot be built, does not answer rightly or cannot be
        pushed.
        """
        began = time.time()
        key = self._key(cell)
        if key and (prepared := self._kept(cell, key)):
            return prepared
        prepared = self._made(cell) if cell.is_built else self._fetched(cell)
        if key and self._lab.shelf:
            kept = Kept(image=prepared.id, diff_ids=prepared.diff_ids, log=prepared.log, at=began)
            if self._lab.shelf.put(key, prepared.repository, kept):
                self._state.keep_images(prepared.image)
                return replace(prepared, key=key)
        return prepared

    def is_kept(self, cell: Cell) -> bool:
        """Whether `prepare` finds an image of an earlier run."""
        key, shelf = self._key(cell), self._lab.shelf
        return bool(key and shelf and shelf.has(key))

    def _key(self, cell: Cell) -> str:
        """A key for all inputs of a cell's images; "" if the images must not be kept."""
        lab = self._lab
        if lab.shelf is None or not cell.is_built:
            return ""
        bases = [base for role in cell.bases if isinstance(base := lab.bases[role], BaseImage)]
        if len(bases) < len(cell.bases):
            return ""  # it cannot be built, and must not be measured as if it could
        try:
            inputs = [
                context_of(cell, changed).digest() for changed in (None, edited(cell.app, cell.app.source_change, 1))
            ]
        except (UsageError, OSError):
            return ""  # the build will report it
        info = lab.engine.info
        return key_of((
            cell.id,
            *(f"{base.image_id} {' '.join(base.diff_ids)}" for base in bases),
            *inputs,
            f"{info.kind} {info.version} {info.storage_driver} {info.image_store} {info.architecture}",
            os.environ.get("SOURCE_DATE_EPOCH", ""),
        ))  # fmt: skip

    def _kept(self, cell: Cell, key: str) -> Prepared | None:
        """The cell with its image from the shelf, verified; None if it has to be built."""
        lab, repository, image = self._lab, _repository(cell), _name(cell, "current")
        assert lab.shelf is not None
        kept = lab.shelf.take(key, repository)
        if kept is None:
            return None
        if self._rebuilds:
            for role in cell.bases:
                self._base(role)
        try:
            with self.ledger.spend("kept images"):
                if not lab.shelf.sound(repository):  # nodes pull it, though the engine may have it from an earlier run
                    raise LabError("the kept image is damaged", where=cell.id)
                if self._id(image) != kept.image:
                    self._fetch(repository, image)
                if self._id(image) != kept.image:
                    raise LabError("the kept image is a different image", where=cell.id)
                manifests = [lab.registry.manifest(repository, name) for name in ("current", "changed")]
                base = lab.registry.manifest(repository, "base") if cell.base else None
        except (EngineError, LabError):  # whatever is wrong with the kept image, build the cell
            lab.shelf.drop(key)
            return None
        with self.ledger.spend("starts"):
            started = self.verify(cell, image)
        self._state.keep_images(image)
        return Prepared(
            cell=cell,
            id=kept.image,
            image=image,
            repository=repository,
            manifest=manifests[0],
            changed_manifest=manifests[1],
            base_manifest=base,
            log=kept.log,
            diff_ids=kept.diff_ids,
            started=started,
            key=key,
            kept=kept.at,
        )

    def _made(self, cell: Cell) -> Prepared:
        """Build the cell's image and the image after its source change; verify and push both.

        The changed image is built while the first one is verified and pushed, because an engine compresses a layer on
        one thread and a build waits for disks and upstreams.
        """
        image, changed, repository = _name(cell, "current"), _name(cell, "changed"), _repository(cell)
        depot = self._lab.depot
        position = depot.position() if depot else 0
        with ExitStack() as stack:
            with self._building(position), self.ledger.spend("builds"):
                names = stack.enter_context(self._own_names(cell))
                result = self.build(cell, image, names=names)
            beside = stack.enter_context(ThreadPoolExecutor(1))
            change = beside.submit(self.build, cell, changed, edit=cell.app.source_change, number=1, names=names)
            with self.ledger.spend("starts"):
                started = self.verify(cell, image)
            with self.ledger.spend("push"):
                base_manifest = self._push_base(cell, repository)
                manifest = self._push_as(image, repository, "current")
            with self._building(position), self.ledger.spend("builds"):
                change.result()
        with self.ledger.spend("starts"):
            started = max(started, self._verify_changed(cell, changed))
        with self.ledger.spend("push"):
            changed_manifest = self._push_as(changed, repository, "changed")
        return self._described(
            cell, result, started, manifest=manifest, changed_manifest=changed_manifest, base_manifest=base_manifest
        )

    @contextmanager
    def _building(self, position: int = 0, *, verb: str = "built") -> Iterator[None]:
        """Raise TryFailed with the reason if a build fails; `position` is the length of the depot's log before the
        build.
        """
        depot = self._lab.depot
        try:
            yield
        except BuildFailed as error:
            at = f" at {error.step}" if error.step else ""
            reason = f"build failed{at}: {error.what}"
            if depot and (hosts := depot.unreachable(position)):
                reason = f"{', '.join(hosts)} could not be reached for packages: {reason}"
            raise TryFailed(Status.ERROR, reason, log=error.log) from error
        except (LabError, EngineError, UsageError, OSError) as error:
            raise TryFailed(Status.ERROR, f"cannot be {verb}: {error}") from error

    @contextmanager
    def _own_names(self, cell: Cell) -> Iterator[Mapping[str, str]]:
        """Names of the cell's bases that no other build uses at the same time, by role.

        The BuildKit of Docker 20.10 finds nothing in its cache for the steps after a FROM that another build names at
        the same time: a changed image would be built from scratch and share no layer with the image before. Steps that
        two builds have in common are still found by their content.
        """
        engine, names = self._lab.engine, {role: _name(cell, f"on-{role}") for role in cell.bases}
        try:
            for role, name in names.items():
                engine.tag(self._base(role).name, name)
            yield names
        finally:
            for name in names.values():
                engine.remove_image(name)

    def _fetched(self, cell: Cell) -> Prepared:
        """An image that is not built. It also stands for its changed image, because there is no image after a source
        change. It may be built on a base of another day, so no base goes with it."""
        engine, repository = self._lab.engine, _repository(cell)
        image, changed = _name(cell, "current"), _name(cell, "changed")
        with self._building(verb="fetched"), self.ledger.spend("builds"):
            id_, origin = bring(self._lab, cell, image=image, repository=repository)
            engine.tag(image, changed)
        with self.ledger.spend("starts"):
            started = self.verify(cell, image)
        with self.ledger.spend("push"):
            manifests = [self._push_as(each, repository, each.rpartition(":")[2]) for each in (image, changed)]
        result = BuildResult(image=id_, seconds=0.0, steps=(), log=f"{origin}\n")
        return self._described(cell, result, started, manifest=manifests[0], changed_manifest=manifests[1])

    def verify(self, cell: Cell, image: str) -> float:
        """Start the image and compare every answer; seconds until the first valid one.

        Raises TryFailed with the container's last lines.
        """
        engine, bed = self._lab.engine, self._lab.test_bed
        env = self._lab.services.env(cell)
        spec = ContainerSpec(image=image, env=env, network=bed.network, limits=self._lab.limits)
        port = bed.port(cell.app.port)
        started = start_and_ask(engine, spec, Door.of(cell.app, bed.address, port))
        try:
            ask.verify(bed.address, port, cell.app.verify)
        except TryFailed as error:
            raise TryFailed(error.status, error.reason, log=engine.logs(started.container, tail=LOG_TAIL)) from error
        finally:
            engine.remove(started.container)
        return started.ready - started.called

    def _verify_changed(self, cell: Cell, image: str) -> float:
        """The same for a changed image, in one strategy of each app, because the change is the same in all; otherwise 0
        s.
        """
        if not self._state.claim_change(cell.app.name, cell.id):
            return 0.0
        try:
            return self.verify(cell, image)
        except TryFailed:
            self._state.release_change(cell.app.name)  # so that another strategy can show what is wrong
            raise

    def _described(
        self,
        cell: Cell,
        built: BuildResult,
        started: float,
        *,
        manifest: ImageManifest,
        changed_manifest: ImageManifest,
        base_manifest: ImageManifest | None = None,
    ) -> Prepared:
        image = _name(cell, "current")
        info = self._lab.engine.inspect(image)
        assert info is not None
        return Prepared(
            cell=cell,
            id=built.image,
            image=image,
            repository=_repository(cell),
            manifest=manifest,
            changed_manifest=changed_manifest,
            base_manifest=base_manifest,
            log=built.log,
            diff_ids=info.diff_ids,
            started=started,
        )

    def _push_base(self, cell: Cell, repository: str) -> ImageManifest | None:
        """Push the base before what stands on it: a push then finds the base's layers, and compresses none anew."""
        if not cell.base:
            return None
        base = self._lab.bases[cell.base]
        assert not isinstance(base, BaseUnavailable)  # the image was built from it
        return self._lab.store.publish(base, repository, "base") or self._push_as(base.name, repository, "base")

    def _push_as(self, image: str, repository: str, name: str) -> ImageManifest:
        engine, registry = self._lab.engine, self._lab.registry
        reference = f"{registry.push}/{repository}:{name}"
        try:
            engine.tag(image, reference)
            try:
                engine.push(reference)
            finally:
                engine.remove_image(reference)
            return registry.manifest(repository, name, architecture=engine.info.architecture)
        except EngineError as error:
            raise TryFailed(Status.ERROR, f"cannot be pushed: {error}") from error

    def ensure(self, prepared: Prepared) -> None:
        """Fetch the cell's image back if a pull on this very engine has removed it (node kind "layers")."""
        if self._lab.engine.inspect(prepared.image) is None:
            self._fetch(prepared.repository, prepared.image)

    def _id(self, image: str) -> str:
        """The id of the engine's image of a name; "" if there is none."""
        info = self._lab.engine.inspect(image)
        return info.id if info else ""

    def _fetch(self, repository: str, image: str) -> None:
        engine, reference = self._lab.engine, f"{self._lab.registry.push}/{repository}:current"
        engine.pull(reference)
        engine.tag(reference, image)
        engine.remove_image(reference)


def context_of(cell: Cell, changed: Mapping[str, bytes] | None = None) -> BuildContext:
    """The build context of a cell: its app's folder with an edit laid over it. Raises UsageError."""
    return BuildContext.of_folder(cell.app.path, cell.dockerfile, changed=changed)


def _name(cell: Cell, name: str) -> str:
    return f"{IMAGE_PREFIX}cell/{cell.id}:{name}"


def _repository(cell: Cell) -> str:
    """A name that the engine recognises as ours, with the registry's host too."""
    return f"{IMAGE_PREFIX}{cell.id}"
