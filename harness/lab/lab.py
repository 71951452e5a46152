"""The lab: all the equipment of a run, opened in order and closed in reverse."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engine.kept_root import KeptRoots
from harness.engine.limits import Limits
from harness.engine.provision import provision, roots_of
from harness.errors import BaseUnavailable, EngineError, LabError
from harness.host.network import Network, address_towards
from harness.host.quiet import Monitor
from harness.host.reaper import Reaper, sweep
from harness.lab.apt.security import Security
from harness.lab.bases.bases import BaseImage, Bases
from harness.lab.depot.depot import Depot
from harness.lab.engine_packages import EnginePackages
from harness.lab.kept_images import Shelf
from harness.lab.locality import locality
from harness.lab.node import Nodes
from harness.lab.origins import KnownFiles
from harness.lab.reach import ELSEWHERE, Reach
from harness.lab.registry import Registry, RegistryReader
from harness.lab.registry_in_engine import RegistryInEngine
from harness.lab.services import Services
from harness.lab.state import RunState
from harness.lab.test_bed import (
    TOOL_BASE,
    TOOL_HOLDER,
    TOOL_IMAGE,
    Holder,
    TestBed,
    have_tool,
    in_background,
    shell_holder,
)

if TYPE_CHECKING:
    from harness.catalogue.catalogue import Catalogue
    from harness.engine.contract import Engine
    from harness.engine.docker import DockerEngine
    from harness.ledger import Ledger
    from harness.model import Cell
    from harness.settings import Settings

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_LOOPBACK = "127.0.0.1"
_DIND_BASE = "node-dind"


@dataclass(kw_only=True)
class Lab:
    """The equipment. `bind` is the address of this machine that nodes and builds reach."""

    settings: Settings
    catalogue: Catalogue
    reaper: Reaper
    network: Network | None
    engine: Engine
    depot: Depot | None
    registry: RegistryReader
    shelf: Shelf | None  # None if every image has to be built
    nodes: Nodes
    store: Bases
    bases: dict[str, BaseImage | BaseUnavailable]  # the bases that were made or found so far, by role
    test_bed: TestBed
    services: Services
    security: Security
    files: KnownFiles
    no_tool: str  # why there is no tool image; "" if there is one
    unseen: str  # why the engine does not see files of this machine; "" if it does
    monitor: Monitor
    bind: str
    notes: dict[str, str]
    limits: Limits = field(default_factory=Limits)

    def have_bases(self, cells: Iterable[Cell], state: RunState) -> None:
        """Make or find the bases of the cells that are missing. If a base is not available, the reason is kept."""
        missing = sorted(_roles(cells) - self.bases.keys())
        if missing:
            self.bases.update(self.store.ensure(missing, self.engine))
            if self.shelf:
                state.keep_images(*(base.name for base in _had(self.bases, *missing)))

    @property
    def reach(self) -> Reach:
        """What cannot be done with this engine, and why."""
        said = Reach.of(self.engine.info, droppable=can_drop_page_cache())
        files = said.files or self.unseen or self.no_tool
        return replace(said, files=files, tool=self.no_tool, node=self.nodes.impossible)

    @property
    def may_prune(self) -> bool:
        """Whether Tare may empty the build cache. A user's engine builds without cache instead."""
        return self.engine.info.origin == "private"

    @property
    def cold_without_cache(self) -> bool:
        """Whether a cold build has to be asked for without the cache, because the cache cannot be emptied: a user's
        cache is not ours, and podman's also consists of the images that later builds rest on.
        """
        return not self.may_prune or self.engine.info.kind == "podman"

    @property
    def build_network(self) -> str:
        """The network that builds use. Without a depot they fetch packages directly, which only the host's own network
        can do.
        """
        return "default" if self.depot or self.engine.info.origin == "system" else "host"

    @property
    def lane(self) -> str:
        lanes = sorted({base.lane for base in self.bases.values() if isinstance(base, BaseImage)})
        return "+".join(lanes) or "none"

    @contextmanager
    def apart(self) -> Iterator[Lab]:
        """This lab with another test bed, for work that runs beside other work."""
        test_bed = self.test_bed.another()
        try:
            yield replace(self, test_bed=test_bed)
        finally:
            test_bed.close()

    def drop_page_cache(self) -> bool:
        """Write back and drop what the kernel caches of files; False if that is not possible."""
        if not (self.engine.info.local and can_drop_page_cache()):
            return False
        os.sync()
        _DROP_CACHES.write_text("3\n")
        return True


def can_drop_page_cache() -> bool:
    return sys.platform == "linux" and os.access(_DROP_CACHES, os.W_OK)


@contextmanager
def open_lab(
    settings: Settings,
    catalogue: Catalogue,
    cells: Iterable[Cell],
    state: RunState,
    *,
    lazily: bool = False,
    track: str = "",
    budget: float | None = None,
    say: Callable[[str], None],
    ledger: Ledger,
) -> Iterator[Lab]:
    """Open everything the cells need. Raises EngineUnavailable or LabError; a base that is not available fails only the
    cells that name it. `lazily`: the bases of cells come with Lab.have_bases. Track "pinned" goes on with the bases
    there are; "floating" takes today's, and keeps them apart from the bases of other runs. `budget` (s) bounds a build.
    """
    cells = tuple(cells)
    notes: dict[str, str] = {}
    with ExitStack() as stack:
        with ledger.spend("setting up"):
            if swept := sweep(settings.cache):
                say(f"removed what an earlier run left: {', '.join(swept)}")
            reaper = stack.enter_context(Reaper(settings.cache))
            network = _network(reaper, stack, notes)
            roots = KeptRoots(roots_of(settings)) if settings.images != "anew" else None
            unpacker = EnginePackages(settings.cache, announce=say)
            provided = provision(
                settings,
                reaper,
                network,
                announce=say,
                roots=roots,
                unpacker=unpacker,
                release=catalogue.release,
            )
            engine = provided.engine
            stack.callback(engine.close)
            if roots:
                stack.callback(_keep, roots, engine, state, say)
            if engine.info.origin == "system":
                stack.enter_context(_claimed(settings, engine))
            bind = network.address if network else _LOOPBACK
            # an engine of our own is here; of any other that is proved first, by the tool
            ours = engine.info.origin == "private"
            own_registry = Registry(settings, reaper, address=bind, announce=say)
            registry: RegistryReader | None = stack.enter_context(own_registry) if ours else None
        with ledger.spend("bases"):
            own = replace(settings, cache=settings.cache / "floating") if track == "floating" else settings
            store = Bases(
                own,
                catalogue.bases,
                catalogue.release,
                pinned=track == "pinned",
                announce=say,
                registry=registry.push if registry else "",
            )
            wanted = {TOOL_BASE}
            # a node in a container is needed only if we cannot have namespaces of our own
            if settings.node == "dind" or (settings.node == "auto" and network is None):
                wanted.add(_DIND_BASE)
            # an A/B of kept images uses the bases of its night: only its services still need one
            anew = track == "floating" and any(cell.is_built for cell in cells)
            # bases that are made anew on one day must be made together, so that they fit together
            if anew or not lazily:
                wanted |= _roles(cells)
            bases = store.ensure(sorted(wanted), engine, refresh=anew)
            if not isinstance(bases[TOOL_BASE], BaseImage):  # any other base can replace it
                bases |= store.ensure(sorted(_roles(cells) - bases.keys()), engine)
            # the bases of cells are loaded when a cell first needs them, side by side with work that needs none
            if registry:
                store.load(engine, _had(bases, _DIND_BASE))
        with ledger.spend("setting up"):
            no_tool, making, holder = _tool(settings, engine, catalogue, store, bases)
            if making and registry:  # cells that need no tool yet are built meanwhile
                holder = stack.enter_context(in_background(making))
            elif making:  # the registry runs in the engine, held open by the tool
                making()
            unseen = "" if no_tool else _unseen(settings, engine, notes, say)
            if registry is None:
                registry = stack.enter_context(
                    own_registry if engine.info.local else RegistryInEngine(engine, reaper, announce=say)
                )
                store.pull_from(registry.push, engine)
                store.load(engine, _had(bases, _DIND_BASE))
            depot = _depot(settings, reaper, bind, engine, stack, notes, say)
            test_bed = TestBed(engine, (cell.app.port for cell in cells if cell.app.port), holder)
            stack.callback(test_bed.close)
            services = Services(engine, store, bases, reaper, bind)
            stack.callback(services.close)
            dind = bases.get(_DIND_BASE)
            nodes = Nodes(
                settings,
                reaper,
                network,
                engine,
                dind.name if isinstance(dind, BaseImage) else None,
                registry_port=int(registry.pull.rpartition(":")[2]),
                programs=provided.programs,
            )
            shelf = _shelf(settings, registry, depot)
            if shelf:
                state.keep_images(TOOL_IMAGE, *(base.name for base in _had(bases, *bases)))
        yield Lab(
            settings=settings,
            catalogue=catalogue,
            reaper=reaper,
            network=network,
            engine=engine,
            limits=Limits.of(engine.info.memory, budget),
            depot=depot,
            registry=registry,
            shelf=shelf,
            nodes=nodes,
            store=store,
            bases=bases,
            test_bed=test_bed,
            services=services,
            security=Security(catalogue.release),
            files=stack.enter_context(closing(KnownFiles(engine, settings.cache))),
            no_tool=no_tool,
            unseen=unseen,
            monitor=Monitor(),
            bind=bind,
            notes=notes,
        )


def _keep(roots: KeptRoots, engine: Engine, state: RunState, say: Callable[[str], None]) -> None:
    """Keep the images of our own engine if a later run may use them; otherwise they are removed with the engine."""
    if state.kept_images and engine.info.origin == "private" and engine.info.kind != "podman":
        say("keeping the images of this run's engine for the next run")
        if not roots.keep(engine, state.kept_images):
            say("the images could not be kept: the next run unpacks them again")


def _network(reaper: Reaper, stack: ExitStack, notes: dict[str, str]) -> Network | None:
    if reason := Network.impossible():
        notes["network"] = f"none: {reason}"
        return None
    return stack.enter_context(Network(reaper))


def _unseen(settings: Settings, engine: DockerEngine, notes: dict[str, str], say: Callable[[str], None]) -> str:
    """Why the engine does not see files of this machine; "" if it does, or if it is on another machine anyway.

    An engine that seems to be here and is not is treated as an engine on another machine from now on, because it does
    not use the page cache of this machine. An engine of our own is our child process, in our own root folder.
    """
    if engine.info.origin != "system" or not engine.info.local:
        return ""
    found = locality(engine, settings.cache)
    if reason := found.kernel or found.network:
        notes["locality"] = f"elsewhere: {reason}"
        say(f"engine: it looks like one on this machine, but {reason}: it is measured as one on another machine")
        engine.elsewhere()
    if found.files:
        notes["files"] = found.files
        say(f"engine: {found.files}: intruder.program and harden are not measured")
    return found.files


def _depot(
    settings: Settings,
    reaper: Reaper,
    bind: str,
    engine: Engine,
    stack: ExitStack,
    notes: dict[str, str],
    say: Callable[[str], None],
) -> Depot | None:
    reason = "TARE_DEPOT=off" if settings.depot == "off" else ""
    if not reason and bind == _LOOPBACK:
        reason = "builds cannot reach this machine's loopback address"
    if not reason and not engine.info.local:
        bind = address_towards(engine.info.endpoint)
        reason = "" if bind else f"{ELSEWHERE}, which this machine shares no private bridge with"
    try:
        if not reason:
            return stack.enter_context(Depot(settings, reaper, bind, announce=say))
    except LabError as error:
        reason = str(error)
    notes["depot"] = f"off: {reason}"
    say(f"depot: off ({reason}); builds fetch packages directly, and their times include the fetching")
    return None


def _shelf(settings: Settings, registry: RegistryReader, depot: Depot | None) -> Shelf | None:
    """Without a depot, which keeps its indexes for some hours, an image that is built anew may differ at any time."""
    if settings.images == "anew" or depot is None or registry.storage is None:
        return None
    return Shelf(settings.cache / "shelf", registry.storage)


def _roles(cells: Iterable[Cell]) -> set[str]:
    """The roles of all bases that the cells and their services stand on."""
    return {role for cell in cells for role in (*cell.roles, cell.base) if role}


def _had(bases: Mapping[str, BaseImage | BaseUnavailable], *roles: str) -> list[BaseImage]:
    return [base for role in roles if isinstance(base := bases.get(role), BaseImage)]


def _tool(
    settings: Settings,
    engine: Engine,
    catalogue: Catalogue,
    store: Bases,
    bases: Mapping[str, BaseImage | BaseUnavailable],
) -> tuple[str, Callable[[], None] | None, Holder]:
    """Why there is no tool image ("" if there is one), what makes it, and what holds the test bed open.

    Without the tool's base only floor and memory are not measured, because any base with a shell can hold a test bed
    open.
    """
    base = bases[TOOL_BASE]
    if isinstance(base, BaseImage):

        def make() -> None:
            argument = catalogue.bases[TOOL_BASE].argument
            have_tool(engine, argument, base.name, settings.cache, load=lambda: store.load(engine, (base,)))

        return "", make, TOOL_HOLDER
    for other in bases.values():
        if isinstance(other, BaseImage) and catalogue.bases[other.role].recipe != "distroless":
            store.load(engine, (other,))
            return str(base), None, shell_holder(other.name)
    raise LabError(f"no base is available: {base}", fix="See `tare doctor`.")


@contextmanager
def _claimed(settings: Settings, engine: Engine) -> Iterator[None]:
    """Use a user's engine as the only harness, and leave nothing of ours in it.

    Only one harness may use it, because cells are measured one at a time. So everything that carries our label at the
    start was left by a killed run. Raises LabError if another harness uses the engine.
    """
    name = hashlib.sha256(engine.info.endpoint.encode()).hexdigest()[:12]
    path = settings.cache / "leases" / f"engine-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                "another Tare uses this engine", where=engine.info.endpoint, fix="Wait until it ends."
            ) from None
        _forget(engine)
        try:
            yield
        finally:
            _forget(engine)


def _forget(engine: Engine) -> None:
    """Remove what is ours from a user's engine; a private one ends with everything in it."""
    for container in engine.containers():
        engine.remove(container)
    for image in engine.images():
        with contextlib.suppress(EngineError):  # an image that a container of the user is made from
            engine.remove_image(image)
