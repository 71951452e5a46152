"""A dockerd or a podman of our own, apart from any other on this machine: own data, own pid and mount namespaces, no
firewall.

It starts and ends as a whole: killing `unshare` kills its pid namespace, so no containerd, shim or container outlives
it, and its mounts vanish with its mount namespace. Objects that the kernel keeps (cgroup folders, bridges of networks
that it made) are registered with the reaper beforehand. For podman see podman_service.py.

Options, and why: a --config-file of our own, because otherwise the host's daemon.json is read. --iptables=false,
because otherwise it wipes the rules of the first dockerd in this network namespace. cgroupfs, because the systemd
driver would give systemd process numbers of our pid namespace. A --cgroup-parent of our own, so that its cgroup folders
can be found.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine import podman_service
from harness.engine.connect import connect
from harness.engine.docker import DockerEngine
from harness.engine.endpoint import Endpoint
from harness.engine.programs import Programs
from harness.errors import EngineUnavailable
from harness.host.network import CAP_NET_ADMIN, CAP_SYS_ADMIN, Network, capable
from harness.host.reaper import Scope
from harness.host.undo import COOKIE, SBIN, cgroup_folders, cgroup_roots, find_program, mounts_below, stray_bridges

_READY_TIMEOUT = 30.0  # s; it takes 0.2 on an idle machine
_STOP_TIMEOUT = 15.0  # s; it takes 0.1 without containers
_POLL = 0.005  # s
_ELSEWHERE = ("DOCKER_", "CONTAINER_", "CONTAINERS_", "LISTEN_")  # variables that lead to another engine
_OWN = Programs()  # this machine's
_LOG_TAIL = 12  # lines

# Folders that a dockerd uses in any case. In its mount namespace each is covered by a folder of its own.
_CONFIGURATION = Path("/etc/docker")  # certs.d is needed, but key.json must not be written
_STATE = (Path("/run/docker"), Path("/run/containerd"))  # plug-in and shim sockets

_NAMESPACES = (
    *("unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
)
_COVER = """
data=$1 etc=$2; shift 2
mount --bind "$etc" /etc/docker
for state in /run/docker /run/containerd; do mount -t tmpfs -o mode=711 tare "$state"; done
"""
_RUN = 'exec "$@"\n'


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running dockerd. `ready` is the time from its start to its first answer, s."""

    scope: Scope
    process: subprocess.Popen[bytes]
    endpoint: str  # unix:///…
    data: Path
    log: Path
    cgroup: str
    ready: float

    @classmethod
    def start(
        cls,
        reaper: Scope,
        *,
        data: Path,
        registries: str,
        network: Sequence[str] = (),
        bridge: Network | None = None,
        before: Sequence[str] = (),
        attach: Callable[[Scope, int], None] | None = None,
        prepare: str = "",
        kept: Path | None = None,
        programs: Programs = _OWN,
    ) -> Daemon:
        """Start a dockerd and wait until it answers.

        `programs` are the programs that it is started from, and they name its image store. `data` is its data root:
        made here and removed with it. If `kept` is given, the data root of a daemon that has ended, it becomes `data`.
        `bridge` is the network that containers join; `network` are more network arguments of dockerd. `registries` is a
        subnet whose registries are used with plain HTTP and without a proxy. `before` is a command that runs the rest
        in the same process, for example in a network namespace, and `attach` is called with that process and the scope
        to register in. `prepare` is shell that runs in the new mount namespace, with the data root as $data. Raises
        EngineUnavailable if that is `impossible`, or if it ends at once or is not ready in time.
        """
        if reason := cls.impossible(programs):
            raise EngineUnavailable(f"no private engine: {reason}")
        scope = reaper.scope()
        try:
            return cls._start(scope, data, network, bridge, registries, before, attach, prepare, kept, programs)
        except BaseException:
            scope.close()
            raise

    @classmethod
    def _start(
        cls,
        scope: Scope,
        data: Path,
        network: Sequence[str],
        bridge: Network | None,
        registries: str,
        before: Sequence[str],
        attach: Callable[[Scope, int], None] | None,
        prepare: str,
        kept: Path | None,
        programs: Programs,
    ) -> Daemon:
        folder = scope.short_folder()
        scope.folder(data)
        if kept:
            with contextlib.suppress(OSError):  # another harness was quicker
                kept.rename(data)
        cgroup = f"tare-{secrets.token_hex(4)}"
        scope.cgroup(cgroup)
        scope.bridges(data)
        podman = programs.kind == "podman"
        for path in (podman_service.CONFIGURATION, *podman_service.STATE) if podman else (_CONFIGURATION, *_STATE):
            scope.shared_folder(path)
        for root in cgroup_roots() if podman else ():
            scope.shared_folder(root / podman_service.CGROUP)
        log = folder / "log"
        socket = folder / "socket"
        if podman:
            etc = podman_service.configure(folder, data=data, registries=registries, bridge=bridge, programs=programs)
            cover, ready = podman_service.COVER, podman_service.READY
            command = podman_service.command(programs, socket)
        else:
            etc, cover, ready = folder / "etc", _COVER, ""
            shutil.copytree(_CONFIGURATION, etc, symlinks=True)
            (folder / "daemon.json").write_text(json.dumps(programs.configuration()))
            network = (*(("--bridge", bridge.bridge, "--fixed-cidr", bridge.containers) if bridge else ()), *network)
            command = _dockerd(programs, folder, data=data, socket=socket, cgroup=cgroup, registries=registries)
            command += network
        t0 = time.monotonic()
        process = scope.spawn(
            [
                *before,
                *_NAMESPACES,
                *("/bin/sh", "-euc", f"{cover}{prepare}{ready}{_RUN}", "sh", str(data), str(etc)),
                *command,
            ],
            log=log,
            env=_environment(os.environ, registries, programs),
            grace=0.0,  # unshare ignores SIGTERM, and nothing in the namespace needs an orderly end
        )
        if attach:
            attach(scope, process.pid)
        endpoint = Endpoint(f"unix://{socket}")
        while not _answers(endpoint):
            seconds = time.monotonic() - t0
            if process.poll() is not None or seconds > _READY_TIMEOUT:
                ended = process.returncode is not None
                raise EngineUnavailable(
                    f"{programs.needs[0]} exited at once"
                    if ended
                    else f"{programs.needs[0]} is not ready after {seconds:.0f} s",
                    where=programs.needs[0],
                    fix=f"The end of its log:\n{_tail(log)}",
                )
            time.sleep(_POLL)
        return cls(scope, process, endpoint.url, data, log, cgroup, time.monotonic() - t0)

    def connect(self, *, origin: str) -> DockerEngine:
        """Raises EngineUnavailable."""
        mounts = self.data / podman_service.CACHE_MOUNTS
        return connect(self.endpoint, origin=origin, cgroup=f"/{self.cgroup}", mounts=mounts)

    @staticmethod
    def impossible(programs: Programs = _OWN) -> str:
        """Why no dockerd of our own can be started here; "" if it can, as far as is known without trying."""
        if not Path("/proc/self/status").exists():
            return "this is not Linux"
        if not (capable(CAP_SYS_ADMIN) and capable(CAP_NET_ADMIN)):
            return "it takes root" if os.geteuid() else "this container lacks CAP_SYS_ADMIN or CAP_NET_ADMIN"
        missing = [name for name in programs.needs if not programs.find(name)]
        missing += [name for name in ("unshare", "mount") if not find_program(name)]
        return f"not installed: {', '.join(missing)}" if missing else ""

    def stop(self) -> bool:
        """Ask dockerd to end, so that everything is on disk; returns whether it ended. Its data root stays until
        `close`.
        """
        inner = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            for child in inner.read_text().split():  # unshare itself ignores SIGTERM
                os.kill(int(child), signal.SIGTERM)
            self.process.wait(_STOP_TIMEOUT)
        return self.process.returncode == 0

    def close(self) -> None:
        """End it and remove everything it had. Harmless if repeated."""
        self.scope.close()

    def left(self) -> list[str]:
        """The parts of it that still exist; empty after `close`."""
        processes = [f"process {self.process.pid}"] if self.process.poll() is None else []
        bridges = [f"bridge {name}" for name in stray_bridges(self.data)]
        mounts = [f"mount {point}" for point in (*mounts_below(self.data), *mounts_below(self.log.parent))]
        folders = [f"folder {path}" for path in (self.data, self.log.parent, *cgroup_folders(self.cgroup))]
        return [*processes, *bridges, *mounts, *(text for text in folders if Path(text[7:]).exists())]


def _dockerd(programs: Programs, folder: Path, *, data: Path, socket: Path, cgroup: str, registries: str) -> list[str]:
    """The command that starts a dockerd with its files in `folder`."""
    return [
        programs.find("dockerd") or "dockerd",
        *("--config-file", str(folder / "daemon.json")),
        *("--data-root", str(data)),
        *("--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "pid")),
        *("--host", f"unix://{socket}"),
        *("--exec-opt", "native.cgroupdriver=cgroupfs"),
        *("--cgroup-parent", f"/{cgroup}"),
        *("--insecure-registry", registries),
        *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]


def _environment(environ: Mapping[str, str], registries: str, programs: Programs = _OWN) -> dict[str, str]:
    """The host's environment (its proxies lead to upstream registries), without the variables that address another
    daemon.
    """
    bypass = ",".join(filter(None, (environ.get("no_proxy") or environ.get("NO_PROXY"), "localhost,127.0.0.0/8")))
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_ELSEWHERE) and name not in ("NOTIFY_SOCKET", COOKIE)
    }
    path = os.pathsep.join((environ.get("PATH") or os.defpath, *SBIN))
    if programs.folder:
        path = f"{programs.folder}{os.pathsep}{path}"
    return {**kept, "PATH": path, "NO_PROXY": f"{bypass},{registries}", "no_proxy": f"{bypass},{registries}"}


def _answers(endpoint: Endpoint) -> bool:
    try:
        with endpoint.connect(timeout=5) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL:])
