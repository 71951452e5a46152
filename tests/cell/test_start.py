"""What shows that a container works: a log line, the end of a job, an accepted connection."""

from __future__ import annotations

import socket
import threading

import pytest

from harness.cell.ask import connect
from harness.cell.start import Door, start_and_ask
from harness.engine.contract import ContainerSpec
from harness.engine.fake.behaviour import Behaviour, FakeProgram
from harness.engine.fake.engine import FakeEngine
from harness.errors import TryFailed
from harness.image.context import BuildContext
from harness.model import Connection, Exit, LogLine, Status

NAME = "tare.local/it:1"


@pytest.fixture
def engine():
    made = FakeEngine(Behaviour(), origin="private", addresses=True)
    made.build(context=BuildContext.of_files({}, dockerfile="FROM scratch"), tag=NAME)
    yield made
    made.close()


def started(engine: FakeEngine, program: FakeProgram, ready):
    engine.behaviour.programs[NAME] = program
    return start_and_ask(engine, ContainerSpec(image=NAME), Door("127.0.0.1", 1, ready, 0.3))


def failed(engine: FakeEngine, program: FakeProgram, ready) -> TryFailed:
    with pytest.raises(TryFailed) as error:
        started(engine, program, ready)
    assert engine.containers() == []
    return error.value


def test_a_log_line_that_contains_the_text_is_a_start(engine):
    times = started(engine, FakeProgram(output="loading\nnow listening on 80\n"), LogLine("listening"))
    assert times.called <= times.created <= times.ready
    assert engine.containers() == [times.container]


def test_without_the_line_the_time_runs_out(engine):
    error = failed(engine, FakeProgram(output="loading\n"), LogLine("listening"))
    assert error.status is Status.TIMEOUT
    assert "'listening'" in error.reason
    assert error.log == "loading\n"


def test_an_app_that_exits_before_its_line_has_failed(engine):
    error = failed(engine, FakeProgram(exit_code=3, output="no database\n"), LogLine("listening"))
    assert (error.status, error.log) == (Status.EXITED, "no database\n")
    assert "exit code 3" in error.reason


def test_the_line_counts_if_the_app_has_exited_since(engine):
    assert started(engine, FakeProgram(exit_code=0, output="done\n"), LogLine("done")).container


def test_a_job_is_measured_until_it_ends(engine):
    times = started(engine, FakeProgram(exit_code=0), Exit())
    assert times.ready >= times.started


def test_a_job_that_ends_badly_has_failed(engine):
    error = failed(engine, FakeProgram(exit_code=1, output="no input\n"), Exit())
    assert (error.status, error.reason) == (Status.EXITED, "the job failed (exit code 1)")
    assert error.log == "no input\n"


def test_a_job_that_does_not_end_is_a_time_out(engine):
    assert failed(engine, FakeProgram(), Exit()).status is Status.TIMEOUT


def test_a_port_that_accepts_is_a_start(engine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        engine.behaviour.programs[NAME] = FakeProgram()
        door = Door("127.0.0.1", server.getsockname()[1], Connection(), 2.0)
        assert start_and_ask(engine, ContainerSpec(image=NAME), door).ready


def test_a_connection_that_is_closed_at_once_is_a_proxy_without_an_app():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with pytest.raises(ConnectionError):
            connect(*server.getsockname())
        thread.join()
