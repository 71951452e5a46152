"""The programs that an engine of our own is made of, and how a dockerd is configured.

They are this machine's own, or the distribution's packages unpacked into a folder (harness/lab/engine_packages.py). A
program that an unpacked folder lacks is taken from this machine: an unpacked runc that needs a newer C library is left
out of the folder, and this machine's runs the containers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.host.undo import SBIN

_PATIENCE = 20.0  # s that a program may take to print its version


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The programs of an engine of our own. `folder` is searched before the PATH; None means this machine's own.

    `store` is the image store that dockerd uses: classic or containerd. `kind` is docker or podman; a podman is always
    in a folder.
    """

    folder: Path | None = None
    store: str = "classic"
    kind: str = "docker"

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the programs that the engine consists of."""
        return ("podman", "conmon", "runc") if self.kind == "podman" else ("dockerd", "containerd", "runc")

    @property
    def path(self) -> str:
        """The PATH in which the programs are looked for; the programs get it too."""
        own = (str(self.folder),) if self.folder else ()
        return os.pathsep.join((*own, os.environ.get("PATH") or os.defpath, *SBIN))

    def find(self, name: str) -> str | None:
        """Path of a program; None if it is not there."""
        return shutil.which(name, path=self.path)

    def version(self) -> str:
        """The version of dockerd, 26.1.5+dfsg1, or of podman, podman-4.3.1. "" if there is none, or if it does not run
        here.
        """
        if self.kind == "podman":
            said = says(self.find("podman") or "podman", "--version")  # podman version 4.3.1
            return f"podman-{said.rpartition(' ')[2]}" if said else ""
        program = self.find("dockerd")
        said = says(program, "--version") if program else ""
        return said.partition("version ")[2].partition(",")[0]

    def containerd(self) -> str:
        """The version of containerd: 1.7.24~ds1, or "" as for dockerd."""
        program = self.find("containerd")
        said = says(program, "--version") if program else ""  # containerd github.com/containerd/… 1.7.24~ds1 …
        return (said.split() + [""] * 3)[2]

    def configuration(self) -> dict[str, object]:
        """The content of daemon.json. The store is always named, because versions differ in their default."""
        return {"features": {"containerd-snapshotter": self.store == "containerd"}}

    def __str__(self) -> str:
        """The dockerd and the image store that a data root belongs to."""
        return f"{self.version()} {self.store}"


def says(program: str | Path, *arguments: str) -> str:
    """What a program prints; "" if it cannot run here."""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=True, timeout=_PATIENCE, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
