"""What every engine must do, as tests that run against the fake and against a real one.

Subclass `EngineContract` and give it the fixtures `engine` and `registry` (host:port that the engine may push to).
Images are one static Go program on `scratch`, so that no base and no registry is needed to begin with.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import pytest

from harness.engine.contract import ContainerSpec, Engine, ExecResult, Step
from harness.engine.fake.behaviour import Behaviour, FakeProgram
from harness.errors import BuildFailed, ContainerFailed, EngineError, PullFailed
from harness.image.context import BuildContext
from harness.settings import LABEL

PROGRAM = """
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	switch os.Args[1] {
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "fail":
		fmt.Println(strings.Join(os.Args[2:], " "))
		os.Exit(3)
	case "print":
		fmt.Println(strings.Join(os.Args[2:], " "))
	case "size":
		data, err := os.ReadFile(os.Args[2])
		fmt.Println(len(data), err)
	case "sleep":
		time.Sleep(time.Hour)
	case "serve":
		http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "hello ", r.URL.Path)
		}))
	}
}
"""

DOCKERFILE = """
FROM scratch
COPY app /app
RUN ["/app", "print", "built"]
ENTRYPOINT ["/app"]
CMD ["sleep"]
"""


@cache
def program() -> bytes:
    """The static program, built on the host: an image of it needs no base."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "go.mod").write_text("module app\ngo 1.19\n")
        (Path(folder) / "main.go").write_text(PROGRAM)
        subprocess.run(
            ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", "app", "."],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )
        return (Path(folder) / "app").read_bytes()


def context(dockerfile: str = DOCKERFILE, app: bytes | None = None) -> BuildContext:
    return BuildContext.of_files({"app": program() if app is None else app}, dockerfile=dockerfile, mode=0o755)


def new_name() -> str:
    return f"tare.local/test-{uuid.uuid4().hex[:10]}:1"


@contextmanager
def leaving_nothing(engine: Engine) -> Iterator[None]:
    """Removes what was made inside: other tests may use the same engine."""
    containers, images = set(engine.containers()), set(engine.images())
    try:
        yield
    finally:
        for container in set(engine.containers()) - containers:
            engine.remove(container)
        for image in set(engine.images()) - images:
            with suppress(EngineError):  # its names may be ones that another test removes
                engine.remove_image(image)


class ContractBehaviour(Behaviour):
    """The fake's side: the Go program's commands, in Python."""

    def build(self, tag: str, instructions: Sequence[str], cached: bool) -> tuple[Step, ...]:
        for instruction in instructions:
            if '"fail"' in instruction:
                raise BuildFailed("exit code: 3", step=instruction, log="some words")
        return super().build(tag, instructions, cached)

    def program(self, spec: ContainerSpec) -> FakeProgram:
        match list(spec.command or ["sleep"]):
            case ["exit", code]:
                return FakeProgram(exit_code=int(code))
            case ["print", *words]:
                return FakeProgram(exit_code=0, output=" ".join(words) + "\n")
            case ["serve"]:
                return FakeProgram(answer=lambda _, path: (200, f"hello {path}".encode()))
            case ["sleep"]:
                return FakeProgram()
        return FakeProgram(fails="no such file or directory")

    def command(self, spec: ContainerSpec, command: Sequence[str]) -> ExecResult:
        match list(command):
            case ["/app", "print", *words]:
                return ExecResult(exit_code=0, output=" ".join(words) + "\n")
            case ["/app", "exit", code]:
                return ExecResult(exit_code=int(code), output="")
        return super().command(spec, command)


class EngineContract:
    """The contract. `command` of the specs is added to the image's entry point, /app."""

    @pytest.fixture
    def name(self, engine: Engine) -> Iterator[str]:
        with leaving_nothing(engine):
            yield new_name()

    @pytest.fixture
    def image(self, engine: Engine, name: str) -> str:
        engine.build(context=context(), tag=name)
        return name

    def test_says_what_it_is(self, engine: Engine) -> None:
        info = engine.info
        assert info.kind
        assert info.version
        assert info.image_store in ("classic", "containerd")
        assert info.cgroup in ("1", "2")
        assert info.architecture in ("amd64", "arm64")
        assert info.cpus > 0
        assert info.memory > 0

    # Builds

    def test_a_build_gives_a_labelled_image_and_its_steps(self, engine: Engine, name: str) -> None:
        result = engine.build(context=context(), tag=name, no_cache=True)
        found = engine.inspect(name)
        assert found is not None
        assert found.id == result.image
        assert LABEL in found.labels
        assert found.diff_ids
        assert result.image in engine.images()
        run = next(step for step in result.steps if "RUN" in step.name)
        assert not run.cached
        assert 0 < run.seconds <= result.seconds
        starts = [step.started for step in result.steps]
        assert starts == sorted(starts)
        assert all(0 <= step.started <= step.started + step.seconds <= result.seconds for step in result.steps)

    def test_a_build_without_a_change_is_cached_unless_told_otherwise(self, engine: Engine, name: str) -> None:
        def cached(no_cache: bool) -> bool:
            steps = engine.build(context=context(), tag=name, no_cache=no_cache).steps
            return next(step.cached for step in steps if "RUN" in step.name)

        cached(no_cache=True)
        assert cached(no_cache=False)
        assert not cached(no_cache=True)

    def test_an_emptied_build_cache_makes_a_build_run_again(self, engine: Engine, name: str) -> None:
        engine.build(context=context(), tag=name)
        assert engine.prune_builds(mounts_only=True) >= 0
        assert engine.prune_builds() >= 0
        steps = engine.build(context=context(), tag=name).steps
        assert not next(step.cached for step in steps if "RUN" in step.name)

    def test_a_failing_step_is_named_with_what_it_printed(self, engine: Engine, name: str) -> None:
        dockerfile = 'FROM scratch\nCOPY app /app\nRUN ["/app", "fail", "some", "words"]\n'
        with pytest.raises(BuildFailed) as caught:
            engine.build(context=context(dockerfile), tag=name)
        assert caught.value.step == 'RUN ["/app", "fail", "some", "words"]'
        assert "some words" in caught.value.log
        assert "exit code: 3" in caught.value.what
        assert engine.inspect(name) is None

    # Images

    def test_a_saved_image_loads_as_the_same_image(self, engine: Engine, image: str, tmp_path: Path) -> None:
        archive = tmp_path / "image.tar"
        archive.write_bytes(b"".join(engine.save(image)))
        before = engine.inspect(image)
        engine.remove_image(image)
        assert engine.inspect(image) is None
        name = new_name()
        assert before is not None
        assert engine.load(archive, tag=name) == before.id
        assert engine.inspect(name) == before
        assert engine.inspect(image) is None  # the name inside the archive is not kept
        engine.remove_image(name)

    def test_an_archive_that_is_none_is_an_engine_error(self, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "image.tar").write_bytes(b"no archive")
        for archive in ("image.tar", "missing.tar"):
            with pytest.raises(EngineError):
                engine.load(tmp_path / archive, tag=new_name())

    def test_names_come_and_go(self, engine: Engine, image: str) -> None:
        other = new_name()
        engine.tag(image, other)
        assert engine.inspect(other) == engine.inspect(image)
        engine.remove_image(other)
        engine.remove_image(other)
        assert engine.inspect(other) is None
        assert engine.inspect(image) is not None

    def test_push_and_pull(self, engine: Engine, name: str, registry: str) -> None:
        app = program() + uuid.uuid4().bytes  # a layer that no other image has
        engine.build(context=context(app=app), tag=name)
        image, remote = name, f"{registry}/{name}"
        engine.tag(image, remote)
        digest = engine.push(remote)
        assert digest.startswith("sha256:")
        assert engine.resolve(remote) == digest
        known = engine.inspect(image)
        assert known is not None
        engine.remove_image(remote)
        engine.remove_image(image)
        engine.prune_builds()  # its layers are the images' own in some engines

        first = engine.pull(remote)
        assert first.digest == digest
        assert engine.inspect(remote) == known
        assert len(first.layers) == len(known.diff_ids)
        for layer in first.layers:
            assert not layer.reused
            # with containerd's store the engine does not say it when it happens
            assert (layer.complete is None) == (engine.info.image_store == "containerd")
            times = [layer.download_start, layer.download_end, layer.extract_start, layer.complete, first.seconds]
            heard = [time for time in times if time is not None]
            assert heard == sorted(heard)

        engine.tag(remote, image)
        again = engine.pull(remote)
        assert all(layer.reused and layer.complete is None for layer in again.layers)
        engine.remove_image(remote)

    def test_what_a_registry_does_not_have_is_a_failed_pull(self, engine: Engine, registry: str) -> None:
        for call in (engine.pull, engine.resolve):
            with pytest.raises(PullFailed):
                call(f"{registry}/tare.local/nothing:1")

    # Containers

    def test_a_container_that_ends(self, engine: Engine, image: str) -> None:
        container = engine.create(ContainerSpec(image=image, command=["print", "some", "words"]))
        assert container in engine.containers()
        before = engine.state(container)
        assert (before.running, before.exit_code) == (False, None)
        engine.start(container)
        assert engine.wait(container) == 0
        assert engine.logs(container) == "some words\n"
        after = engine.state(container)
        assert (after.running, after.exit_code, after.oom_killed) == (False, 0, False)
        engine.remove(container)
        engine.remove(container)
        assert container not in engine.containers()

    def test_an_exit_code(self, engine: Engine, image: str) -> None:
        container = engine.create(ContainerSpec(image=image, command=["exit", "7"]))
        engine.start(container)
        assert engine.wait(container) == 7
        assert engine.state(container).exit_code == 7

    def test_a_container_that_runs(self, engine: Engine, image: str) -> None:
        container = engine.create(ContainerSpec(image=image))
        engine.start(container)
        state = engine.state(container)
        assert state.running
        assert state.exit_code is None
        assert state.address
        with pytest.raises(EngineError, match="still running"):
            engine.wait(container, timeout=0.1)
        engine.remove(container)

    def test_commands_in_a_container(self, engine: Engine, image: str) -> None:
        container = engine.create(ContainerSpec(image=image))
        engine.start(container)
        assert engine.run_in(container, ["/app", "print", "x"]) == ExecResult(exit_code=0, output="x\n")
        assert engine.run_in(container, ["/app", "exit", "5"]) == ExecResult(exit_code=5, output="")
        missing = engine.run_in(container, ["/missing"])
        assert missing.exit_code in (126, 127)
        assert "/missing" in missing.output

    def test_a_published_port(self, engine: Engine, image: str) -> None:
        container = engine.create(ContainerSpec(image=image, command=["serve"], ports={8080: 0}))
        engine.start(container)
        port = engine.state(container).ports[8080]
        with urlopen(f"http://127.0.0.1:{port}/path") as answer:
            assert answer.read() == b"hello /path"

    def test_a_container_may_join_the_network_of_another(self, engine: Engine, image: str) -> None:
        pause = engine.create(ContainerSpec(image=image))
        engine.start(pause)
        container = engine.create(ContainerSpec(image=image, command=["serve"], network=f"container:{pause}"))
        engine.start(container)
        assert engine.state(container).address == ""
        assert engine.state(pause).address

    def test_a_container_that_cannot_be(self, engine: Engine, image: str) -> None:
        with pytest.raises(ContainerFailed):
            engine.create(ContainerSpec(image="tare.local/nothing:1"))
        dockerfile = "FROM scratch\nCOPY app /app\n"
        engine.build(context=context(dockerfile), tag=image)
        container = engine.create(ContainerSpec(image=image, command=["/missing"]))
        with pytest.raises(ContainerFailed):
            engine.start(container)
        assert engine.state(container).exit_code == 127

    def test_what_is_not_there_is_an_engine_error(self, engine: Engine) -> None:
        nothing = "tare.local/nothing:1"
        calls = (
            lambda: engine.state("nothing"),
            lambda: engine.start("nothing"),
            lambda: engine.logs("nothing"),
            lambda: engine.wait("nothing"),
            lambda: engine.run_in("nothing", ["/app"]),
            lambda: list(engine.save(nothing)),
            lambda: engine.tag(nothing, new_name()),
            lambda: engine.push(nothing),
        )
        for call in calls:
            with pytest.raises(EngineError):
                call()
        assert engine.inspect(nothing) is None
        engine.remove_image(nothing)
        engine.remove("nothing")
