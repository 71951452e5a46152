"""A gate of two revisions on a real engine: a change that starts later, weighs more and stands on another base."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness.report.revisions import MARK
from harness.store.run import list_runs, read_run
from support.checkouts import LIMIT, checkout, left_behind, traces

pytestmark = pytest.mark.live
BUDGETS = """
[[budget]]
metrics = "size.transfer"
growth = "2 %"

[[budget]]
metrics = "start.warm.total"
growth = "5 %"
"""
COMMAND = [sys.executable, "-m", "harness", "gate", "--base", "HEAD~1", "--results", "results"]
STARTED = b"environment"  # in the line that says that the engine runs and the run has a folder
PATIENCE = 60.0  # s for a guardian


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=tare", "-c", "user.email=tare@localhost")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def replaced(path: Path, find: str, replacement: str) -> None:
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, replacement))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; the second has an app that sleeps, a picture in the image, and a base with another environment."""
    folder = checkout(tmp_path / "tare", strategies=("distroless",))
    (folder / "budgets.toml").write_text(BUDGETS)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    replaced(folder / "apps/go/main.go", "func main() {\n", "func main() {\n\ttime.Sleep(300 * time.Millisecond)\n")
    (folder / "apps/go/picture").write_bytes(random.Random(1).randbytes(6_000_000))
    replaced(folder / "variants/distroless/go.Dockerfile", "/out/server ./\n", "/out/server /src/picture ./\n")
    replaced(folder / "variants/bases.toml", "env = { SSL_CERT_FILE", 'env = { CHANGED = "yes", SSL_CERT_FILE')
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "two")
    return folder


def temporary() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("tare-gate-*")}


def test_a_slower_and_larger_revision_fails_the_gate(repository):
    before = traces()
    done = subprocess.run(COMMAND, cwd=repository, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith(f"{MARK}\n**Gate: failed**")
    failed = [line for line in done.stdout.splitlines() if line.startswith("| **fail** | go-distroless |")]
    assert [line.split(" | ")[2] for line in failed] == ["`size.transfer`", "`start.warm.total`"]
    assert all("layer COPY /out/server /src/picture ./ added, +" in line for line in failed)
    assert all("base distroless-static: " in line for line in failed)
    (folder,) = list_runs(repository / "results")
    assert f"Run folder: `{folder.relative_to(repository)}`" in done.stdout
    run = read_run(folder)
    assert len(run.sessions) == 1  # each revision is built once
    assert {cell for cell, _ in run.series() if cell} == {"go-distroless.base", "go-distroless.head"}
    assert not left_behind(before)
    assert not temporary()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_gate_that_is_ended(repository, number):
    before = traces()
    with subprocess.Popen(COMMAND, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr
        said = b""
        while STARTED not in said and (line := process.stderr.readline()):
            said += line
        assert temporary()
        os.kill(process.pid, number)
        said += process.stderr.read()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    assert b"Traceback" not in said
    until = time.monotonic() + PATIENCE
    while (temporary() or left_behind(before)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left_behind(before)
    assert not temporary()
