"""The intruder and harden probes on an engine in memory: what is tried, and what is made of the outcome."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.engine.contract import ContainerSpec, ExecResult
from harness.engine.fake.behaviour import Behaviour, FakeProgram
from harness.engine.fake.engine import FakeEngine
from harness.errors import TryFailed
from harness.image.context import BuildContext
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.lab.test_bed import PROGRAM, TOOL_IMAGE, tool_program
from harness.model import App, Cell, Edit, Request, Strategy
from harness.probes.harden import NOBODY, HardenProbe
from harness.probes.intruder import IntruderProbe

APP_IMAGE = "tare.local/cell/x-y:current"
PEAK = 50_000_000
EDIT = Edit("main.go", "0", "{n}")


class Shells(Behaviour):
    """An app that answers unless `breaks` says why it cannot; with some commands beside it."""

    breaks: Callable[[ContainerSpec], str] = staticmethod(lambda spec: "")
    has: tuple[str, ...] = ("sh", "apt-get")
    hangs: Callable[[ContainerSpec], bool] = staticmethod(lambda spec: False)
    wrong = False

    def program(self, spec: ContainerSpec) -> FakeProgram:
        if self.hangs(spec):
            return FakeProgram()
        if why := self.breaks(spec):
            return FakeProgram(exit_code=1, output=f"starting\n{why}\n")
        return FakeProgram(answer=lambda method, path: (200, b"wrong" if self.wrong and path == "/check" else b"ok"))

    def command(self, spec: ContainerSpec, command: list[str]) -> ExecResult:
        if command[0] == PROGRAM and any(bind.endswith(f":{PROGRAM}:ro") for bind in spec.binds):
            return ExecResult(exit_code=0, output=f"{PEAK}\n")
        known = command[0] in self.has
        return ExecResult(exit_code=0 if known else 127, output="" if known else f"{command[0]}: not found")


class Published(FakeEngine):
    """Containers answer where the test bed says they do."""

    port = 0

    def create(self, spec: ContainerSpec) -> str:
        self.created = [*getattr(self, "created", []), spec]
        return super().create(replace(spec, network="default", ports={8080: self.port}))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.behaviour = Shells()
        self.engine = Published(self.behaviour)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.engine.port = free.getsockname()[1]
        tool = BuildContext.of_files({"tool": b"program"}, dockerfile="FROM scratch\nCOPY tool /tool")
        self.engine.build(context=tool, tag=TOOL_IMAGE)
        self.engine.build(context=BuildContext.of_files({}, dockerfile="FROM scratch"), tag=APP_IMAGE)
        self.lab = SimpleNamespace(
            engine=self.engine,
            services=SimpleNamespace(env=lambda cell: {}),
            test_bed=SimpleNamespace(network="default", address="127.0.0.1", port=lambda port: self.engine.port),
            limits=None,
            settings=SimpleNamespace(cache=folder),
            reach=Reach(),
        )
        app = App(
            name="x",
            title="x",
            language="go",
            path=folder,
            port=8080,
            ready=Request("/"),
            verify=(Request("/check", equals="ok"),),
            source_change=EDIT,
            dependency_change=EDIT,
        )
        strategy = Strategy(name="y", title="", summary="", trades="", path=folder, rank=1)
        cell = Cell(app=app, strategy=strategy, dockerfile=folder)
        self.prepared = SimpleNamespace(cell=cell, image=APP_IMAGE, started=0.01)
        self.state = RunState()

    def measure(self, probe):
        ((_, measure),) = list(probe.visit_cell(self.lab, self.state, self.prepared))
        try:
            return measure()
        finally:
            assert self.engine.containers() == []


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.engine.close()


def test_an_intruder_finds_what_can_be_started(bench):
    reading = bench.measure(IntruderProbe())
    assert {name.removeprefix("intruder."): value for name, value in reading.values.items()} == {
        "sh": 1,
        "bash": 0,
        "curl": 0,
        "wget": 0,
        "apt": 1,  # by apt-get
        "python": 0,
        "program": 1,
    }
    tried = json.loads(reading.artefacts["intruder.json"])["tried"]
    assert [one["command"][0] for one in tried["apt"]] == ["apt", "apt-get"]
    assert (tried["bash"][0]["exit_code"], tried["bash"][0]["output"]) == (127, "bash: not found")
    assert bench.state.peak("x-y") == PEAK


def test_a_command_that_fails_has_run_all_the_same(bench):
    bench.behaviour.command = lambda spec, command: ExecResult(exit_code=1, output="usage")
    assert bench.measure(IntruderProbe()).values["intruder.wget"] == 1


def test_without_a_tool_image_the_program_is_not_measured(bench):
    bench.lab.reach = Reach(tool="no base")
    values = bench.measure(IntruderProbe()).values
    assert "intruder.program" not in values
    assert values["intruder.sh"] == 1


def test_an_engine_with_another_root_folder_gives_no_program_and_no_restrictions(bench):
    bench.lab.reach = Reach(files="the engine does not see the files of this machine")
    values = bench.measure(IntruderProbe()).values
    assert "intruder.program" not in values, "absent, and not 0"
    assert values["intruder.sh"] == 1
    assert set(IntruderProbe().unmeasured(bench.lab.reach)) == {"intruder.program"}
    assert not IntruderProbe().impossible(bench.lab)
    harden = HardenProbe()
    assert set(harden.unmeasured(bench.lab.reach)) == {metric.name for metric in harden.metrics}
    assert "does not see the files" in harden.impossible(bench.lab)


def test_the_program_is_taken_out_of_its_image_once(bench, tmp_path):
    path = tool_program(bench.engine, tmp_path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"program", 0o755)
    before = len(bench.engine.calls)
    assert tool_program(bench.engine, tmp_path) == path
    assert "save" not in " ".join(bench.engine.calls[before:])


def test_an_app_that_works_under_all_restrictions_is_started_with_them_once(bench):
    bench.state.note_peak("x-y", PEAK)
    reading = bench.measure(HardenProbe())
    assert set(reading.values.values()) == {1.0}
    (spec,) = bench.engine.created
    assert (spec.read_only, list(spec.cap_drop), list(spec.security_opt)) == (True, ["ALL"], ["no-new-privileges"])
    assert (spec.user, spec.memory) == (NOBODY, int(1.2 * PEAK))


def test_what_breaks_an_app_is_found_by_trying_each_restriction_alone(bench):
    bench.behaviour.breaks = lambda spec: (
        "read-only file system" if spec.read_only and "/tmp" not in spec.tmpfs else "not root" if spec.user else ""
    )
    reading = bench.measure(HardenProbe())
    assert {name.removeprefix("harden."): value for name, value in reading.values.items()} == {
        "readonly": 0,
        "capabilities": 1,
        "privileges": 1,
        "nonroot": 0,
        "memory": 1,
        "all": 0,
    }
    record = json.loads(reading.artefacts["harden.json"])
    assert (record["peak"], record["limit"]) == (PEAK, int(1.2 * PEAK))
    assert record["reasons"]["readonly"].endswith("read-only file system")
    assert record["reasons"]["readonly with a writable /tmp"] == ""


def test_an_app_that_hangs_under_a_restriction_is_not_waited_for_as_long_as_it_may_take_to_start(bench, monkeypatch):
    monkeypatch.setattr("harness.probes.harden._LEAST_PATIENCE", 0.5)
    bench.state.note_peak("x-y", PEAK)
    bench.behaviour.hangs = lambda spec: spec.read_only
    assert bench.prepared.cell.app.start_timeout > 10
    began = time.monotonic()
    reading = bench.measure(HardenProbe())
    assert time.monotonic() - began < 10
    assert (reading.values["harden.readonly"], reading.values["harden.nonroot"]) == (0, 1)
    assert "0.5 s" in reading.notes["readonly"]


def test_an_app_that_starts_but_answers_wrongly_does_not_work(bench):
    bench.state.note_peak("x-y", PEAK)
    bench.behaviour.wrong = True
    reading = bench.measure(HardenProbe())
    assert set(reading.values.values()) == {0.0}
    assert "wrong" in reading.notes["all"]


def test_an_app_that_does_not_work_as_it_is_fails_the_try(bench):
    bench.behaviour.breaks = lambda spec: "no"
    for probe in (IntruderProbe(), HardenProbe()):
        with pytest.raises(TryFailed):
            bench.measure(probe)
