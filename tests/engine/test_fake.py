"""The fake engine keeps the contract, and does what a test demands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from harness.engine.contract import ContainerSpec, Engine, LayerPull, Step
from harness.engine.fake.behaviour import Behaviour, FakeProgram
from harness.engine.fake.engine import FakeEngine
from harness.errors import BuildFailed, ContainerFailed, EngineError, PullFailed
from support.engine_contract import ContractBehaviour, EngineContract, context

CONTEXT = context("FROM scratch\nCOPY app /app\nRUN one \\\n  two\n", app=b"program")
IMAGE = "tare.local/app:1"


@pytest.fixture
def program_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.engine_contract.program", lambda: b"program")


@pytest.mark.usefixtures("program_is_not_needed")
class TestContract(EngineContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = FakeEngine(ContractBehaviour())
        yield engine
        engine.close()

    @pytest.fixture
    def registry(self) -> str:
        return "registry.test:5000"


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    engine.build(context=CONTEXT, tag=IMAGE)
    yield engine
    engine.close()


def started(engine: FakeEngine, program: FakeProgram, spec: ContainerSpec | None = None) -> str:
    engine.behaviour.programs[IMAGE] = program
    container = engine.create(spec or ContainerSpec(image=IMAGE))
    engine.start(container)
    return container


def test_calls_are_logged_in_order() -> None:
    engine = FakeEngine()
    engine.build(context=CONTEXT, tag=IMAGE)
    container = engine.create(ContainerSpec(image=IMAGE))
    engine.start(container)
    engine.remove(container)
    assert engine.calls == [f"build {IMAGE}", f"create {IMAGE}", f"start {container}", f"remove {container}"]


def test_durations_are_the_behaviours_and_are_spent() -> None:
    spent: list[float] = []
    engine = FakeEngine(Behaviour(step_seconds=2, layer_seconds=3, start_seconds=5), spend=spent.append)
    assert engine.build(context=CONTEXT, tag=IMAGE).seconds == 6
    assert [step.name for step in engine.build(context=CONTEXT, tag=IMAGE).steps] == [
        "[1/3] FROM scratch",
        "[2/3] COPY app /app",
        "[3/3] RUN one two",
    ]
    engine.push(IMAGE)
    engine.remove_image(IMAGE)
    assert engine.pull(IMAGE).seconds == 6
    engine.start(engine.create(ContainerSpec(image=IMAGE)))
    assert spent == [6, 0, 6, 5]


def test_engines_that_share_a_registry_pull_what_the_other_pushed() -> None:
    first = FakeEngine()
    second = FakeEngine(registry=first.registry, origin="node")
    first.build(context=CONTEXT, tag=IMAGE)
    digest = first.push(IMAGE)
    assert second.pull(IMAGE).digest == digest
    assert second.inspect(IMAGE) == first.inspect(IMAGE)


def test_behaviour_can_be_overridden() -> None:
    class Broken(Behaviour):
        def build(self, tag: str, instructions: Sequence[str], cached: bool) -> tuple[Step, ...]:
            if "bad" in tag:
                raise BuildFailed("exit code: 1", step=instructions[-1])
            return super().build(tag, instructions, cached)

        def pull(self, name: str, layers: Sequence[str], present: Sequence[str]) -> tuple[LayerPull, ...]:
            raise PullFailed(f"no space for {len(layers)} layers beside {len(present)}", where=name)

    engine = FakeEngine(Broken())
    with pytest.raises(BuildFailed, match="RUN one two: exit code: 1"):
        engine.build(context=CONTEXT, tag="tare.local/bad")
    engine.build(context=CONTEXT, tag=IMAGE)
    engine.push(IMAGE)
    with pytest.raises(PullFailed):
        engine.pull(IMAGE)


def test_time_outs() -> None:
    spent: list[float] = []
    engine = FakeEngine(spend=spent.append)
    with pytest.raises(BuildFailed, match=r"no end within 0\.5 s"):
        engine.build(context=CONTEXT, tag=IMAGE, timeout=0.5)
    engine.build(context=CONTEXT, tag=IMAGE)
    engine.push(IMAGE)
    engine.remove_image(IMAGE)
    with pytest.raises(PullFailed):
        engine.pull(IMAGE, timeout=0.5)
    assert engine.inspect(IMAGE) is None
    assert spent == [0.5, 3, 0.5]


def test_a_system_engine_keeps_its_build_cache() -> None:
    with pytest.raises(EngineError, match="no_cache"):
        FakeEngine(origin="system").prune_builds()


def test_a_wrong_answer(engine: FakeEngine) -> None:
    container = started(engine, FakeProgram(answer=lambda _, path: (500, path.encode())))
    state = engine.state(container)
    with pytest.raises(HTTPError) as caught, urlopen(f"http://{state.address}:{state.ports[8080]}/x"):
        pass
    with caught.value as answer:
        assert answer.code == 500
        assert answer.read() == b"/x"


def test_a_connection_that_is_hung_up(engine: FakeEngine) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        raise ConnectionError(method, path)

    port = engine.state(started(engine, FakeProgram(answer=answer))).ports[8080]
    with pytest.raises((OSError, HTTPException)):
        urlopen(f"http://127.0.0.1:{port}/")


def test_a_server_that_never_answers(engine: FakeEngine) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        time.sleep(0.5)
        return 200, f"{method} {path}".encode()

    port = engine.state(started(engine, FakeProgram(answer=answer))).ports[8080]
    with pytest.raises(TimeoutError):
        urlopen(f"http://127.0.0.1:{port}/", timeout=0.05)


def test_a_joined_network_is_reached_through_its_owner(engine: FakeEngine) -> None:
    pause = started(engine, FakeProgram())
    started(
        engine,
        FakeProgram(answer=lambda _, path: (200, path.encode()), port=9000),
        ContainerSpec(image=IMAGE, network=f"container:{pause}"),
    )
    state = engine.state(pause)
    with urlopen(f"http://{state.address}:{state.ports[9000]}/path") as answer:
        assert answer.read() == b"/path"


def test_nothing_listens_once_removed(engine: FakeEngine) -> None:
    container = started(engine, FakeProgram(answer=lambda *_: (200, b"")))
    port = engine.state(container).ports[8080]
    engine.remove(container)
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/")


def test_endings(engine: FakeEngine) -> None:
    killed = engine.state(started(engine, FakeProgram(exit_code=137, oom_killed=True)))
    assert (killed.running, killed.exit_code, killed.oom_killed) == (False, 137, True)
    with pytest.raises(ContainerFailed, match="exec format error"):
        started(engine, FakeProgram(fails="exec format error"))
    container = started(engine, FakeProgram(output="a\nb\nc\n"))
    assert engine.logs(container, tail=2) == "b\nc\n"
