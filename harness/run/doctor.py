"""What this machine has, what will be used, what is missing and how to get it. Starts nothing, installs nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tabulate import tabulate

from harness.engine.daemon import Daemon
from harness.engine.docker import answering
from harness.engine.programs import Programs
from harness.host import packages
from harness.host.network import Network
from harness.host.undo import find_program
from harness.lab.apt import sources
from harness.lab.engine_packages import EnginePackages
from harness.lab.lab import can_drop_page_cache
from harness.run.environment import processor
from harness.settings import ENGINE_RELEASES, Settings, engine_choices

_PROGRAMS = {
    "dockerd": ("docker.io", "a private engine, and empty nodes to pull into"),
    "unpigz": ("pigz", "faster unpacking of pulled layers, as in most engines"),
    "nginx": ("nginx", "the depot: builds fetch packages through it"),
    "docker-registry": ("docker-registry", "the registry that nodes pull from"),
    "mmdebstrap": ("mmdebstrap", "bases from distribution packages"),
    "ip": ("iproute2", "the private network of engine and nodes"),
    "unshare": ("util-linux", "namespaces of engine and nodes"),
}


def examine(settings: Settings) -> str:
    """A table of findings, and the commands that install what is missing."""
    rows: list[tuple[str, str, str]] = []
    engine = answering()
    if engine:
        with_engine = f"{engine.info.kind} {engine.info.version} at {engine.info.endpoint}"
        rows.append(("engine", "answers", with_engine))
        engine.close()
    else:
        reason = Network.impossible()
        rows.append(("engine", "none answers", reason or "a private engine is started for each run"))
    rows += _private_engines(settings)
    missing = []
    for program, (package, purpose) in _PROGRAMS.items():
        path = find_program(program)
        rows.append((program, path or "missing", purpose))
        if path is None:
            missing.append(package)
    free = shutil.disk_usage(_existing(settings))
    rows += [
        ("root", "yes" if os.geteuid() == 0 else "no", "namespaced nodes, packages, page cache"),
        ("page cache", "can be dropped" if can_drop_page_cache() else "cannot be dropped", "cold starts"),
        ("processor", processor(), f"{os.cpu_count()} of them"),
        ("cache", str(settings.cache), f"{free.free / 1e9:.0f} GB free"),
        ("choices", f"TARE_ENGINE={settings.engine}", f"TARE_LANE={settings.lane}, TARE_DEPOT={settings.depot}"),
    ]
    text = tabulate(rows, tablefmt="plain")
    if missing:
        reason = packages.installable()
        how = f"install it with: {packages.command(missing)}" if reason else "apt installs it when a run needs it"
        text += f"\n\nmissing: {', '.join(missing)}; {how}"
    return text


def _private_engines(settings: Settings) -> list[tuple[str, str, str]]:
    """Which engines of our own TARE_ENGINE can name here, and where each comes from."""
    rows = []
    own, unpacked = Programs(), EnginePackages(settings.cache)
    debian = sources.vendor()[0] == "debian"
    for version, release in ENGINE_RELEASES.items():
        names = " ".join(name for name in engine_choices() if name.partition("+")[0] == f"private:{version}")
        if own.version().startswith(f"{version}."):
            programs, state = own, f"this machine's own {own.version()}"
        elif found := unpacked.at_hand(release):
            programs, state = found, f"{found.version()} of {release}, unpacked in the cache"
        elif debian:
            rows.append((names, "on demand", f"from the packages of {release}, when a run needs it (60 MB)"))
            continue
        else:
            rows.append((names, "not available", "this machine is not Debian"))
            continue
        reason = Daemon.impossible(programs)
        rows.append((names, "cannot be started" if reason else "ready", reason or state))
    return rows


def _existing(settings: Settings) -> Path:
    folder = settings.cache
    while not folder.exists():
        folder = folder.parent
    return folder
