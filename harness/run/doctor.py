"""What this machine has, what will be used, what is missing and how to get it. Starts nothing, installs nothing."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from pathlib import Path

from tabulate import tabulate

from harness.engine.connect import answering
from harness.engine.contract import EngineInfo
from harness.engine.daemon import Daemon
from harness.engine.programs import Programs
from harness.host import packages
from harness.host.network import Network
from harness.host.reaper import Reaper
from harness.host.undo import find_program
from harness.lab.apt import sources
from harness.lab.engine_packages import EnginePackages
from harness.lab.lab import can_drop_page_cache
from harness.lab.reach import Reach
from harness.probes import all_probes
from harness.run.environment import processor
from harness.settings import ENGINE_RELEASES, Settings, engine_choices, kind_of
from harness.text.units import shortened

_PROGRAMS = {
    "dockerd": ("docker.io", "a private engine, and empty machines to pull to"),
    "unpigz": ("pigz", "faster unpacking of pulled layers, as in most engines"),
    "nginx": ("nginx", "the depot: builds fetch packages through it"),
    "docker-registry": ("docker-registry", "the registry that empty machines pull from"),
    "mmdebstrap": ("mmdebstrap", "bases from distribution packages"),
    "ip": ("iproute2", "the private network of the engine and of empty machines"),
    "unshare": ("util-linux", "namespaces of the engine and of empty machines"),
}

_SIZES = {"docker": 60, "podman": 20}  # MB of packages that are fetched


def examine(settings: Settings) -> str:
    """A table of findings, and the commands that install what is missing."""
    rows: list[tuple[str, str, str]] = []
    info = _answers(settings)
    if info:
        rows.append(("engine", "answers", f"{info.kind} {info.version} at {info.endpoint}"))
    else:
        reason = Network.impossible()
        rows.append(("engine", "none answers", reason or "a private engine is started for each run"))
    rows += _private_engines(settings)
    absent = _unmeasured(info) if info else []
    missing = []
    for program, (package, purpose) in _PROGRAMS.items():
        path = find_program(program)
        rows.append((program, path or "missing", purpose))
        if path is None:
            missing.append(package)
    free = shutil.disk_usage(_existing(settings))
    rows += [
        (
            "root",
            "yes" if os.geteuid() == 0 else "no",
            "needed for empty machines in namespaces, packages and the page cache",
        ),
        ("page cache", "can be dropped" if can_drop_page_cache() else "cannot be dropped", "needed for cold starts"),
        ("processor", processor(), f"{os.cpu_count()} processors"),
        ("cache", str(settings.cache), f"{free.free / 1e9:.0f} GB free"),
        ("settings", f"TARE_ENGINE={settings.engine}", f"TARE_LANE={settings.lane}, TARE_DEPOT={settings.depot}"),
    ]
    text = tabulate(rows, tablefmt="plain")
    if absent:
        text += "\n\nnot measured with this engine:\n" + tabulate(absent, tablefmt="plain")
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
        kind = kind_of(version)
        if kind == "docker" and own.version().startswith(f"{version}."):
            programs, state = own, f"this machine's own {own.version()}"
        elif found := unpacked.at_hand(release, kind):
            programs, state = found, f"{found.version()} of {release}, unpacked in the cache"
        elif debian:
            rows.append(
                (names, "on demand", f"from the packages of {release}, when a run needs it ({_SIZES[kind]} MB)")
            )
            continue
        else:
            rows.append((names, "not available", "this machine is not Debian"))
            continue
        reason = Daemon.impossible(programs)
        rows.append((names, "cannot be started" if reason else "ready", reason or state))
    return rows


def _answers(settings: Settings) -> EngineInfo | None:
    """The engine that a run would find, or the engine at the address that TARE_ENGINE is; None if none answers."""
    choice = settings.engine_choice
    named = {"DOCKER_HOST": choice.address} if choice.kind == "at" else {}
    with Reaper(settings.cache) if choice.address.startswith("ssh://") else nullcontext() as reaper:
        engine = answering({**os.environ, **named}, reaper)
        if engine is None:
            return None
        engine.close()
        return engine.info


def _unmeasured(info: EngineInfo) -> list[tuple[str, str]]:
    """What no run can measure with an engine, each metric with the reason, as far as the engine's own words tell."""
    reach = Reach.of(info, droppable=can_drop_page_cache())
    probes = all_probes()
    every = [metric.name for probe in probes for metric in probe.metrics]
    absent = {metric: reason for probe in probes for metric, reason in probe.unmeasured(reach).items()}
    reasons = dict.fromkeys(absent.values())
    return [
        (name, reason)
        for reason in reasons
        for name in shortened([metric for metric, why in absent.items() if why == reason], every)
    ]


def _existing(settings: Settings) -> Path:
    folder = settings.cache
    while not folder.exists():
        folder = folder.parent
    return folder
