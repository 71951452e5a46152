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
from support.checkouts import LIMIT, left_behind, set_small, small_checkout, traces

pytestmark = pytest.mark.live
CELL = "small-distroless"
# `audit`: no A/B is due in so few nights; which night is a cell's own follows from its name.
# `confirm_pairs`: with six, one hiccup of the machine leaves even a long wait undecided.
CONFIG = f"""blocks = 6
budget = "5m"
tracks = ["pinned"]
cells = ["{CELL}"]
probes = ["size", "start"]
confirm_pairs = 12
confirm_budget = "5m"
audit = 365
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
    folder = small_checkout(tmp_path / "tare")
    (folder / "budgets.toml").write_text(BUDGETS)
    (folder / "benchmarks/nightly.toml").write_text(CONFIG)
    before = traces()
    for _ in range(2):
        done = night(folder)
        assert done.returncode == 0, done.stdout + done.stderr
    set_small(folder, delay="800ms", picture=random.Random(1).randbytes(6_000_000))
    done = night(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    alarms = [line for line in done.stdout.splitlines() if line.startswith("ALARM")]
    assert any(f"{CELL} start.warm.total" in line for line in alarms), done.stdout
    assert any(f"{CELL} size.transfer" in line for line in alarms), done.stdout
    assert {line.split()[2].rstrip(":") for line in alarms} <= {"size.transfer", "start.cold.total", "start.warm.total"}
    assert "app source: delay, picture" in done.stdout
    runs = [read_run(path) for path in list_runs(folder / "results")]
    assert [run.manifest.plan.get("purpose") == CONFIRM for run in runs[:3]] == [False, False, False]
    assert all(run.manifest.plan.get("purpose") == CONFIRM for run in runs[3:])  # rounds of one A/B, nearly always one
    assert {cell for cell, _ in runs[-1].series()} == {f"{CELL}.good", f"{CELL}.new"}
    assert (folder / "results/trends.html").exists()
    keep = SavedImages.of(live_settings.cache, folder / "results", "pinned")
    good = keep.good(CELL)
    assert good is not None
    assert good.image == runs[0].sessions[0].images[CELL]  # no successor was proved
    assert not left_behind(before)
