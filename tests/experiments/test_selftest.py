"""A cell against itself, on made-up noise and on stored real samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.catalogue.read import read
from harness.cli import main
from harness.experiments.selftest import TWINS, Count, against_itself, relabelled, twins
from harness.model import Metric, Unit
from harness.stats.intervals import RATE
from harness.store.run import Series, read_run

ROOT = Path(__file__).parents[2]
STORED = sorted((ROOT / "tests" / "data").glob("real-samples*"))
METRICS = tuple(Metric(name=f"start.{n}.total", unit=Unit.SECONDS, headline=True, help="") for n in ("cold", "warm"))


def series(values) -> Series:
    blocks = np.arange(len(values), dtype=np.int32)
    return Series(np.asarray(values, np.float64), blocks, blocks, np.zeros(len(values)))


def twin_samples(seed: int, apps: int, n: int, shift: float = 0.0) -> dict[tuple[str, str], Series]:
    """Twins in common blocks, with drift and spikes; the second `shift` slower in logs."""
    random = np.random.default_rng(seed)
    found = {}
    for app in range(apps):
        for metric in METRICS:
            drift = np.cumsum(random.normal(0, 0.05, n))
            for index, twin in enumerate(TWINS):
                spikes = (random.random(n) < 0.08) * random.exponential(0.6, n)
                found[f"app{app}-{twin}", metric.name] = series(
                    np.exp(drift + random.normal(0, 0.04, n) + spikes + shift * index)
                )
    return found


@pytest.mark.parametrize("n", [6, 9, 12, 20])
def test_twins_are_seldom_called_different(n, capsys):
    total = sum((relabelled(twin_samples(seed, 6, n), METRICS, seed=seed, tables=40) for seed in range(5)), Count())
    with capsys.disabled():
        print(f"\nA/A by relabelling, simulated, {n} blocks: {total.claims} of {total.verdicts} ({total.share:.2%})")
    assert total.verdicts == 5 * 40 * 12
    assert total.passed


def test_twins_that_differ_are_found_out_by_the_table_as_measured():
    """The check can fail: with a true difference hardly any relabelled table is as far apart as the measured one."""
    from harness.experiments.selftest import _compare, count

    samples = twin_samples(1, 6, 12, shift=0.4)
    pairs = [
        ((f"app{app}", metric.name), *(samples[f"app{app}-{twin}", metric.name].value for twin in TWINS))
        for app in range(6)
        for metric in METRICS
    ]
    assert count(_compare(pairs, METRICS)).share > 0.5


@pytest.mark.simulation
@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_real_cells_are_seldom_called_different_from_themselves(folder, capsys):
    run = read_run(folder)
    found = against_itself(run.series(), run.manifest.metrics, seed=7)
    with capsys.disabled():
        print(
            f"\nA/A on stored samples, {folder.name}: claimed, "
            + ", ".join(f"n = {n} {c.share:.2%}" for n, c in found.items())
        )
    for n, item in found.items():
        assert item.verdicts > 500, n
        assert item.share <= RATE, n


def test_twins_are_the_same_cell_under_two_names():
    cell = next(cell for cell in read(ROOT).cells if cell.id == "go-scratch")
    one, two = twins([cell])
    assert (one.id, two.id) == ("go-scratch-one", "go-scratch-two")
    assert one.dockerfile == two.dockerfile == cell.dockerfile
    assert one.app == two.app
    assert one.app.path == cell.app.path


@pytest.mark.simulation
def test_the_command_draws_from_a_stored_run(capsys):
    arguments = ["--run", str(STORED[0]), "--seed", "3"]
    assert main(["selftest", "aa", *arguments, "--tables", "20"]) == 0
    text = capsys.readouterr().out
    assert "allowed: 1 %" in text
    assert main(["selftest", "plan", *arguments]) in (0, 1)
    assert "samples, equal plan" in capsys.readouterr().out


def test_what_cannot_be_tested_is_told(capsys, tmp_path):
    assert main(["selftest", "aa", "no-such-cell", "--results", str(tmp_path)]) == 2
    assert "no-such-cell: no cell has this name" in capsys.readouterr().err
    assert main(["selftest", "aa", "go-scratch", "--probe", "smell", "--results", str(tmp_path)]) == 2
    assert "smell" in capsys.readouterr().err
