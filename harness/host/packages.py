"""Programs that the harness needs, from the distribution's packages."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness.errors import LabError
from harness.host.reaper import Scope
from harness.host.undo import find_program

POLICY = Path("/usr/sbin/policy-rc.d")  # asked by invoke-rc.d and deb-systemd-invoke before they start a service
_FORBID = "#!/bin/sh\n# by Tare, while it installs a package: services are not to be started\nexit 101\n"
_PATIENCE = 1200.0  # s for an installation, including the wait for another apt
_OPTIONS = ("-o", "DPkg::Lock::Timeout=300", "-q", "-y", "--no-install-recommends")
_OS_RELEASE = Path("/etc/os-release")


def ensure(
    packages: Mapping[str, str], *, announce: Callable[[str], None], reaper: Scope | None = None
) -> dict[str, str]:
    """Paths of programs (program → Debian package), installed through apt if they are missing.

    Starts no service. Prints one line that says what was installed. With a reaper, the file that forbids services is
    removed also if the harness is killed meanwhile. Raises LabError with the command to type if Tare may not install
    here (no root, no Debian or Ubuntu) or if apt fails.
    """
    wanted = sorted({package for program, package in packages.items() if not find_program(program)})
    if wanted:
        _install(wanted, reaper)
        announce("installed " + ", ".join(f"{package} {_version(package)}" for package in wanted) + " (apt)")
    found = {program: find_program(program) for program in packages}
    if missing := [program for program, path in found.items() if path is None]:
        raise LabError(
            f"{', '.join(missing)}: not found, although {', '.join(wanted)} is installed", fix="Report this as a bug."
        )
    return {program: path for program, path in found.items() if path is not None}


def installable() -> str:
    """Why Tare cannot install packages here; "" if it can."""
    if not is_debian():
        return "this is neither Debian nor Ubuntu"
    return "" if os.geteuid() == 0 else "it takes root"


def is_debian() -> bool:
    """Whether packages come through apt here, by os-release(5)."""
    words: set[str] = set()
    with contextlib.suppress(OSError):
        for line in _OS_RELEASE.read_text().splitlines():
            key, _, value = line.partition("=")
            if key in ("ID", "ID_LIKE"):
                words.update(value.strip("\"'").split())
    return bool(words & {"debian", "ubuntu"}) and find_program("apt-get") is not None


def command(packages: list[str]) -> str:
    """What to type to install these, for an error's fix."""
    names = " ".join(packages)
    if not is_debian():
        return f"Install the programs that Debian and Ubuntu have in the packages {names}."
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"Type: {sudo}apt-get update && {sudo}apt-get install --no-install-recommends {names}"


def _install(packages: list[str], reaper: Scope | None) -> None:
    if reason := installable():
        raise LabError(f"{', '.join(packages)} is missing, and {reason}", fix=command(packages))
    with _no_services(reaper):
        failed = _apt("install", *packages)
        if failed:  # the package lists may be missing or old
            failed = _apt("update") or _apt("install", *packages)
    if failed:
        raise LabError(f"apt could not install {', '.join(packages)}: {failed}", fix=command(packages))


def _apt(verb: str, *packages: str) -> str:
    """Run apt-get; returns "" or its error lines.

    In a session of its own, and waited for when we are interrupted: a killed dpkg leaves packages half installed.
    """
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_MODE": "l",  # Ubuntu: list services to restart, never restart them
        "LC_ALL": "C.UTF-8",
    }
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            ["apt-get", *_OPTIONS, verb, *packages],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"no end after {_PATIENCE:.0f} s"
        except KeyboardInterrupt:
            process.wait()
            raise
        output.seek(0)
        lines = output.read().splitlines()
    if code == 0:
        return ""
    return " ".join([line for line in lines if line.startswith("E:")] or lines[-3:]) or f"exit code {code}"


@contextlib.contextmanager
def _no_services(reaper: Scope | None) -> Iterator[None]:
    """Have dpkg start no service within the block. If the machine has a policy already, that policy decides."""
    if POLICY.exists():
        yield
        return
    number = reaper.file(POLICY) if reaper else None
    try:
        POLICY.write_text(_FORBID)
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if reaper and number is not None:
            reaper.release(number)


def _version(package: str) -> str:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return done.stdout.strip()
