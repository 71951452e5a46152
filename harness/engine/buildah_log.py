"""The steps of a build as Buildah prints them: what POST /build of podman answers with.

    [1/2] STEP 2/3: RUN make        a step of stage 1 begins
    --> Using cache b74d0d89…       it was cached
    --> b74d0d89a0a                 it has ended
    [2/2] COMMIT name

Times are those at which a line arrived. If a step copies from a stage that is not built yet, Buildah builds that stage
first: the time of its steps does not count as time of the step that waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.engine.contract import Step

_STEP = re.compile(r"(?P<stage>\[\d+/\d+\] )?(?:STEP (?P<number>\d+/\d+): |(?P<commit>COMMIT\b))(?P<text>.*)")
_FAILED = re.compile(r'(?:building|error building) at STEP "(?P<step>.*?)": (?P<why>.*)', re.DOTALL)


@dataclass(slots=True)
class _Open:
    name: str
    stage: str
    started: float
    seconds: float = 0.0
    cached: bool = False
    log: list[str] = field(default_factory=list)


class BuildahLog:
    """Takes the output of one build, with times in seconds from its start."""

    def __init__(self, clean: Callable[[str], str] = lambda text: text) -> None:
        """`clean` takes out of an instruction what its Dockerfile does not have."""
        self._clean = clean
        self._steps: list[_Open] = []
        self._stack: list[_Open] = []  # the steps that have begun; the last one works, the others wait for it
        self._at = 0.0

    def feed(self, output: str, at: float) -> None:
        """Take one or more lines that arrived `at` seconds after the start."""
        self._spend(at)
        for line in output.splitlines():
            if found := _STEP.fullmatch(line):
                self._begin(found, at)
            elif line.startswith("--> Using cache"):
                if self._stack:
                    self._stack[-1].cached = True
            elif line.startswith("--> "):
                if self._stack:
                    self._stack.pop()
            elif self._stack:
                self._stack[-1].log.append(line)

    def steps(self, at: float) -> tuple[Step, ...]:
        """All steps, by their start; a step that is still open ends `at`."""
        self._spend(at)
        return tuple(
            Step(name=step.name, started=step.started, seconds=step.seconds, cached=step.cached) for step in self._steps
        )

    def running(self) -> str:
        """The instruction that works now; "" if there is none."""
        return _text(self._stack[-1].name) if self._stack else ""

    def log(self, tail: int | None = None) -> str:
        """What the steps printed, each under its name; `tail` keeps the last lines only."""
        lines = [line for step in self._steps if step.log for line in (step.name, *step.log)]
        return "\n".join(lines if tail is None else lines[max(0, len(lines) - tail) :])

    def failed(self, error: str) -> tuple[str, str]:
        """The instruction that broke the build, and why, from Buildah's error message."""
        found = _FAILED.match(error)
        if not found:
            return self.running(), error
        return self._clean(found["step"].replace('\\"', '"')), found["why"]

    def _begin(self, found: re.Match[str], at: float) -> None:
        stage = found["stage"] or ""
        while self._stack and self._stack[-1].stage == stage:  # FROM has no line for its end
            self._stack.pop()
        text = self._clean(f"{found['commit'] or ''}{found['text']}")
        number = f"{stage[:-2]}, {found['number']}] " if stage and found["number"] else ""
        step = _Open(f"{number}{text}", stage, at)
        self._steps.append(step)
        self._stack.append(step)

    def _spend(self, at: float) -> None:
        if self._stack:
            self._stack[-1].seconds += at - self._at
        self._at = at


def _text(name: str) -> str:
    return re.sub(r"^\[[^\]]*\] ", "", name)
