"""A gate of two revisions on a real engine: its three exit codes, and what is left of it if it is ended."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness.report.revisions import MARK
from harness.store.run import list_runs, read_run
from support.checkouts import LIMIT, left_behind, set_small, small_checkout, traces

pytestmark = pytest.mark.live
CELL = "small-distroless"


def budgets(start: str) -> str:
    return f"""
[[budget]]
metrics = "size.transfer"
growth = "2 %"

[[budget]]
metrics = "start.warm.total"
growth = "{start}"
"""


COMMAND = [sys.executable, "-m", "harness", "gate", "--base", "HEAD~1", "--results", "results"]
STARTED = b"environment"  # in the line that says that the engine runs and the run has a folder
PATIENCE = 60.0  # s for a guardian


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=tare", "-c", "user.email=tare@localhost")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit of one small cell."""
    folder = small_checkout(tmp_path / "tare")
    (folder / "budgets.toml").write_text(budgets("5 %"))
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "one")
    return folder


def change(folder: Path) -> None:
    """A second commit: the app waits, the image has a larger picture, and its base has another environment."""
    set_small(folder, delay="300ms", picture=random.Random(1).randbytes(6_000_000))
    path = folder / "variants/bases.toml"
    text = path.read_text()
    assert "env = { SSL_CERT_FILE" in text
    path.write_text(text.replace("env = { SSL_CERT_FILE", 'env = { CHANGED = "yes", SSL_CERT_FILE'))
    commit(folder, "two")


def gate(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)


def temporary() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("tare-gate-*")}


def test_a_slower_and_larger_revision_fails_the_gate(repository):
    change(repository)
    before = traces()
    done = gate(repository)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith(f"{MARK}\n**Gate: failed**")
    failed = [line for line in done.stdout.splitlines() if line.startswith(f"| **fail** | {CELL} |")]
    assert [line.split(" | ")[2] for line in failed] == ["`size.transfer`", "`start.warm.total`"]
    assert all("layer COPY picture ./" in line and "+6.0 MB" in line for line in failed), done.stdout
    assert all("base distroless-static: " in line for line in failed)
    (folder,) = list_runs(repository / "results")
    assert f"Run folder: `{folder.relative_to(repository)}`" in done.stdout
    run = read_run(folder)
    assert len(run.sessions) == 1  # each revision is built once
    assert {cell for cell, _ in run.series() if cell} == {f"{CELL}.base", f"{CELL}.head"}
    assert not left_behind(before)
    assert not temporary()


def test_a_revision_within_its_budgets_passes_the_gate(repository):
    """The start may take twice as long, so that every start of a busy machine decides it."""
    set_small(repository, delay="0s", picture=b"another 0")
    commit(repository, "two")
    (repository / "budgets.toml").write_text(budgets("100 %"))
    done = gate(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{MARK}\n**Gate: passed**")
    assert "2 budgeted metrics measured in interleaved blocks" in done.stdout
    assert "Undecided" not in done.stdout
    (folder,) = list_runs(repository / "results")
    blocks = read_run(folder).series()[f"{CELL}.head", "start.warm.total"].block
    assert set(blocks) == set(range(12))


def test_a_gate_that_cannot_decide_within_its_budget_says_what_it_would_take(repository):
    """Four starts of 5 s a block: fewer than the six blocks that an interval needs fit into 80 s, and at least one."""
    set_small(repository, delay="5s", picture=b"0")
    commit(repository, "two")
    set_small(repository, delay="5s", picture=b"another 0")
    commit(repository, "three")
    done = gate(repository, "--budget", "80s")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.startswith(f"{MARK}\n**Gate: could not decide**")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| undecided |")]
    assert "`start.warm.total`" in row
    assert "too few blocks" in row
    taken = re.search(r"It would take about (\d+) more blocks?: --budget (\d+)m\.", done.stdout)
    assert taken, done.stdout
    (folder,) = list_runs(repository / "results")
    blocks = len(read_run(folder).series()[f"{CELL}.head", "start.warm.total"].block)
    assert int(taken[1]) == 6 - blocks
    assert int(taken[2]) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_gate_that_is_ended(repository, number):
    change(repository)
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
