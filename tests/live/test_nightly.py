"""Nights one after the other on a real engine, the last with a change that weighs more and starts later."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from harness.nights.images import SavedImages
from harness.nights.records import CONFIRM
from harness.store.run import list_runs, read_run
from support.checkouts import LIMIT, checkout, left_behind, traces

pytestmark = pytest.mark.live
CONFIG = """blocks = 6
budget = "5m"
tracks = ["pinned"]
cells = ["go-slim"]
probes = ["size", "start"]
confirm_pairs = 12  # with six, one hiccup of the machine leaves even 300 ms undecided
confirm_budget = "5m"
"""


BUDGETS = """
[[budget]]
metrics = "size.transfer"
growth = "2 %"

[[budget]]
metrics = "start.*.total"
growth = "5 %"
"""


def night(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "nightly", "--results", "results"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)


def test_a_change_in_the_third_night_alarms_once_it_is_confirmed(tmp_path, live_settings):
    folder = checkout(tmp_path / "tare", strategies=("slim",))
    (folder / "budgets.toml").write_text(BUDGETS)
    (folder / "benchmarks/nightly.toml").write_text(CONFIG)
    before = traces()
    for _ in range(2):
        done = night(folder)
        assert done.returncode == 0, done.stdout + done.stderr
    source = folder / "apps/go/main.go"
    text = source.read_text()
    assert "func main() {\n" in text
    source.write_text(text.replace("func main() {\n", "func main() {\n\ttime.Sleep(300 * time.Millisecond)\n"))
    (folder / "apps/go/picture").write_bytes(random.Random(1).randbytes(6_000_000))
    done = night(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    alarms = [line for line in done.stdout.splitlines() if line.startswith("ALARM")]
    assert any("go-slim start.warm.total" in line for line in alarms), done.stdout
    assert "app source: main.go, picture" in done.stdout
    runs = [read_run(path) for path in list_runs(folder / "results")]
    assert [run.manifest.plan.get("purpose") == CONFIRM for run in runs] == [False, False, False, True]
    assert {cell for cell, _ in runs[-1].series()} == {"go-slim.good", "go-slim.new"}
    assert (folder / "results/trends.html").exists()
    keep = SavedImages.of(live_settings.cache, folder / "results", "pinned")
    good = keep.good("go-slim")
    assert good is not None
    assert good.image == runs[0].sessions[0].images["go-slim"]  # no successor was proved
    assert not left_behind(before)
