"""What happens in an engine in memory in place of real work: the steps, layers and programs that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.engine.contract import ContainerSpec, ExecResult, LayerPull, Step
from harness.engine.fake.http import Answer
from harness.engine.fake.image import digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeProgram:
    """What a container does once it is started.

    With the `exit_code` None it runs until it is removed. With `answer` it serves HTTP on every port that the container
    publishes and on `port`; without `answer`, nothing listens. `fails` is the engine's reason not to start it.
    """

    exit_code: int | None = None
    output: str = ""
    answer: Answer | None = None
    port: int = 8080
    oom_killed: bool = False
    fails: str = ""


@dataclass(slots=True)
class Behaviour:
    """What happens in place of a real engine's work. Durations are seconds.

    `programs` are looked up by image name; an image without one runs forever and listens to nothing.
    """

    step_seconds: float = 1.0  # duration of each instruction that was not cached
    layer_seconds: float = 1.0  # duration of the download of each layer, and of unpacking it
    start_seconds: float = 0.0
    programs: dict[str, FakeProgram] = field(default_factory=dict)

    def build(self, tag: str, instructions: Sequence[str], cached: bool) -> tuple[Step, ...]:
        """Steps of a build, one after the other. Override to raise BuildFailed, or to choose their times."""
        del tag
        seconds = 0.0 if cached else self.step_seconds
        return tuple(
            Step(
                name=f"[{number}/{len(instructions)}] {instruction}",
                started=(number - 1) * seconds,
                seconds=seconds,
                cached=cached,
                digest=digest_of(instruction.encode()),
            )
            for number, instruction in enumerate(instructions, start=1)
        )

    def pull(self, name: str, layers: Sequence[str], present: Sequence[str]) -> tuple[LayerPull, ...]:
        """Layers of a pull: downloads side by side, unpacking in order. Override to raise PullFailed."""
        del name
        pulled, unpacked, took = [], self.layer_seconds, self.layer_seconds
        for layer in layers:
            if layer in present:
                pulled.append(LayerPull(layer=_short(layer), reused=True))
                continue
            pulled.append(
                LayerPull(
                    layer=_short(layer),
                    reused=False,
                    download_start=0.0,
                    download_end=took,
                    extract_start=unpacked,
                    complete=unpacked + took,
                )
            )
            unpacked += took
        return tuple(pulled)

    def program(self, spec: ContainerSpec) -> FakeProgram:
        """What a container runs. Override to decide by command or environment."""
        return self.programs.get(spec.image, FakeProgram())

    def command(self, spec: ContainerSpec, command: Sequence[str]) -> ExecResult:
        """The result of a command in a running container. Override to know some commands."""
        del spec
        return ExecResult(exit_code=127, output=f"{command[0]}: not found")


def hex_of(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _short(digest: str) -> str:
    return hex_of(digest)[:12]
