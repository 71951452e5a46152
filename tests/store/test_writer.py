"""The writer of a run folder: what it has put on disk stays there, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.errors import StoreError
from harness.model import Phase
from harness.store.documents import newest
from harness.store.run import latest, read_run
from harness.store.writer import RunWriter
from support.stored import a_try


def test_torn_tails_are_never_overwritten(writer: RunWriter) -> None:
    writer.close()
    for tail in (b'{"cell": "a', b"\0\0\0\0"):
        with (writer.folder / "samples.jsonl").open("ab") as file:
            file.write(tail)
        with RunWriter.resume(writer.folder) as again:
            assert "kept in samples.jsonl.torn-" in again.warnings[0]
    kept = [path.read_bytes() for path in sorted(writer.folder.glob("*.torn-*"))]
    assert kept == [b'{"cell": "a', b"\0\0\0\0"]


def test_two_writers_are_one_too_many(writer: RunWriter) -> None:
    with pytest.raises(StoreError, match=f"process {os.getpid()} is writing this run"):
        RunWriter.resume(writer.folder)
    writer.append(a_try())
    writer.close()
    RunWriter.resume(writer.folder).close()


def test_sessions_tell_who_wrote_what(writer: RunWriter) -> None:
    writer.images({"go-full": "sha256:1"})
    writer.append(a_try(0))
    writer.close("interrupted")
    with RunWriter.resume(writer.folder, argv=["tare", "resume"]) as again:
        again.append(a_try(1))
    first, second = read_run(writer.folder).sessions
    assert (first.argv, first.outcome, first.images) == (("tare", "bench"), "interrupted", {"go-full": "sha256:1"})
    assert (second.number, second.outcome, second.argv) == (1, "complete", ("tare", "resume"))
    assert [try_.session for try_ in read_run(writer.folder).tries()] == [0, 1]


@pytest.mark.parametrize(
    "changes", [{"values": {"x": float("nan")}}, {"seconds": float("inf")}, {"phases": (Phase("pull", 0, -np.inf),)}]
)
def test_what_is_no_number_is_refused_and_leaves_no_trace(writer: RunWriter, changes: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="not a valid sample"):
        writer.append(a_try(**changes))
    assert not (writer.folder / "samples.jsonl").read_bytes()


def test_a_log_that_is_not_unicode_is_kept_escaped(writer: RunWriter) -> None:
    writer.append(a_try(log=b"caf\xe9".decode(errors="surrogateescape")))
    assert next(read_run(writer.folder).tries()).log == "caf\\udce9"


def test_a_full_disk_leaves_whole_lines(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.append(a_try(0))
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(StoreError, match="cannot be written"):
        writer.append(a_try(1))
    monkeypatch.undo()
    writer.append(a_try(2))
    assert [try_.order for try_ in read_run(writer.folder).tries()] == [0, 2]


def test_artefacts_are_kept_side_by_side(writer: RunWriter) -> None:
    """The newest is always the last one given, also if it is what an older one was."""
    given = ("FROM a", "FROM a", "FROM b", b"FROM b", "FROM a")
    paths = [writer.artefact("go-full", "Dockerfile", text) for text in given]
    assert [path.name for path in paths] == ["Dockerfile", "Dockerfile", "Dockerfile.1", "Dockerfile.1", "Dockerfile.2"]
    assert newest(writer.folder, "go-full", "Dockerfile") == paths[-1]
    assert paths[0].read_text() == "FROM a"
    for cell, name in (("..", "x"), ("go-full", "a/b"), ("go-full", "..")):
        with pytest.raises(StoreError, match="artefact"):
            writer.artefact(cell, name, b"")


ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from harness.store.writer import RunWriter
from support.stored import MANIFEST, a_try
writer = RunWriter.create(Path(sys.argv[2]), MANIFEST)
for order in range(10**9):
    writer.append(a_try(order, log="x" * 5000))
    print(order, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(Path(__file__).parents[1]), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        reported = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
    with RunWriter.resume(latest(tmp_path)) as writer:
        writer.append(a_try(10**6))
    run = read_run(writer.folder)
    orders = [try_.order for try_ in run.tries()]
    assert orders[: len(reported)] == reported
    assert orders == [*range(len(orders) - 1), 10**6]
    assert [session.outcome for session in run.sessions] == ["", "complete"]
