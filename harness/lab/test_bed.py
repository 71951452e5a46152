"""The test bed: a network namespace, held open by a container of ours, that apps are started in.

A new network namespace takes about 85 ms, and the proxy of a published port accepts before the app listens
(facts-engine.md). An app that joins an existing namespace can be polled before it starts: a refused connection returns
at once, and only the app itself can answer.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness.engine.contract import ContainerSpec, Engine
from harness.errors import EngineError, LabError
from harness.host.files import replace_file, replacing
from harness.image.context import BuildContext
from harness.image.read import read_image
from harness.image.tar import Entry, Source
from harness.lab.tunnel import LOOPBACK, Tunnel
from harness.settings import IMAGE_PREFIX

TOOL_FOLDER = Path(__file__).parent / "tool"
TOOL_IMAGE = f"{IMAGE_PREFIX}tool:latest"
TOOL_BASE = "sdk-go"
FLOOR_PORT = 8080
PROGRAM = "/tare-tool"  # where the tool lies in a container it is brought into
_TOOL = "tool"  # its path in its own image
_PATIENCE = 10.0  # s that a run which ends waits for the making of the tool


def have_tool(
    engine: Engine, base_argument: str, base_image: str, cache: Path, *, load: Callable[[], None] = lambda: None
) -> None:
    """Make the tool image available (a static program that answers at once, pauses, or reads peak memory): built once
    for each base, then kept below `cache`. `load` is called before a build, to have the engine know the base.
    """
    context = BuildContext.of_folder(TOOL_FOLDER, TOOL_FOLDER / "tool.Dockerfile")
    key = hashlib.sha256(f"{base_image} {context.digest()}".encode()).hexdigest()[:16]
    kept = cache / "tool" / f"{key}.tar"
    if kept.exists():
        engine.load(kept, tag=TOOL_IMAGE)
        return
    load()
    engine.build(context=context, tag=TOOL_IMAGE, arguments={base_argument: base_image}, network="none")
    replace_file(kept, engine.save(TOOL_IMAGE))


def tool_program(engine: Engine, cache: Path) -> Path:
    """The tool as a file of this machine, taken out of its image once. Raises LabError if the image does not contain
    it.
    """
    info = engine.inspect(TOOL_IMAGE)
    if info is None:
        raise LabError("the tool image was removed", where=TOOL_IMAGE)
    path = cache / "tool" / info.id.removeprefix("sha256:")[:16]
    if not path.exists():
        found: list[bytes] = []

        def take(entry: Entry, stored: int, source: Source) -> None:
            if entry.path == _TOOL:
                found.append(source.read(stored))

        read_image(engine.save(TOOL_IMAGE), examine=take)
        if not found:
            raise LabError("the tool is not in its image", where=TOOL_IMAGE)
        with replacing(path) as temporary:  # cells are tried side by side
            temporary.write_bytes(found[-1])
            temporary.chmod(0o755)
    return path


@dataclass(frozen=True, slots=True)
class Holder:
    """What holds the test bed open: an image and a command that does nothing for ever.

    `ready` returns when the engine has the image. It raises what has kept the image from being made.
    """

    image: str
    command: tuple[str, ...]
    ready: Callable[[], None] = field(default=lambda: None, compare=False)


TOOL_HOLDER = Holder(TOOL_IMAGE, ("pause",))


@contextmanager
def in_background(make: Callable[[], None]) -> Iterator[Holder]:
    """The tool as a holder while `make` makes its image, so that cells are built meanwhile. At the end of the context
    the making has ended, or it ends with the engine."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="tool")
    making: Future[None] = pool.submit(make)
    try:
        yield replace(TOOL_HOLDER, ready=making.result)
    finally:
        wait([making], _PATIENCE)
        pool.shutdown(wait=False)


def shell_holder(image: str) -> Holder:
    """Any image with a shell, if there is no tool image."""
    return Holder(image, ("sh", "-c", "while :; do sleep 3600; done"))


class TestBed:
    """`network` is what a ContainerSpec asks for to be on the test bed; `address` is where the app then answers.

    `path` says how the harness reaches it: "namespace" (the container's own address) or "relay" (an engine elsewhere:
    the tool inside the test bed dials the app every half millisecond and carries its answer through the Engine API,
    which adds the way of one message). Raises LabError for an engine elsewhere without the tool image.
    """

    def __init__(self, engine: Engine, ports: Iterable[int], holder: Holder) -> None:
        self._engine = engine
        self._holder = holder
        self._ports = sorted({*ports, FLOOR_PORT})
        self._container = ""
        self.address = ""
        self.path = "namespace" if engine.info.local else "relay"
        self._tunnels: dict[int, Tunnel] = {}  # by the port that an app listens on
        if self.path == "relay" and holder != TOOL_HOLDER:
            raise LabError("an engine on another machine is reached through the tool image, which is not available")

    def another(self) -> TestBed:
        """A second test bed of the same kind."""
        return TestBed(self._engine, self._ports, self._holder)

    @property
    def network(self) -> str:
        """Opens the test bed if it is not open."""
        if not self._container or not self._engine.state(self._container).running:
            self._open()
        return f"container:{self._container}"

    def port(self, port: int) -> int:
        """The port to ask for an app that listens on `port`."""
        tunnel = self._tunnels.get(port)
        return tunnel.port if tunnel else port

    def _open(self) -> None:
        self.close()
        holder = self._holder
        holder.ready()
        self._container = self._engine.create(ContainerSpec(image=holder.image, command=holder.command))
        self._engine.start(self._container)
        state = self._engine.state(self._container)
        if not state.running:
            raise LabError(f"the test bed's container does not run: {self._engine.logs(self._container)}")
        if self.path == "namespace":
            self.address = state.address
            return
        self.address = LOOPBACK
        for port in self._ports:
            relay = ["/tool", "relay", f"{LOOPBACK}:{port}"]
            self._tunnels[port] = Tunnel(partial(self._engine.attach, self._container, relay), spare=True).__enter__()

    def close(self) -> None:
        for tunnel in self._tunnels.values():
            tunnel.close()
        self._tunnels.clear()
        if self._container:
            with contextlib.suppress(EngineError):  # the engine itself may be gone, and the container with it
                self._engine.remove(self._container)
            self._container = ""
