"""How the harness undoes each kind of thing that it makes. Used by the reaper, its guardian and the sweep.

Every function takes a Record, returns True if something was there and is gone now, returns False if it was gone already
(so undoing twice is harmless), and raises if something is left. All are bounded in time. Only the standard library is
imported, so that the guardian starts fast.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
NET = Path("/sys/class/net")
CGROUPS = Path("/sys/fs/cgroup")
# In the environment of what a reaper spawns: distinguishes our orphans from the process of a recycled pid. The name is
# older than the word reaper; it stays, so that a sweep also finds what earlier versions left.
COOKIE = "TARE_KEEPER"
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's PATH

_PATIENCE = 10.0  # s: how long a killed process, a busy cgroup or one command may take to end
_FOLDER_PATIENCE = 120.0  # s; a data root may hold a million files


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing to undo. `name` is the link, path, cgroup, endpoint or program; the other fields serve one kind."""

    kind: str
    name: str
    pid: int = 0  # process: also its session
    start: str = ""  # process: when it started, so that a recycled pid is never taken for it
    grace: float = 0.0  # process: s between SIGTERM and SIGKILL; 0 kills at once
    label: str = ""  # process: the cookie; objects: the label (key or key=value)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" (pid {self.pid})" if self.pid else "")


def undo(record: Record) -> bool:
    """Undo one record. Raises whatever went wrong; ValueError for a kind or name that cannot be ours."""
    try:
        step = _STEPS[record.kind]
    except KeyError:
        raise ValueError(f"unknown kind {record.kind!r}") from None
    return step(record)


def find_program(name: str) -> str | None:
    """Path of a program, looked for in the sbin folders too; None if it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH") or os.defpath, *SBIN)))


def started(pid: int) -> str:
    """When a process started (opaque, unique per pid and boot); "" if it is gone or a zombie."""
    if not PROC.is_dir():  # macOS
        return run("ps", "-o", "lstart=", "-p", str(pid), check=False).strip()
    status = _status(pid)
    return "" if status is None or status[0] in "ZX" else status[2]


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below `folder` in this mount namespace, innermost and latest first."""
    try:
        lines = (PROC / "self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    points = [Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])) for line in lines]
    return [point for point in reversed(points) if point.is_relative_to(folder)]


def cgroup_roots() -> list[Path]:
    """The root folder of every hierarchy: one with cgroup v2, several with v1 or with both."""
    if (CGROUPS / "cgroup.procs").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.glob("*") if path.is_dir() and not path.is_symlink()]


def cgroup_folders(name: str) -> list[Path]:
    """Folders of the top-level cgroup `name` in every hierarchy."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name!r} is not the name of a cgroup of ours")
    return [root / name for root in cgroup_roots() if (root / name).is_dir()]


def stray_bridges(data: Path) -> list[str]:
    """Bridges on this host that the dockerd of this data root made for its networks: its own database names them.

    dockerd calls the bridge of a network br-<first twelve digits of the id> and removes it only when it is asked to.
    """
    try:
        database = (data / "network/files/local-kv.db").read_bytes()
    except OSError:
        return []
    bridges = (link.name for link in NET.glob("br-*"))
    return [name for name in bridges if re.fullmatch(r"br-[0-9a-f]{12}", name) and name[3:].encode() in database]


def _status(pid: int) -> tuple[str, int, str] | None:
    """State, session and start time from /proc/PID/stat (proc(5)); the name in brackets may hold anything."""
    try:
        fields = (PROC / f"{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[3]), fields[19]


def _members(record: Record) -> dict[int, str]:
    """Living processes of the record's session with their start times.

    Once its leader is gone, another session may have its number: then only processes with our cookie count.
    """
    leader = started(record.pid) == record.start
    members = {record.pid: record.start} if leader else {}
    for entry in PROC.glob("[0-9]*"):
        status = _status(pid := int(entry.name))
        if status is None or status[0] in "ZX" or status[1] != record.pid or pid == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            if leader or f"{COOKIE}={record.label}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                members[pid] = status[2]
    return members


def _process(record: Record) -> bool:
    if not record.start:  # it was gone before it could be registered
        return False
    targets = _members(record)
    if not targets:
        return False

    def alive() -> dict[int, str]:
        # the first processes of the session are remembered: once its leader is gone, they could be anybody's
        targets.update(_members(record))
        return {pid: start for pid, start in targets.items() if started(pid) == start}

    def send(number: signal.Signals, pids: Iterator[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    if record.grace:
        send(signal.SIGTERM, iter(alive()))
        _until(lambda: not alive(), record.grace)

    def killed() -> bool:
        left = alive()
        send(signal.SIGKILL, iter(left))
        return not left

    if not _until(killed, _PATIENCE):
        raise TimeoutError(f"processes {sorted(alive())} do not die")
    return True


def _link(record: Record) -> bool:
    if not (NET / record.name).exists():
        return False
    if run("ip", "link", "delete", record.name, check=False) and (NET / record.name).exists():
        run("ip", "link", "delete", record.name)
    return True


def _mount(record: Record) -> bool:
    path = Path(record.name)
    points = mounts_below(path)
    for point in points:
        run("umount", str(point), check=False)
    for point in mounts_below(path):  # still busy: detached now, freed by the kernel when its last user ends
        run("umount", "--lazy", str(point))
    return bool(points)


def _folder(record: Record) -> bool:
    path = Path(record.name)
    if not path.is_absolute() or len(path.parts) < 3 or path.is_symlink():
        raise ValueError("not a folder of ours")
    if not path.exists():
        return False
    _mount(record)
    if left := mounts_below(path):
        raise OSError(f"still mounted: {left[0]}")  # the files behind a mount are not ours to remove
    run("rm", "-rf", "--", str(path), timeout=_FOLDER_PATIENCE)
    return True


def _file(record: Record) -> bool:
    try:
        Path(record.name).unlink()
    except FileNotFoundError:
        return False
    return True


def _empty(record: Record) -> bool:
    """A folder that others may use by now: it is removed only if it is empty."""
    try:
        Path(record.name).rmdir()
    except OSError:
        return False
    return True


def _cgroup(record: Record) -> bool:
    folders = cgroup_folders(record.name)

    def removed() -> bool:
        for top in cgroup_folders(record.name):
            for folder in sorted((top, *(path for path in top.rglob("*") if path.is_dir())), reverse=True):
                with contextlib.suppress(OSError):  # a folder stays busy for some ms after its last process
                    for pid in (folder / "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    folder.rmdir()
        return not cgroup_folders(record.name)

    if not _until(removed, _PATIENCE):
        raise TimeoutError(f"still there: {', '.join(map(str, cgroup_folders(record.name)))}")
    return bool(folders)


def _bridges(record: Record) -> bool:
    bridges = stray_bridges(Path(record.name))
    for name in bridges:
        _link(Record(kind="link", name=name))
    return bool(bridges)


def _objects(record: Record) -> bool:
    """Containers, networks and images that carry a label, on an engine that is not ours to stop."""
    import docker
    from docker.utils import kwargs_from_env

    if not record.label:
        raise ValueError("no label")
    if record.name.startswith("unix://") and not Path(record.name[7:]).exists():
        return False  # the engine is gone, and its containers with it
    marked = {"label": record.label}
    found = False
    options: dict[str, Any] = {**kwargs_from_env(), "base_url": record.name, "timeout": int(_PATIENCE)}
    with contextlib.closing(docker.APIClient(**options)) as engine:
        for container in engine.containers(all=True, filters=marked):
            found = True
            with contextlib.suppress(docker.errors.NotFound):
                engine.remove_container(container["Id"], force=True, v=True)
        for network in engine.networks(filters=marked):
            found = True
            with contextlib.suppress(docker.errors.NotFound):
                engine.remove_network(network["Id"])
        for image in engine.images(filters=marked):
            found = True
            with contextlib.suppress(docker.errors.NotFound):
                engine.remove_image(image["Id"], force=True)
    return found


_STEPS: dict[str, Callable[[Record], bool]] = {
    "process": _process,
    "link": _link,
    "mount": _mount,
    "folder": _folder,
    "file": _file,
    "empty": _empty,
    "cgroup": _cgroup,
    "bridges": _bridges,
    "objects": _objects,
}


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask every 5 ms; False if `seconds` pass without a yes."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def run(program: str, *arguments: str, check: bool = True, timeout: float = _PATIENCE) -> str:
    """Output of a command, or its message if it failed. With `check`, a failure raises OSError with the message."""
    done = subprocess.run(
        [find_program(program) or program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    if check and done.returncode:
        raise OSError(f"{program}: {done.stdout.strip()}")
    return done.stdout
