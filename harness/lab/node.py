"""Nodes: engines with an empty data root, to pull into. Best first:

namespace   dockerd in mount, pid and network namespaces of its own, its data in memory (root on Linux)
dind        dockerd in a container of the engine, its data in memory (no root needed on this machine)
layers      the engine itself; of ours without any image, a user's with images whose layers it cannot have yet
            (harness/cell/renewed.py)
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from harness.engine.contract import ContainerSpec, Engine, EngineInfo
from harness.engine.daemon import Daemon
from harness.engine.docker import DockerEngine
from harness.engine.programs import Programs
from harness.errors import EngineError, EngineUnavailable, LabError
from harness.host.network import Network
from harness.host.reaper import Scope
from harness.host.undo import run
from harness.lab.reach import ELSEWHERE
from harness.settings import LABEL, Settings

_KINDS = ("namespace", "dind", "layers")
_MEMORY_SHARE = 0.5  # share of the free memory: for images, and for the processes that run
_MEMORY_LEAST = 1 << 30  # B; if less is free, data goes to disk
_TIMEOUT = 30.0  # s for a node to answer; it takes 0.3 (dind: 1.3) on an idle machine
_POLL = 0.005  # s
_OWN = Programs()  # this machine's
_FAR_PORT = 2375  # of an engine without TLS, by convention

# Runs in the new network namespace: waits for its end of the veth pair, then runs the rest.
_UPLINK = """
address=$1 gateway=$2; shift 2
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.005; done
ip address add "$address" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
exec "$@"
"""

# Capabilities that dockerd needs in a container that is not privileged, with seccomp and AppArmor unconfined.
_DIND_CAPABILITIES = "SYS_ADMIN NET_ADMIN SYS_PTRACE SYS_CHROOT MKNOD SETFCAP DAC_READ_SEARCH".split()  # noqa: SIM905
_DIND_UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined")
_DIND_FOLDER = "/run/node"
# An unprivileged container's cgroups and /proc/sys are mounted read-only; with SYS_ADMIN it may change that. What
# follows for cgroup v2 (controllers can be handed down only by a group without processes) is from moby's hack/dind.
_DIND = """
for each in /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do
  if mountpoint -q "$each"; then mount -o remount,bind,rw "$each" || true; fi
done
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p /sys/fs/cgroup/init
  for pid in $(cat /sys/fs/cgroup/cgroup.procs); do echo "$pid" >/sys/fs/cgroup/init/cgroup.procs || true; done
  sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control || true
fi
exec dockerd "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An engine with nothing in it. Containers that it runs with network "host" are reached at `address`."""

    engine: Engine
    kind: str  # namespace | dind | layers
    address: str
    registry: str  # where it reaches the registry on this machine: address, or address:port if Nodes know the port
    started: float  # s until it answered
    note: str = ""  # in what way it differs from an empty data root in memory


class Nodes:
    """Makes nodes of the best kind that works here, or of the one kind that the settings name.

    `refused` says why better kinds were not used. A kind whose very first node cannot be started is refused too.
    """

    def __init__(
        self,
        settings: Settings,
        reaper: Scope,
        network: Network | None,
        engine: Engine,
        dind_image: str | None = None,
        *,
        registry_port: int = 0,
        programs: Programs = _OWN,
    ) -> None:
        """`programs` are the programs of nodes in namespaces, so that a node is the same engine as the run's."""
        self._cache = settings.cache
        self._reaper = reaper
        self._network = network
        self._engine = engine
        self._dind_image = dind_image
        self._port = f":{registry_port}" if registry_port else ""
        self._programs = programs
        self._privileged = False
        self._differs: str | None = None  # None until a node was compared with the run's engine
        self._proven = False  # whether a node of the present kind has been started
        self._refused = {kind: reason for kind in _KINDS if (reason := self._reason(kind))}
        if settings.node != "auto":
            self._refused |= {kind: "TARE_NODE" for kind in _KINDS if kind != settings.node}

    @property
    def programs(self) -> Programs:
        """The programs that a node in namespaces is started from."""
        return self._programs

    @property
    def kind(self) -> str:
        """The kind of the next node; "" if there can be none."""
        return next((kind for kind in _KINDS if kind not in self._refused), "")

    @property
    def refused(self) -> Mapping[str, str]:
        return self._refused

    @property
    def impossible(self) -> str:
        """Why there can be no node at all; "" if there can be one."""
        return "" if self.kind else "; ".join(f"{kind}: {reason}" for kind, reason in self._refused.items())

    def differs(self) -> str:
        """The engine of a node, if it differs from the engine of the run: version, storage driver and image store; ""
        if they agree.

        The first call starts a node to see.
        """
        if self._differs is None:
            self._differs = ""
            if self.kind not in ("", "layers"):
                with self.fresh() as node:
                    self._differs = _difference(node.engine.info, self._engine.info)
        return self._differs

    @contextmanager
    def fresh(self, *, need: int = 0) -> Iterator[Node]:
        """A new node, ended with all it holds when the block is left. `need` is the room its images take, bytes.

        Raises EngineUnavailable if no node can be started.
        """
        with self._reaper.scope() as scope:
            node = self._start(scope, need)
            try:
                yield node
            finally:
                if node.engine is not self._engine:
                    node.engine.close()
                if node.kind == "namespace" and self._network:
                    self._network.release(node.address)

    def _start(self, scope: Scope, need: int) -> Node:
        while kind := self.kind:
            try:
                if kind == "namespace":
                    node = self._namespace(scope, need)
                elif kind == "dind":
                    node = self._dind(scope, need)
                else:
                    node = self._layers()
            except (EngineError, LabError, OSError) as error:
                scope.close()
                if self._proven:
                    raise
                self._refused[kind] = str(error)
            else:
                self._proven = True
                return node
        raise EngineUnavailable(
            f"no empty machine can be started: {self.impossible}", fix="Set TARE_NODE=auto, or run as root."
        )

    def _reason(self, kind: str) -> str:
        if kind == "namespace":
            if not self._engine.info.local:
                return ELSEWHERE
            no_network = "" if self._network else Network.impossible() or "there is no network"
            return Daemon.impossible(self._programs) or no_network
        if kind == "dind":
            if not self._dind_image:
                return "there is no image with dockerd"
            return "" if self._engine.info.local else "the engine's containers cannot be reached from here"
        return ""

    def _namespace(self, scope: Scope, need: int) -> Node:
        network = self._network
        assert network is not None
        room = int(_memory_available() * _MEMORY_SHARE)
        in_memory = room >= max(need, _MEMORY_LEAST)
        address = network.allocate()
        t0 = time.monotonic()
        try:
            daemon = Daemon.start(
                scope,
                data=self._cache / "nodes" / secrets.token_hex(4),
                registries=str(network.subnet),
                **_on_network(network, address),
                prepare=f'mount -t tmpfs -o mode=711,size={room} tare "$data"\n' if in_memory else "",
                programs=self._programs,
            )
            engine = daemon.connect(origin="node")
        except BaseException:
            network.release(address)
            raise
        return Node(
            engine=engine,
            kind="namespace",
            address=address,
            registry=network.address + self._port,
            started=time.monotonic() - t0,
            note=""
            if in_memory
            else f"the empty machine's data is on disk, because only {room >> 20} MiB of memory may be used",
        )

    def _dind(self, scope: Scope, need: int) -> Node:
        assert self._dind_image is not None
        room = int(self._engine.info.memory * _MEMORY_SHARE)
        if room < max(need, _MEMORY_LEAST):
            raise LabError(
                f"the engine's memory ({self._engine.info.memory >> 20} MiB) is too small for an empty machine"
            )
        t0 = time.monotonic()
        folder = scope.short_folder()
        (folder / "daemon.json").write_text(json.dumps(self._programs.configuration()))
        spec = ContainerSpec(
            image=self._dind_image,
            command=[
                *("sh", "-euc", _DIND, "dockerd"),
                *("--config-file", f"{_DIND_FOLDER}/daemon.json"),
                *("--host", f"unix://{_DIND_FOLDER}/docker.sock"),
                *("--group", str(os.getegid())),  # so that we may use its socket
                *("--insecure-registry", "0.0.0.0/0"),  # only a running node shows which registry it can reach
                *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
            ],
            binds=[f"{folder}:{_DIND_FOLDER}"],
            tmpfs={"/var/lib/docker": f"mode=711,size={room}", "/run/docker": "mode=711"},
            cap_add=() if self._privileged else _DIND_CAPABILITIES,
            security_opt=() if self._privileged else _DIND_UNCONFINED,
            privileged=self._privileged,
            labels={f"{LABEL}.node": secrets.token_hex(4)},  # belongs to this container alone; it is removed by it
        )
        try:
            engine, address = self._run_dind(scope, spec, f"unix://{folder}/docker.sock")
        except EngineError as error:
            if self._privileged or self._proven:
                raise
            scope.close()
            self._privileged = True
            try:
                return self._dind(scope, need)
            except EngineError as privileged:
                raise EngineUnavailable(f"{error}; privileged: {privileged}") from error
        return Node(
            engine=engine,
            kind="dind",
            address=address,
            registry=(self._network.address if self._network else _own_address_towards(address)) + self._port,
            started=time.monotonic() - t0,
            note="privileged" if self._privileged else "",
        )

    def _run_dind(self, scope: Scope, spec: ContainerSpec, endpoint: str) -> tuple[Engine, str]:
        scope.objects(self._engine.info.endpoint, "=".join(*spec.labels.items()))
        container = self._engine.create(spec)
        self._engine.start(container)
        deadline = time.monotonic() + _TIMEOUT
        while True:
            try:
                return DockerEngine(endpoint, origin="node"), self._engine.state(container).address
            except EngineUnavailable as error:
                if not self._engine.state(container).running or time.monotonic() > deadline:
                    log = self._engine.logs(container, tail=8)
                    raise EngineUnavailable(f"dockerd in a container does not answer: {log}") from error
                time.sleep(4 * _POLL)  # each try makes three requests

    def _layers(self) -> Node:
        t0 = time.monotonic()
        stayed = []
        if self._engine.info.origin == "private":
            for image in self._engine.images():
                try:
                    self._engine.remove_image(image)
                except EngineError as error:
                    stayed.append(str(error))
            self._engine.prune_builds()  # the records of the build cache hold the same layers
        reachable = self._network is not None and self._engine.info.local
        return Node(
            engine=self._engine,
            kind="layers",
            address="127.0.0.1",
            registry=(self._network.address if self._network and reachable else "127.0.0.1") + self._port,
            started=time.monotonic() - t0,
            note="stayed: " + "; ".join(stayed) if stayed else "",
        )


class _OnNetwork(TypedDict):
    before: tuple[str, ...]
    attach: Callable[[Scope, int], None]


def _on_network(network: Network, address: str) -> _OnNetwork:
    """How Daemon.start makes a dockerd in a network namespace of its own, at an address of our network."""

    def attach(inner: Scope, pid: int) -> None:
        _wait_for_namespace(pid)
        link = f"tare{secrets.token_hex(4)}"
        inner.link(link)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        run("ip", "link", "set", link, "master", network.bridge, "up")

    uplink = ("unshare", "--net", "/bin/sh", "-euc", _UPLINK, "sh")
    return {"before": (*uplink, f"{address}/{network.subnet.prefixlen}", network.address), "attach": attach}


def far_engine(reaper: Scope, network: Network, *, data: Path, programs: Programs = _OWN) -> str:
    """Start a dockerd that is as far away as one in a virtual machine on this machine: in a network namespace of its
    own, with a firewall of its own, behind tcp://. Its kernel is this machine's. Returns its address; it ends with
    `reaper`. Raises EngineUnavailable.
    """
    address = network.allocate()
    Daemon.start(
        reaper,
        data=data,
        registries=str(network.subnet),
        # these options come after the options of every dockerd of ours, so they count: the firewall is the new
        # namespace's
        network=(
            *("--iptables=true", "--ip-forward=true", "--ip-masq=true"),
            *("--host", f"tcp://{address}:{_FAR_PORT}", "--tls=false"),
        ),
        programs=programs,
        **_on_network(network, address),
    )
    return f"tcp://{address}:{_FAR_PORT}"


def _difference(node: EngineInfo, run: EngineInfo) -> str:
    """The engine of a node, if it differs from the engine of the run in anything that pulls depend on."""
    both = [(info.kind, info.version, info.storage_driver, info.image_store) for info in (node, run)]
    kind, version, driver, store = both[0]
    return "" if both[0] == both[1] else f"{kind} {version}, {driver}, {store} image store"


def _wait_for_namespace(pid: int) -> None:
    """Until a process has left our network namespace. Raises LabError if it does not."""
    own, other = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{pid}/ns/net")
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            if other.readlink() != own:
                return
        except OSError as error:
            raise LabError("an empty machine ended before it had its network namespace") from error
        if time.monotonic() > deadline:
            raise LabError("an empty machine got no network namespace")
        time.sleep(0.001)


def _memory_available() -> int:
    """Memory that is available without swapping, bytes (MemAvailable, proc(5))."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _own_address_towards(address: str) -> str:
    """Our own address on the way to another. Connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return str(probe.getsockname()[0])
