"""What docs/trend.md promises, on fewer histories than it has: the real `Nightly` on a machine that computes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.nights.images import Good
from harness.nights.nightly import Comparison, Nightly
from harness.nights.records import PINNED
from harness.nights.watch import Watch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
try:
    import simulated_nights as simulation
finally:
    sys.path.pop(0)

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("anew", [True, False])
def test_five_per_cent_at_two_per_cent_noise_is_alarmed_by_the_third_night(anew):
    assert simulation.step("independent", 0.05, nights=3, series=20, anew=anew)[2] >= 0.95


def test_five_per_cent_at_half_a_per_cent_of_noise_is_alarmed_by_the_second_night():
    assert simulation.step("independent", 0.05, size=0.005, nights=2, series=15)[1] == 1.0


def test_a_step_in_the_night_of_a_new_kernel_is_alarmed():
    assert simulation.step("independent", 0.05, nights=2, series=15, hidden=True, baseline=12)[1] >= 0.9


def test_a_creep_is_alarmed_before_it_has_passed_the_budget_by_half():
    _, until, _ = simulation.creep("independent", 0.001, 1, nights=76, series=6)
    assert until == 1.0


def test_quiet_nights_raise_no_alarm():
    alarms, suspects, due = simulation.quiet("5 % spikes", series=12, nights=25)
    assert alarms <= 1
    assert 0 < suspects < 40
    assert due > 0


class Careless(Nightly):
    """Takes every image that is not suspect for good, so that a slow one is soon compared with itself."""

    def _promote(self, compared: Sequence[Comparison], found: Watch, track: str, run: str) -> Iterable[str]:
        suspects = {item.key.cell for item in found.series if item.suspicion or item.alarm}
        for cell, image in self._bench.images(run).items():
            if cell not in suspects:
                self._bench.kept(track).promote(cell, Good(image, run))
        return ()


def test_the_simulation_shows_it_if_images_are_promoted_unproved():
    """A creep is what a careless promotion hides: every image is compared with the one of the night before."""
    sums = np.tile(0.001 * np.arange(70), (5, 1))
    machine = simulation.noise("independent", np.random.default_rng(6), 70, 5)
    bench = simulation.SimulatedBench(machine, sums)
    nightly = Careless(bench, tracks=(PINNED,), audit=simulation.AUDIT)
    alarmed = {item.key.cell for _ in range(70) for item in nightly.run().found.series if item.alarm}
    careful = simulation.course(simulation.SimulatedBench(machine, sums)).alarm.any(axis=1)
    assert careful.all()
    assert len(alarmed) < 5
