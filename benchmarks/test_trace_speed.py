"""How fast BuildKit's trace is decoded: it comes while a build runs, and must not slow it down."""

from __future__ import annotations

import time

import pytest

from harness.engine.buildkit_pb2 import StatusResponse, Vertex, VertexLog
from harness.engine.trace import Trace

VERTICES, UPDATES = 64, 80  # a large build: 64 steps, each told 80 times, with a line of log each


@pytest.mark.benchmark(timer=time.process_time)
def test_trace_decoding(benchmark):
    messages = []
    for update in range(UPDATES):
        for number in range(VERTICES):
            vertex = Vertex(digest=f"sha256:{number:064x}", name=f"[{number}/{VERTICES}] RUN make all")
            vertex.started.seconds = 1_700_000_000 + number
            if update == UPDATES - 1:
                vertex.completed.seconds = vertex.started.seconds + 5
            line = VertexLog(vertex=vertex.digest, msg=b"compiling a file of some length\n" * 4)
            messages.append(StatusResponse(vertexes=[vertex], logs=[line]).SerializeToString())

    def decode():
        trace = Trace()
        for message in messages:
            trace.feed(message)
        return trace.steps(1_700_000_000.0)

    steps = benchmark.pedantic(decode, rounds=5)
    assert len(steps) == VERTICES
    rate = len(messages) / benchmark.stats.stats.median
    benchmark.extra_info["messages per second"] = round(rate)
    print(f"\n{len(messages)} messages, {rate:.0f} a second of processor time")
