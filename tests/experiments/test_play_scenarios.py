"""Scenarios played out: what a killed run keeps, on the engine in memory; the formulas, on a real one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.catalogue.read import read
from harness.cli import main
from harness.engine.fake.engine import FakeEngine
from harness.errors import LabError, UsageError
from harness.experiments import plays
from harness.experiments.play_scenarios import (
    BUILDS,
    PULLS,
    Asked,
    Check,
    checks,
    missing,
    play,
)
from harness.model import Environment, Status
from harness.report.scenarios import render_checks
from harness.run import job
from harness.scenarios.formulas import SCENARIOS, LinkSpeed, Question, exact
from harness.settings import Settings
from harness.store.run import list_runs, read_run
from harness.text.display import Display
from support.checkouts import checkout
from support.fake_lab import REGISTRY, Apps, FakeRegistry, blob_of, fake_lab, make_cell

ROOT = Path(__file__).parents[2]
QUESTION = Question(wire=LinkSpeed(bits_per_second=20e6, rtt=0.01), nodes=2, versions=3)
LIMIT = 0.3  # others are at work on the machine; `tox -e scenarios` has the whole of it, and a stricter limit
NAMES = [scenario.name for scenario in SCENARIOS]


def test_a_formula_that_is_off_does_not_hold_and_is_marked():
    right, wrong = (
        Check(cell="go-slim", scenario="first", predicted=exact(value), measured=10.0) for value in (10.5, 13.0)
    )
    assert right.holds and right.error == pytest.approx(0.05)
    assert not wrong.holds
    text = render_checks([right, wrong], QUESTION)
    assert "+30.0%" in text and text.count("off by more than 15%") == 1


def test_a_cell_that_is_not_there_is_said_before_anything_is_started(tmp_path):
    with pytest.raises(UsageError, match="go-slmi: no cell has this name"):
        play(ROOT, tmp_path, read(ROOT), ["go-slmi"], QUESTION, Settings(cache=tmp_path), Display(sys.stderr))
    assert not list(tmp_path.iterdir())


# ── on the engine in memory ────────────────────────────────────────────────────────────────────────────────────────


class PlainRegistry(FakeRegistry):
    """A registry whose blobs are the layers as they are, so that pulls and manifests name the same ones; `begins` are
    the names that it counts as its own."""

    def __init__(self, images, begins=REGISTRY):
        super().__init__(images)
        self.push = self.pull = self._begins = begins

    def manifest(self, repository, reference, *, architecture=""):
        image = self._image(repository, reference)
        packed = super().manifest(repository, reference)
        return replace(packed, layers=tuple(map(blob_of, image.layers)))

    def config(self, repository, reference):
        return json.loads(self._image(repository, reference).config)

    def blob(self, repository, digest):
        del repository
        yield next(
            data
            for image in self._images.values()
            for data in (image.config, *image.layers)
            if blob_of(data).digest == digest
        )

    def _image(self, repository, reference):
        """By its tag or its digest."""
        if tagged := self._images.get(f"{REGISTRY}/{repository}:{reference}"):
            return tagged
        return next(image for image in self._images.values() if image.manifest_digest == reference)

    def stored_bytes(self):
        mine = [image for name, image in self._images.items() if name.startswith(self._begins)]
        return sum(
            {blob_of(data).digest: len(data) for image in mine for data in (image.config, *image.layers)}.values()
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Interrupting(Apps):
    """Ctrl-C comes in the pull or build of this number."""

    def __init__(self, at=0):
        super().__init__()
        self.left = at

    def _step(self):
        if threading.current_thread() is not threading.main_thread():
            return  # Ctrl-C comes in no other
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def build(self, tag, instructions, cached):
        self._step()
        return super().build(tag, instructions, cached)

    def pull(self, name, layers, present):
        self._step()
        return super().pull(name, layers, present)


class Bench:
    """Runs of the experiment, each session with an engine of its own, as real sessions have."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.behaviour = folder, Interrupting()
        self.cells = [make_cell(folder, "a"), make_cell(folder, "b")]
        self.kind = "namespace"
        self.links = []
        monkeypatch.setattr(job, "open_lab", self._lab)
        monkeypatch.setattr(job, "environment", lambda lab: Environment(facts={"engine": "fake"}))
        monkeypatch.setattr(plays, "Link", self._link)
        monkeypatch.setattr(plays, "Registry", lambda *_, **__: PlainRegistry(self.engine.registry, "store.test:5000"))

    def _link(self, reaper, target, bind, **speed):
        self.links.append(speed)
        return nullcontext(SimpleNamespace(address=target))

    def _lab(self, *_, **__):
        self.engine = FakeEngine(self.behaviour, origin="private", addresses=True)
        lab = fake_lab(self.folder, self.cells, self.engine)
        lab.nodes.kind = self.kind
        reaper = SimpleNamespace(scope=lambda: nullcontext(None))
        return nullcontext(replace(lab, registry=PlainRegistry(self.engine.registry), reaper=reaper))

    @property
    def catalogue(self):
        return fake_lab(self.folder, self.cells).catalogue

    def play(self, question=QUESTION, resume=None, only=()):
        names = [cell.id for cell in self.cells]
        display = Display(sys.stderr)
        try:
            return read_run(
                play(
                    self.folder,
                    self.folder / "results",
                    self.catalogue,
                    names,
                    question,
                    Settings(cache=self.folder / "cache"),
                    display,
                    only=only,
                    resume=resume,
                )
            )
        finally:
            display.close()
            self.engine.close()

    def stored(self):
        (folder,) = list_runs(self.folder / "results" / "scenarios")
        return read_run(folder)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def made(run):
    """How often each thing was measured successfully."""
    return Counter((try_.cell, try_.probe, try_.state, try_.block) for try_ in run.tries() if try_.status is Status.OK)


def test_every_scenario_is_played_once_and_compared_from_the_stored_run(bench):
    run = bench.play()
    assert not run.failures
    found = list(checks(run))
    cells = [cell.id for cell in bench.cells]
    assert [(each.cell, each.scenario) for each in found] == [
        *((cell, name) for cell in cells for name in NAMES),
        (" + ".join(cells), "storage"),
    ]
    assert not missing(run, found)
    count = Counter(probe for _, probe, _, _ in made(run))
    assert count["pull"] == PULLS * 3 * len(cells) and count["build"] == BUILDS * 4 * len(cells)
    assert {count[f"play-{name}"] for name in NAMES} == {len(cells)} and count["play-storage"] == 1
    assert bench.links and all(link == {"megabits": 20, "up_megabits": 20, "rtt": 0.01} for link in bench.links)
    assert found[-1].holds  # bytes are exact, even here


@pytest.mark.parametrize("at", [2, 9, 16, 22, 40])
def test_a_run_that_was_killed_goes_on_where_it_was_with_its_own_question(bench, at):
    bench.behaviour.left = at
    with pytest.raises(KeyboardInterrupt):
        bench.play()
    before = made(bench.stored())
    run = bench.play(replace(QUESTION, nodes=1, versions=9), resume=bench.stored())
    after = made(run)
    assert not run.failures and not missing(run, list(checks(run)))
    assert Asked.of(run).question == QUESTION
    assert before <= after  # nothing lost …
    again = {key: times for key, times in after.items() if times > 1}
    assert all(probe == "prepare" for _, probe, _, _ in again)  # … and nothing measured twice but what went away
    assert len(list_runs(bench.folder / "results" / "scenarios")) == 1


def test_a_play_that_fails_is_a_record_and_the_others_go_on(bench):
    bench.behaviour.broken = ("rebuilt",)
    run = bench.play()
    assert {failure.probe for failure in run.failures} == {"play-rebuild", "play-rebuild-cold"}
    found = list(checks(run))
    cells = [cell.id for cell in bench.cells]
    assert missing(run, found) == [f"{cell} {name}" for cell in cells for name in ("rebuild", "rebuild-cold")]


def test_only_some_scenarios(bench):
    run = bench.play(only=("first", "update"))
    assert [each.scenario for each in checks(run)] == ["first", "update", "first", "update", "storage"]
    assert not missing(run, list(checks(run)))
    assert not [key for key in made(run) if key[1] == "build"]


@pytest.mark.parametrize("kind", ["", "layers"])
def test_without_nodes_side_by_side_nothing_is_measured(bench, kind):
    bench.kind = kind
    with pytest.raises(LabError, match="scenarios need several empty machines"):
        bench.play()
    assert not list(bench.stored().tries())


def test_another_run_is_not_resumed(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = bench.play(only=("first",)).folder
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"scenarios"', '"other"'))
    assert main(["scenarios", "--resume", "--results", str(tmp_path / "results")]) == 2
    assert "this is not a run of scenarios" in capsys.readouterr().err


# ── on a real engine ───────────────────────────────────────────────────────────────────────────────────────────────


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from test_play_scenarios import play_live
play_live(Path(sys.argv[3]), Path(sys.argv[4]))
"""


def play_live(root, results, resume=None):
    display = Display(sys.stderr)
    only = ("first", "update", "scale")
    settings = replace(Settings.from_environ(), images="auto")
    try:
        return play(root, results, read(root), ["go-distroless"], QUESTION, settings, display, only=only, resume=resume)
    finally:
        display.close()


def lines(results):
    """Whole lines of the samples of the one run that there is."""
    files = list((results / "scenarios").glob("*/samples.jsonl"))
    return files[0].read_bytes().splitlines(keepends=True) if files else []


@pytest.mark.live
@pytest.mark.timeout(600)
def test_plays_are_as_computed_and_a_run_that_is_killed_between_them_loses_none(tmp_path, capsys):
    root = checkout(tmp_path / "tare", strategies=("distroless",))
    folders = [str(folder) for folder in (Path(__file__).parents[1], Path(__file__).parent, root, tmp_path)]
    with (tmp_path / "log").open("w+") as log:
        child = subprocess.Popen([sys.executable, "-c", CHILD, *folders], cwd=ROOT, stdout=log, stderr=log)
        while b"play-update" not in b"".join(lines(tmp_path)):
            assert child.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = [line for line in lines(tmp_path) if line.endswith(b"\n")]
    (folder,) = list_runs(tmp_path / "scenarios")
    run = read_run(play_live(root, tmp_path, read_run(folder)))
    assert run.folder == folder
    assert lines(tmp_path)[: len(before)] == before
    assert {times for (_, probe, _, _), times in made(run).items() if probe != "prepare"} == {1}
    found = list(checks(run))
    with capsys.disabled():
        print("\n" + render_checks(found, QUESTION))
    assert [each.scenario for each in found] == ["first", "update", "scale", "storage"]
    assert all(abs(each.error) <= (LIMIT if each.scenario != "storage" else each.limit) for each in found)
