"""What the planner saves, and what deciding costs: replayed from stored samples of real runs."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from harness.experiments.race import GOALS, races
from harness.store.run import read_run

STORED = sorted((Path(__file__).parents[1] / "tests" / "data").glob("real-samples*"))


def test_samples_to_a_confidence(benchmark, capsys):
    """Prints, for each goal, the samples of the planner as a share of those of an equal plan."""
    runs = [read_run(folder) for folder in STORED]
    found = benchmark.pedantic(lambda: [race for run in runs for race in races(run, seeds=range(8))], rounds=1)
    with capsys.disabled():
        for goal in GOALS:
            shares = [race.share for race in found if race.goal == goal]
            if shares:
                print(
                    f"\nintervals within {goal:.0%}: {median(shares):.0%} of the samples, {len(shares)} races", end=""
                )
        print(f"\nin all: {median(race.share for race in found):.0%}")
    assert found
