"""`docker build` as users run it: docker-buildx of the distribution, unpacked into the cache, against any engine."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.lab.apt.root import Apt, Isolated
from harness.lab.bases.maker import architecture

RELEASE = "trixie"
_PROGRAMS = {"docker-buildx": "usr/libexec/docker/cli-plugins/docker-buildx", "busybox-static": "usr/bin/busybox"}


def unpacked(cache: Path, package: str) -> Path:
    """The program of a package, fetched through this machine's own apt sources if it is not in the cache yet."""
    folder = cache / "programs" / f"test-{package}"
    program = folder / _PROGRAMS[package]
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            debs = Path(work, "cache")
            debs.mkdir()
            apt = Apt(Path(work, "apt"), debs, release=RELEASE, architecture=architecture(), isolated=Isolated())
            for deb in apt.download([package], Path(work, "debs")):
                subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Buildx:
    """The reference client. It keeps its settings in `folder`, and shares none with this user's."""

    program: Path
    endpoint: str
    folder: Path

    def build(
        self,
        context: Path,
        dockerfile: Path,
        tag: str,
        *,
        arguments: Mapping[str, str] = {},
        secrets: Mapping[str, Path] = {},
        target: str = "",
        labels: Sequence[str] = (),
        no_cache: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        command = [
            self.program,
            "build",
            "--progress=plain",
            "--provenance=false",
            f"--file={dockerfile}",
            f"--tag={tag}",
        ]
        command += ["--no-cache"] if no_cache else []
        command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        command += [f"--secret=id={name},src={path}" for name, path in secrets.items()]
        command += [f"--target={target}"] if target else []
        command += [f"--label={label}" for label in labels]
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder),
            "DOCKER_HOST": self.endpoint,
        }
        return subprocess.run(
            [*command, context], env=environ, capture_output=True, text=True, timeout=120, check=False
        )


def main(rounds: int = 10) -> None:
    """How long Tare's own client and docker-buildx take for a build in which everything is cached, and for one in
    which a file has changed. Needs an engine at DOCKER_HOST:

        python tests/support/docker_build.py
    """
    import statistics
    import time

    from harness.engine.connect import answering
    from harness.image.context import BuildContext
    from harness.settings import Settings

    engine = answering()
    assert engine, "no engine answers at DOCKER_HOST"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "context")
        (folder / "files").mkdir(parents=True)
        for number in range(200):
            (folder / "files" / str(number)).write_bytes(os.urandom(5_000))
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text("FROM scratch\nCOPY . /\n")
        reference = Buildx(unpacked(Settings.from_environ().cache, "docker-buildx"), engine.info.endpoint, Path(name))
        seconds: dict[tuple[str, str], list[float]] = {}
        for block in range(rounds + 1):
            for state in ("nothing changed", "a file changed"):
                for client in ("own", "own, with a plan", "buildx"):
                    if state == "a file changed":
                        (folder / "files" / "0").write_bytes(os.urandom(5_000))
                    began = time.monotonic()
                    if client == "buildx":
                        reference.build(folder, dockerfile, "tare.local/b:1", no_cache=False).check_returncode()
                    else:
                        context = BuildContext.of_folder(folder, dockerfile)
                        plan = (lambda step: {}) if "plan" in client else None
                        engine.build(context=context, tag="tare.local/b:1", secrets_for=plan)
                    if block:  # the first fills the cache
                        seconds.setdefault((state, client), []).append(time.monotonic() - began)
        for (state, client), values in seconds.items():
            spread = statistics.stdev(values) / statistics.mean(values)
            print(f"{state}, {client}: {1000 * statistics.median(values):.0f} ms (CV {spread:.0%}, n = {len(values)})")
    engine.remove_image("tare.local/b:1")
    engine.close()


if __name__ == "__main__":
    main()
