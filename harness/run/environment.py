"""The fingerprint of where samples are taken: facts on which comparisons depend, and notes that only describe."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from harness.engine.programs import Programs
from harness.lab.lab import Lab, can_drop_page_cache
from harness.model import Environment
from harness.probes.link import MEASURED

_GIB = 1 << 30
_TRUE = ("1", "t", "T", "true", "TRUE", "True")  # the values of Go's strconv.ParseBool, with which the engine reads it


def environment(lab: Lab) -> Environment:
    """A fact can change a measurement, so samples with different facts are kept apart; everything else is a note."""
    info = lab.engine.info
    differs = lab.nodes.differs()  # starts a node, which shows whether its kind works here
    facts = {
        "processor": processor(),
        "processors": str(info.cpus),
        "memory": f"{round(info.memory / _GIB)} GiB",
        "kernel": info.kernel,
        "engine": f"{info.kind} {info.version}",
        "runtime": info.runtime,
        "storage driver": info.storage_driver,
        "image store": info.image_store,
        "architecture": info.architecture,
        "cgroup": info.cgroup,
        "rootless": _yes(info.rootless),
        "bases": f"{lab.lane} {lab.catalogue.release}",
        "depot": "on" if lab.depot else "off",
        "cold build": "no cache used" if lab.cold_without_cache else "empty build cache",
        "node": lab.nodes.kind or "none",
        **({"node engine": differs} if differs else {}),
        "start path": lab.test_bed.path,
        "page cache": "dropped" if info.local and can_drop_page_cache() else "cannot be dropped",
        "gunzip": gunzip(lab.nodes.programs, os.environ) if info.local else "not known",
        "link": f"{MEASURED} Mbit/s",
    }
    notes = {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "engine origin": info.origin,
        "api": info.api_version,
        **lab.notes,
        **{f"node {kind}": f"not taken: {reason}" for kind, reason in lab.nodes.refused.items()},
    }
    return Environment(facts=facts, notes=notes)


def gunzip(programs: Programs, environ: Mapping[str, str]) -> str:
    """What an engine unpacks layers with: igzip, unpigz, or the code that is built into it.

    Read in the engines' sources: the classic store (moby, pkg/archive) takes unpigz; containerd takes unpigz, and from
    2.0 on igzip before it (archive/compression). Each can be turned off by a variable. podman has Go code for it
    (containers/image, pkg/compression).
    """
    if programs.kind == "podman":
        return "built in"
    if programs.store == "classic":
        return "unpigz" if programs.find("unpigz") and environ.get("MOBY_DISABLE_PIGZ") not in _TRUE else "built in"
    major = programs.containerd().partition(".")[0]
    if int(major or 0) >= 2 and programs.find("igzip") and not environ.get("CONTAINERD_DISABLE_IGZIP"):
        return "igzip"
    return "unpigz" if programs.find("unpigz") and not environ.get("CONTAINERD_DISABLE_PIGZ") else "built in"


def processor() -> str:
    """The processor's model name as the kernel reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def versions() -> dict[str, str]:
    """Versions of the harness, Python and what it measures with."""
    from importlib.metadata import version

    packages = ("tare", "docker", "pytest", "pytest-benchmark", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def git_revision(root: Path) -> str:
    """Revision of the catalogue's checkout, with "+changes" if files differ; "" outside git."""
    import subprocess

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", os.fspath(root), *arguments], capture_output=True, text=True, check=False, timeout=10
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    if not shutil.which("git"):
        return ""
    revision = git("rev-parse", "HEAD")
    return revision + ("+changes" if revision and git("status", "--porcelain") else "")
