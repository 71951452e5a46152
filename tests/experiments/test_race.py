"""The planner against a simple plan, on stored real samples."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from harness.experiments.race import GOALS, races
from harness.store.run import read_run

STORED = sorted((Path(__file__).parents[1] / "data").glob("real-samples*"))


@pytest.mark.simulation
@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_the_planner_takes_about_half_the_samples(folder, capsys):
    """To the same confidence, against the same number for every cell in sequence.

    What can be saved is the difference between rows: an equal plan gives every row what the noisiest one needs. Of four
    rows, two of them as noisy, little more than two fifths can be saved: half is asked of a run of eight rows or more.
    It applies only if saving is possible: there is no interval before six blocks of all, so half of eight cannot be
    saved.
    """
    run = read_run(folder)
    found = races(run, seeds=range(8))
    rows = {(cell.partition("-")[0], metric.partition(".")[0]) for cell, metric in run.series()}
    with capsys.disabled():
        print(f"\nplanner, {folder.name}, {len(rows)} rows, samples of an equal plan that it takes:")
        for goal in GOALS:
            races_ = [item for item in found if item.goal == goal]
            if races_:
                print(f"  to {goal:.0%}: {median(item.share for item in races_):.0%} ({len(races_)} races)")
    open_ = [item for item in found if item.is_open]
    assert len(open_) >= 12
    assert all(item.planned >= item.least for item in found)
    assert median(item.share for item in open_) <= (0.5 if len(rows) >= 8 else 0.6)
