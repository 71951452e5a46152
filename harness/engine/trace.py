"""BuildKit's own trace of a build: which step ran when, and what it printed.

Control/Status streams `moby.buildkit.v1.StatusResponse` messages (buildkit.proto). Each carries the whole latest state
of some vertices, so a vertex appears several times. Stages overlap, so the lengths of steps may add up to more than the
build took.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from harness.engine.buildkit_pb2 import StatusResponse, Vertex
from harness.engine.contract import Step

NANO = 1_000_000_000
_STAGE = re.compile(r"\[(?!internal\])[^\]]*\d+/\d+\] ")  # "[build 2/4] ", but not "[internal] "


@dataclass(slots=True)
class _Vertex:
    """The state of a vertex. `runs` maps a start to its end (0 while open) and whether it was cached, in ns."""

    name: str = ""
    inputs: tuple[str, ...] = ()
    error: str = ""
    runs: dict[int, tuple[int, bool]] = field(default_factory=dict)
    log: list[bytes] = field(default_factory=list)

    def update(self, told: Vertex) -> int:
        """Merge one message about the vertex; returns its latest time, ns, or 0."""
        self.name = told.name or self.name
        self.inputs = tuple(told.inputs) or self.inputs
        self.error = told.error
        if not told.HasField("started"):
            return 0  # only announced: it does not change the known runs
        start = told.started.seconds * NANO + told.started.nanos
        end = told.completed.seconds * NANO + told.completed.nanos if told.HasField("completed") else 0
        self.runs[start] = (end, told.cached)
        return max(start, end)

    def busy(self, now: int) -> int:
        """Length of the union of all runs, ns; a run without an end lasts until `now`.

        A vertex that two parts of a build need may start again: the gap between two runs does not count (BuildKit's own
        display counts in the same way).
        """
        total, reached = 0, 0
        for start, (end, _) in sorted(self.runs.items()):
            until = max(end or now, start)
            total += max(0, until - max(start, reached))
            reached = max(reached, until)
        return total


class Trace:
    """Merges a build's messages by digest, as they come."""

    def __init__(self) -> None:
        self._vertices: dict[str, _Vertex] = {}  # in the order of their first appearance
        self._latest = 0

    def feed(self, data: bytes) -> None:
        """Take one message of the trace. Raises ValueError if it is not a trace."""
        try:
            message = StatusResponse.FromString(data)
        except DecodeError as error:
            raise ValueError(f"not a trace of BuildKit: {error}") from error
        for told in message.vertexes:
            self._latest = max(self._latest, self._vertex(told.digest).update(told))
        for line in message.logs:
            self._vertex(line.vertex).log.append(line.msg)

    def steps(self, t0: float) -> tuple[Step, ...]:
        """The vertices that have started, by their first start; `t0` is the build's start in Unix time, s.

        A step counts as cached if all of its runs were. A step that is still open at the last message ends there.
        """
        origin = round(t0 * NANO)
        started = [(min(vertex.runs), digest, vertex) for digest, vertex in self._vertices.items() if vertex.runs]
        return tuple(
            Step(
                name=vertex.name,
                started=(start - origin) / NANO,
                seconds=vertex.busy(self._latest) / NANO,
                cached=all(cached for _, cached in vertex.runs.values()),
                error=vertex.error,
                inputs=vertex.inputs,
                digest=digest,
            )
            for start, digest, vertex in sorted(started, key=lambda item: item[0])
        )

    def log(self, tail: int | None = None, *, step: str = "") -> str:
        """What the steps printed, each under its name; or only what the step with the digest `step` printed.

        `tail` keeps the last lines only.
        """
        if step:
            known = self._vertices.get(step)
            lines = _lines(known.log) if known else []
        else:
            lines = []
            for vertex in self._vertices.values():
                if vertex.log:
                    lines += [vertex.name, *_lines(vertex.log)]
        return "\n".join(lines if tail is None else lines[max(0, len(lines) - tail) :])

    def failed(self) -> tuple[str, str] | None:
        """Digest and instruction of the step that broke the build, without the "[stage 2/4]" before it.

        Steps that were only stopped because another one failed do not count.
        """
        for digest, vertex in self._vertices.items():
            if vertex.error and not vertex.error.endswith("context canceled"):
                return digest, _STAGE.sub("", vertex.name, count=1)
        return None

    def running(self) -> str:
        """Instruction of the step that started last and has not ended; "" if there is none."""
        open_runs = [
            (start, vertex.name)
            for vertex in self._vertices.values()
            for start, (end, _) in vertex.runs.items()
            if not end
        ]
        return _STAGE.sub("", max(open_runs)[1], count=1) if open_runs else ""

    def _vertex(self, digest: str) -> _Vertex:
        vertex = self._vertices.get(digest)
        if vertex is None:
            vertex = self._vertices[digest] = _Vertex()
        return vertex


def _lines(chunks: list[bytes]) -> list[str]:
    """Text lines of a step's output; of a line that was overwritten in place (a progress bar) only the last state."""
    text = b"".join(chunks).decode(errors="replace").replace("\r\n", "\n")
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip("\n").split("\n")]
