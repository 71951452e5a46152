"""Where an engine is, by proof: whether it runs on this kernel, sees this machine's files, and has
containers whose addresses lead from here to them.

The process at the other end of a socket proves nothing: ssh or the agent of a VM may forward the socket, and they run
on this machine. So the tool is asked in a container of the engine: it reports the boot id of the kernel that it runs on
(/proc/sys/kernel/random/boot_id, random(4)), it is brought in from a folder of this machine, and it answers at its
address.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass
from pathlib import Path

from harness.engine.contract import ContainerSpec, Engine
from harness.errors import EngineError
from harness.lab.test_bed import FLOOR_PORT, PROGRAM, TOOL_IMAGE, tool_program

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PATIENCE = 5.0  # s until the first answer at the address
_SILENCE = 0.5  # s for one try
_POLL = 0.02  # s


@dataclass(frozen=True, slots=True)
class Locality:
    """Why an engine does not share something with this machine; "" if it does."""

    kernel: str = ""
    files: str = ""
    network: str = ""


def locality(engine: Engine, cache: Path) -> Locality:
    """Ask the tool in a container of the engine. Raises EngineError if no container can be run at all, and LabError
    if there is no tool image.
    """
    program = tool_program(engine, cache)
    try:
        container = engine.create(ContainerSpec(image=TOOL_IMAGE, binds=[f"{program}:{PROGRAM}:ro"]))
    except EngineError as error:  # some engines refuse a path that they do not have
        files = f"the engine refuses a folder of this machine: {error.what}"
        container = engine.create(ContainerSpec(image=TOOL_IMAGE))
    else:
        files = ""
    try:
        try:
            engine.start(container)
        except EngineError as error:
            if files:
                raise
            files = f"a file of this machine cannot be mounted: {error.what}"
            engine.remove(container)
            container = engine.create(ContainerSpec(image=TOOL_IMAGE))
            engine.start(container)
        said = engine.run_in(container, ["/tool", "boot"])
        brought = files or _brought(engine, container, said.output)
        return Locality(kernel=_kernel(said.output), files=brought, network=_network(engine, container))
    finally:
        engine.remove(container)


def _kernel(said: str) -> str:
    try:
        own = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "this machine's kernel does not tell its boot"
    return "" if own == said.strip() else "the engine runs on another kernel"


def _brought(engine: Engine, container: str, expected: str) -> str:
    """Whether a program of this machine runs in the container: an engine with another root folder silently mounts an
    empty folder in its place.
    """
    found = engine.run_in(container, [PROGRAM, "boot"])
    same = found.exit_code == 0 and found.output.strip() == expected.strip()
    return "" if same else "the engine does not see the files of this machine"


def _network(engine: Engine, container: str) -> str:
    """Whether the container answers at its address."""
    address = engine.state(container).address
    if not address:
        return "containers have no address of their own"
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, FLOOR_PORT, timeout=_SILENCE)
        try:
            connection.request("GET", "/")
            with connection.getresponse() as answer:
                if answer.read() == b"ok":
                    return ""
        except (OSError, http.client.HTTPException):
            time.sleep(_POLL)
        finally:
            connection.close()
    return f"no container answers at its address {address}"
