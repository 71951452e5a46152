"""Services beside an app, on the engine in memory. A real database runs in test_matrix_live.py."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.engine.fake.behaviour import Behaviour, FakeProgram
from harness.engine.fake.engine import FakeEngine
from harness.errors import BaseUnavailable, TryFailed
from harness.image.context import BuildContext
from harness.lab.bases.bases import BaseImage
from harness.lab.services import Services
from harness.model import App, Cell, Edit, Request, Service, Status, Strategy

EDIT = Edit("main", "0", "{n}")
IMAGE = "tare.local/base/store:1"


@contextmanager
def listening():
    """A port that accepts connections where the containers of the engine in memory have their address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port() -> int:
    with listening() as port:
        return port


def cell(strategy: str, port: int) -> Cell:
    store = Service(
        name="store", title="A store", base="store", port=port, command=("serve",), inside=("full",), start_timeout=0.3
    )
    app = App(
        name="shop",
        title="Shop",
        language="sh",
        path=Path(),
        port=8080,
        ready=Request("/"),
        verify=(),
        source_change=EDIT,
        dependency_change=EDIT,
        env={"STORE": "redis://{store}/0", "MODE": "plain"},
        services=(store,),
    )
    kind = Strategy(name=strategy, title=strategy, summary="", trades="", path=Path(), rank=1)
    return Cell(app=app, strategy=kind, dockerfile=Path("Dockerfile"), bases=("os",))


BASE = BaseImage(role="store", name=IMAGE, image_id="sha256:1", diff_ids=(), lane="packages", provenance={})


class Shelf:
    """A store whose images the engine knows already."""

    def load(self, engine, images):
        assert all(engine.inspect(image.name) for image in images)


@contextmanager
def services(tmp_path: Path, program: FakeProgram, base: BaseImage | BaseUnavailable = BASE):
    engine = FakeEngine(Behaviour(programs={IMAGE: program}))
    engine.build(context=BuildContext.of_files({}, dockerfile="FROM scratch\n"), tag=IMAGE)
    beside = Services(engine, Shelf(), {"store": base}, reaper=None, bind="127.0.0.1")
    try:
        yield engine, beside
        beside.close()
        assert not engine.containers()
    finally:
        engine.close()


def test_a_service_is_started_once_and_its_address_is_in_the_environment(tmp_path):
    with listening() as port, services(tmp_path, FakeProgram()) as (engine, beside):
        for on_node in (False, True):  # without a network of our own, a node is the engine itself
            env = beside.env(cell("slim", port), on_node=on_node)
            assert env == {"STORE": f"redis://127.0.0.1:{port}/0", "MODE": "plain"}
        assert len(engine.containers()) == 1


def test_a_service_that_has_died_is_started_again(tmp_path):
    with listening() as port, services(tmp_path, FakeProgram()) as (engine, beside):
        beside.env(cell("slim", port))
        (first,) = engine.containers()
        engine._containers[first].started = False
        beside.env(cell("slim", port))
        assert first not in engine.containers()


def test_a_strategy_that_has_the_service_inside_starts_none(tmp_path):
    with services(tmp_path, FakeProgram()) as (engine, beside):
        assert beside.env(cell("full", 5432))["STORE"] == "redis://127.0.0.1:5432/0"
        assert not engine.containers()
    assert cell("full", 1).roles == ("os",)
    assert cell("slim", 1).roles == ("os", "store")


@pytest.mark.parametrize(
    ("program", "status", "reason"),
    [
        (FakeProgram(exit_code=1, output="no space"), Status.EXITED, "exited with code 1"),
        (FakeProgram(), Status.TIMEOUT, "accepts no connection on port"),
        (FakeProgram(fails="no such file"), Status.ERROR, "no such file"),
    ],
)
def test_a_service_that_does_not_come_up_fails_the_cell_and_leaves_nothing(tmp_path, program, status, reason):
    with services(tmp_path, program) as (engine, beside):
        with pytest.raises(TryFailed, match=reason) as caught:
            beside.env(cell("slim", free_port()))
        assert caught.value.status is status
        assert caught.value.log == program.output
        assert not engine.containers()


def test_a_service_without_its_base_fails_the_cell_with_that_reason(tmp_path):
    missing = BaseUnavailable("no registry answers", where="base store")
    with (
        services(tmp_path, FakeProgram(), missing) as (_, beside),
        pytest.raises(TryFailed, match="no registry answers"),
    ):
        beside.env(cell("slim", 1))
