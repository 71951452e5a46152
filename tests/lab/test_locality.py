"""Where an engine is: what proves it, and what an engine that only looks near is found out by."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.engine.contract import ContainerSpec, ExecResult
from harness.engine.daemon import Daemon
from harness.engine.docker import DockerEngine
from harness.engine.fake.engine import FakeEngine
from harness.errors import EngineError
from harness.host.reaper import Reaper
from harness.image import archive
from harness.lab import lab as lab_module
from harness.lab import locality as module
from harness.lab.locality import Locality, locality
from harness.lab.test_bed import PROGRAM, TOOL_FOLDER, TOOL_IMAGE
from harness.settings import Settings

HERE = "0d9f7d1c"


class Engine:
    """A minimal engine. `boot` is the boot id of its kernel, `sees` whether a bind mount brings a file."""

    def __init__(self, *, boot: str = HERE, sees: bool = True, refuses: bool = False) -> None:
        self.boot, self.sees, self.refuses = boot, sees, refuses
        self.removed: list[str] = []

    def create(self, spec: ContainerSpec) -> str:
        if self.refuses and spec.binds:
            raise EngineError("no such file")
        return f"container {len(spec.binds)}"

    def start(self, container: str) -> None:
        pass

    def run_in(self, container: str, command: Sequence[str]) -> ExecResult:
        if command[0] == PROGRAM and not self.sees:
            return ExecResult(exit_code=126, output="permission denied")
        return ExecResult(exit_code=0, output=f"{self.boot}\n")

    def state(self, container: str) -> SimpleNamespace:
        return SimpleNamespace(address="")

    def remove(self, container: str) -> None:
        self.removed.append(container)


@pytest.fixture(autouse=True)
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "live" not in request.keywords:
        (tmp_path / "boot_id").write_text(f"{HERE}\n")
        monkeypatch.setattr(module, "BOOT_ID", tmp_path / "boot_id")
        monkeypatch.setattr(module, "tool_program", lambda *_: tmp_path / "tool")
        monkeypatch.setattr(module, "_network", lambda *_: "")


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (Engine(), Locality()),
        (Engine(boot="another"), Locality(kernel="the engine runs on another kernel")),
        (Engine(sees=False), Locality(files="the engine does not see the files of this machine")),
        (Engine(refuses=True), Locality(files="the engine refuses a folder of this machine: no such file")),
    ],
)
def test_each_proof_is_its_own(tmp_path: Path, engine: Engine, expected: Locality) -> None:
    assert locality(engine, tmp_path) == expected  # type: ignore[arg-type]
    assert len(engine.removed) == 1


@pytest.mark.parametrize(
    ("found", "local", "unseen"),
    [
        (Locality(), True, ""),
        (Locality(kernel="another kernel"), False, ""),
        (Locality(network="no container answers"), False, ""),
        (Locality(files="not seen"), True, "not seen"),
    ],
)
def test_an_engine_that_only_looks_near_is_taken_for_one_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Locality, local: bool, unseen: str
) -> None:
    class Near:
        info = replace(FakeEngine().info, origin="system", local=True)

        def elsewhere(self) -> None:
            self.info = replace(self.info, local=False)

    engine, notes, said = Near(), {}, []  # type: ignore[var-annotated]
    monkeypatch.setattr(lab_module, "locality", lambda *_: found)
    assert lab_module._unseen(Settings(cache=tmp_path), engine, notes, said.append) == unseen  # type: ignore[arg-type]
    assert engine.info.local == local
    assert len(notes) == len(said) == (found != Locality())


def tool_image(folder: Path) -> Path:
    """The tool's image as an archive, made on this machine."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    (folder / "root").mkdir()
    sources = [str(path) for path in TOOL_FOLDER.glob("*.go")]
    subprocess.run(["go", "build", "-o", folder / "root/tool", *sources], env=environment, check=True)
    layer = archive.write_layer(folder / "root", folder / "layer.tar", before={}, epoch=0, since=0.0)
    named = (folder / "layer.tar").rename(folder / f"{layer.diff_id.removeprefix('sha256:')}.tar")
    config = archive.image_config(
        architecture="amd64",
        diff_ids=[layer.diff_id],
        history=["tool"],
        config={"Entrypoint": ["/tool"], "Cmd": ["serve"]},
        epoch=0,
    )
    archive.write_archive(folder / "tool.tar", config=config, layers=[named], name=TOOL_IMAGE)
    return folder / "tool.tar"


@pytest.mark.live
@pytest.mark.parametrize("blind", [False, True])
def test_an_engine_that_does_not_see_a_folder_of_this_machine_is_found_out(tmp_path: Path, blind: bool) -> None:
    image, cache = tool_image(tmp_path), tmp_path / "cache"
    cache.mkdir()
    hide = f"mount -t tmpfs tare {cache}\n" if blind else ""
    with Reaper(tmp_path) as reaper:
        daemon = Daemon.start(
            reaper,
            data=tmp_path / "data",
            network=("--bridge=none",),
            registries="127.0.0.0/8",
            before=("unshare", "--net", "/bin/sh", "-euc", 'ip link set lo up; exec "$@"', "sh"),
            prepare=hide,
        )
        engine = DockerEngine(daemon.endpoint, origin="system")
        engine.load(image, tag=TOOL_IMAGE)
        found = locality(engine, cache)
        engine.close()
    assert found.kernel == ""
    assert bool(found.files) == blind
    assert found.network, "a network namespace of its own"
