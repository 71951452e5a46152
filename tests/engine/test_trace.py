"""BuildKit's messages become steps and a log."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.buildkit_pb2 import StatusResponse, Vertex, VertexLog
from harness.engine.trace import NANO, Trace

T0 = 1_700_000_000


def stamp(seconds: float | None) -> Timestamp | None:
    """Seconds since T0 as a message; None if BuildKit sets none."""
    if seconds is None:
        return None
    nanos = T0 * NANO + round(seconds * NANO)
    return Timestamp(seconds=nanos // NANO, nanos=nanos % NANO)


def vertex(
    digest: str, started: float | None = None, completed: float | None = None, *, name: str = "", **more: object
) -> Vertex:
    return Vertex(
        digest=digest,
        name=name or f"[1/2] RUN {digest}",
        started=stamp(started),
        completed=stamp(completed),
        **more,  # type: ignore[arg-type]
    )


def aux(*parts: Vertex | VertexLog) -> bytes:
    message = StatusResponse(
        vertexes=[part for part in parts if isinstance(part, Vertex)],
        logs=[part for part in parts if isinstance(part, VertexLog)],
    )
    return message.SerializeToString()


def traced(*messages: Vertex | VertexLog) -> Trace:
    trace = Trace()
    for message in messages:
        trace.feed(aux(message))
    return trace


def test_updates_of_a_vertex_merge() -> None:
    trace = traced(vertex("a"), vertex("a", 1.5, inputs=["b", "c"]), vertex("a", 1.5, 4.0))
    (step,) = trace.steps(T0)
    assert (step.name, step.started, step.seconds, step.cached) == ("[1/2] RUN a", 1.5, 2.5, False)
    assert (step.digest, step.inputs, step.error) == ("a", ("b", "c"), "")


def test_stages_overlap_and_steps_are_in_the_order_of_their_starts() -> None:
    trace = Trace()
    trace.feed(aux(vertex("late", 2, 5), vertex("early", 0, 4), vertex("never")))
    assert [(step.digest, step.started, step.seconds) for step in trace.steps(T0)] == [("early", 0, 4), ("late", 2, 3)]


def test_the_gap_before_a_restart_is_nobodys_time() -> None:
    trace = traced(vertex("a", 1, 2), vertex("a"), vertex("a", 5), vertex("a", 5, 8), vertex("a", 6, 7))
    (step,) = trace.steps(T0)
    assert (step.started, step.seconds) == (1, 4)


def test_a_step_is_cached_if_no_run_of_it_worked() -> None:
    assert traced(vertex("a", 1), vertex("a", 1, 1, cached=True)).steps(T0)[0].cached
    assert not traced(vertex("a", 1, 2), vertex("a", 3, 3, cached=True)).steps(T0)[0].cached
    assert not traced(vertex("a", 1, 1, cached=True), vertex("a", 3, 9)).steps(T0)[0].cached


def test_an_open_step_ends_with_the_last_message() -> None:
    trace = traced(vertex("a", 1), vertex("b", 2, 7))
    assert trace.steps(T0)[0].seconds == 6
    assert trace.running() == "RUN a"
    assert traced(vertex("b", 2, 7)).running() == ""


def test_the_step_that_failed() -> None:
    trace = traced(
        vertex("a", 1, 3, error="failed to compute cache key: context canceled: context canceled"),
        vertex("b", 1, 3, name="[build 2/4] RUN go build", error="exit code: 1"),
        vertex("c", 1),
    )
    assert trace.failed() == ("b", "RUN go build")
    assert [step.error for step in trace.steps(T0)][1] == "exit code: 1"
    assert traced(vertex("a", 1, 3)).failed() is None


def test_an_error_is_forgotten_when_the_step_runs_again() -> None:
    assert traced(vertex("a", 1, 2, error="lost"), vertex("a", 3, 4)).failed() is None


@pytest.mark.parametrize(
    ("name", "instruction"),
    [
        ("[2/4] RUN [ 1/2 ]", "RUN [ 1/2 ]"),
        ("[build stage-1 2/4] COPY a b", "COPY a b"),
        ("[internal] load metadata for a/b:1", "[internal] load metadata for a/b:1"),
        ("exporting to image", "exporting to image"),
    ],
)
def test_an_instruction_is_told_without_its_stage(name: str, instruction: str) -> None:
    assert traced(vertex("a", 1, 2, name=name, error="x")).failed() == ("a", instruction)


def test_the_log_is_kept_by_step() -> None:
    trace = traced(
        vertex("a", 1),
        vertex("b", 1),
        VertexLog(vertex="a", msg=b"one\ntw"),
        VertexLog(vertex="b", msg=b"other\n"),
        VertexLog(vertex="a", msg=b"o\r\n10 %\r50 %\r100 %\nthr\xff\n"),
    )
    assert trace.log(step="a") == "one\ntwo\n100 %\nthr\N{REPLACEMENT CHARACTER}"
    assert trace.log() == f"[1/2] RUN a\n{trace.log(step='a')}\n[1/2] RUN b\nother"
    assert trace.log(2, step="a") == "100 %\nthr\N{REPLACEMENT CHARACTER}"
    assert trace.log(0) == ""
    assert trace.log(step="unknown") == ""
    assert Trace().log() == ""


@pytest.mark.parametrize("data", [b"no message", b"\xff\xff\xff"])
def test_what_is_no_trace_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a trace"):
        Trace().feed(data)


def test_fields_that_are_not_read_do_no_harm() -> None:
    progress = b"\x12\x08\x0a\x06layer1"  # StatusResponse.statuses, field 2
    trace = Trace()
    trace.feed(progress + StatusResponse(vertexes=[vertex("a", 1, 2)]).SerializeToString())
    assert len(trace.steps(T0)) == 1


TIMES = st.floats(0, 1000, allow_nan=False).map(lambda seconds: round(seconds, 3))
RUNS = st.lists(st.tuples(TIMES, TIMES).map(sorted), min_size=1, max_size=5, unique_by=lambda run: run[0])


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), RUNS, min_size=1), st.data())
def test_steps_depend_on_what_is_told_and_not_on_how(
    vertices: dict[str, list[list[float]]], data: st.DataObject
) -> None:
    told = [vertex(digest, *run) for digest, runs in vertices.items() for run in runs]
    repeated = data.draw(st.permutations(told + [vertex(digest) for digest in vertices] + told))
    steps = {step.digest: step for step in traced(*repeated).steps(T0)}
    assert steps == {step.digest: step for step in traced(*told).steps(T0)}
    assert steps.keys() == vertices.keys()
    for digest, runs in vertices.items():
        step = steps[digest]
        first, last = min(start for start, _ in runs), max(end for _, end in runs)
        assert step.started == pytest.approx(first)
        longest = max(end - start for start, end in runs)
        together = sum(end - start for start, end in runs)
        assert longest - 1e-9 <= step.seconds <= min(last - first, together) + 1e-9


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=20), st.integers(0, 30))
def test_a_log_may_be_cut_anywhere(chunks: list[bytes], tail: int) -> None:
    whole = traced(VertexLog(vertex="a", msg=b"".join(chunks)))
    pieces = traced(VertexLog(vertex="a"), *(VertexLog(vertex="a", msg=chunk) for chunk in chunks))
    assert pieces.log(step="a") == whole.log(step="a")
    assert pieces.log(tail, step="a").split("\n") == (whole.log(step="a").split("\n")[-tail:] if tail else [""])
