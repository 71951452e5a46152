"""Two image stores, one truth: the same cells on the classic and on containerd's store, as a user measures them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.decision.engines import engine_of
from harness.report.engines import render
from harness.store.run import Run, list_runs, read_run

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
CLASSIC, CONTAINERD = "private:28.5", "private:28.5+containerd"  # one version: versions compress differently
CELLS = ("go-distroless", "go-scratch")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of the two cells on each engine, by engine; the cache is the user's."""
    results = tmp_path_factory.mktemp("engines")
    command = [sys.executable, "-m", "harness", "engines", "--engine", CLASSIC, "--engine", CONTAINERD]
    command += ["--results", str(results), "-k", " or ".join(CELLS), "-m", "size or pull or link or start"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TARE_IMAGES": "anew"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {engine_of(run): run for run in map(read_run, list_runs(results))}


@pytest.mark.timeout(900)
def test_each_engine_is_the_one_that_was_asked_for(runs: dict[str, Run]) -> None:
    facts = {engine: run.manifest.environment.facts for engine, run in runs.items()}
    assert facts[CLASSIC]["engine"].startswith("docker 28.5.")
    assert facts[CONTAINERD]["engine"].startswith("docker 28.5.")
    assert (facts[CLASSIC]["image store"], facts[CONTAINERD]["image store"]) == ("classic", "containerd")
    assert not any("node engine" in found for found in facts.values()), "a node is the run's engine"


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("metric", ["size.transfer", "size.unpacked", "size.base.transfer", "size.unique"])
def test_a_size_is_the_same_with_either_store(runs: dict[str, Run], cell: str, metric: str) -> None:
    classic, containerd = (float(runs[engine].series()[cell, metric].value[0]) for engine in (CLASSIC, CONTAINERD))
    assert containerd == pytest.approx(classic, rel=0.01)
    if metric == "size.base.transfer":
        assert containerd == classic, "bases are the same bytes"


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("engine", [CLASSIC, CONTAINERD])
def test_pulls_and_starts_are_measured(runs: dict[str, Run], engine: str, cell: str) -> None:
    series = runs[engine].series()
    for metric in ("pull.empty.total", "pull.previous.total", "start.warm.total", "deploy.total", "link.model100"):
        assert series[cell, metric].value[0] > 0
    assert ((cell, "pull.empty.unpack") in series) == (engine == CLASSIC), "measured rightly, or absent"
    sizes = series[cell, "size.transfer"].value[0]
    assert series[cell, "pull.empty.fetched"].value[0] == pytest.approx(sizes, rel=0.01)


def test_the_page_of_engines_shows_what_ran(runs: dict[str, Run]) -> None:
    text = render([runs[CLASSIC], runs[CONTAINERD]])
    assert f"| probe | {CLASSIC} | {CONTAINERD} |" in text
    assert "`pull.empty.unpack`" in text.partition("## What was not measured")[2]
