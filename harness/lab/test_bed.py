"""The test bed: a network namespace, held open by a container of ours, that apps are started in.

A new network namespace takes about 85 ms, and the proxy of a published port accepts before the app listens
(facts-engine.md). An app that joins an existing namespace can be polled before it starts: a refused connection returns
at once, and only the app itself can answer.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.engine.contract import ContainerSpec, Engine
from harness.errors import EngineError, LabError
from harness.host.files import replace_file, replacing
from harness.image.context import BuildContext
from harness.image.read import read_image
from harness.image.tar import Entry, Source
from harness.settings import IMAGE_PREFIX

TOOL_FOLDER = Path(__file__).parent / "tool"
TOOL_IMAGE = f"{IMAGE_PREFIX}tool:latest"
TOOL_BASE = "sdk-go"
FLOOR_PORT = 8080
PROGRAM = "/tare-tool"  # where the tool lies in a container it is brought into
_TOOL = "tool"  # its path in its own image


def have_tool(engine: Engine, base_argument: str, base_image: str, cache: Path) -> None:
    """Make the tool image available (a static program that answers at once, pauses, or reads peak memory): built once
    for each base, then kept below `cache`.
    """
    context = BuildContext.of_folder(TOOL_FOLDER, TOOL_FOLDER / "tool.Dockerfile")
    key = hashlib.sha256(f"{base_image} {context.digest()}".encode()).hexdigest()[:16]
    kept = cache / "tool" / f"{key}.tar"
    if kept.exists():
        engine.load(kept, tag=TOOL_IMAGE)
        return
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
    """What holds the test bed open: an image and a command that does nothing for ever."""

    image: str
    command: tuple[str, ...]


TOOL_HOLDER = Holder(TOOL_IMAGE, ("pause",))


def shell_holder(image: str) -> Holder:
    """Any image with a shell, if there is no tool image."""
    return Holder(image, ("sh", "-c", "while :; do sleep 3600; done"))


class TestBed:
    """`network` is what a ContainerSpec asks for to be on the test bed; `address` is where the app then answers.

    `path` says how the harness reaches it: "namespace" (the container's own address) or "published" (an engine
    elsewhere: through its port proxy, which adds about 20 ms and blurs the first answer).
    """

    def __init__(self, engine: Engine, ports: Iterable[int], holder: Holder) -> None:
        self._engine = engine
        self._holder = holder
        self._ports = sorted(set(ports))
        self._container = ""
        self.address = ""
        self.path = "namespace" if engine.info.local else "published"
        self._published: dict[int, int] = {}

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
        return self._published.get(port, port)

    def _open(self) -> None:
        self.close()
        ports = {} if self.path == "namespace" else dict.fromkeys(self._ports, 0)
        holder = self._holder
        self._container = self._engine.create(ContainerSpec(image=holder.image, command=holder.command, ports=ports))
        self._engine.start(self._container)
        state = self._engine.state(self._container)
        if not state.running:
            raise LabError(f"the test bed's container does not run: {self._engine.logs(self._container)}")
        if self.path == "namespace":
            self.address = state.address
        else:
            self.address = urlsplit(self._engine.info.endpoint).hostname or "127.0.0.1"
            self._published = dict(state.ports)

    def close(self) -> None:
        if self._container:
            with contextlib.suppress(EngineError):  # the engine itself may be gone, and the container with it
                self._engine.remove(self._container)
            self._container = ""
