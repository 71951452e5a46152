"""A job from its plan to its end, in a lab on the engine in memory."""

from __future__ import annotations

import io
import signal
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness.errors import UsageError
from harness.model import Metric, Unit
from harness.probes.base import Reading, SourceProbe
from harness.run import job as jobs
from harness.run.job import Job, Reporter, measure
from harness.settings import Settings
from harness.store.run import read_run
from harness.text.display import Display
from support.fake_lab import fake_lab, make_cell


class Quick(SourceProbe):
    name, activity, rank, guess = "quick", "quick", 1, 0.01
    states, reports, blocks = ("once",), {}, 1
    metrics = (Metric(name="quick.once", unit=Unit.SECONDS, help=""),)
    seconds = 0.0
    raises: BaseException | None = None

    def visit_source(self, lab, state, cell):
        yield "once", self._measure

    def _measure(self):
        time.sleep(self.seconds)
        if self.raises:
            raise self.raises
        return Reading({"quick.once": 1.0})


class Notes(Reporter):
    def __init__(self) -> None:
        self.folder = None
        self.apps: list[str] = []
        self.missed: dict[str, list[str]] | None = None

    def began(self, folder):
        self.folder = folder

    def measured(self, folder, app):
        assert list(read_run(folder).tries())
        self.apps.append(app)

    def ended(self, missed, seconds):
        self.missed = dict(missed)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A job over two apps, `rust` and `go`, whose lab is opened after `opening` seconds."""
    cells = [make_cell(tmp_path, name) for name in ("rust", "go")]
    cells[0] = replace(cells[0], app=replace(cells[0].app, language="rust"))
    lab = fake_lab(tmp_path, cells)
    opening = [0.0]

    @contextmanager
    def open_lab(*given, **more):
        time.sleep(opening[0])
        yield lab

    monkeypatch.setattr(jobs, "open_lab", open_lab)
    monkeypatch.setattr(jobs, "environment", lambda lab: jobs_environment())
    notes = Notes()
    job = Job(
        root=tmp_path,
        results=tmp_path / "results",
        catalogue=lab.catalogue,
        cells=cells,
        probes=(Quick(),),
        budget=60.0,
        reporter=notes,
    )
    timer = signal.setitimer(signal.ITIMER_REAL, 0)  # of the test's time-out
    yield job, notes, opening
    signal.setitimer(signal.ITIMER_REAL, *timer)
    lab.engine.close()


def jobs_environment():
    from harness.model import Environment

    return Environment(facts={"engine": "fake"})


def run(job):
    out = io.StringIO()
    return measure(job, Settings(cache=job.root), Display(out)), out


def test_the_smaller_app_is_measured_and_reported_first(made):
    job, notes, _ = made
    folder, out = run(job)
    assert (folder, notes.apps, notes.missed) == (notes.folder, ["go", "rust"], {})
    assert [try_.cell for try_ in read_run(folder).tries()] == ["go-slim", "rust-slim"]
    assert "Expected to be complete: go after about 0:00, all 2 apps after about 0:00" in out.getvalue()


def test_the_order_that_is_asked_for_counts(made):
    job, notes, _ = made
    run(replace(job, first=("rust",)))
    assert notes.apps == ["rust", "go"]


def test_a_visit_that_goes_on_is_ended_with_the_budget_and_the_run_is_whole(made):
    job, notes, _ = made
    job.probes[0].seconds = 30.0
    began = time.monotonic()
    folder, out = run(replace(job, budget=1.0))
    assert time.monotonic() - began < 20
    assert notes.missed == {"go": ["quick"], "rust": ["quick"]}
    assert read_run(folder).sessions[-1].outcome == "complete"
    assert "the budget is spent" in out.getvalue()


def test_a_budget_that_ends_before_anything_is_measured_says_what_would_be_enough(made):
    job, _, opening = made
    opening[0] = 30.0
    with pytest.raises(UsageError, match=r"--budget: the budget of 0:00 ended before .* Use at least 1m"):
        run(replace(job, budget=0.2))


def test_a_budget_that_may_be_too_small_says_so_at_once(made):
    job, _, _ = made
    job.probes[0].guess = 100.0
    _, out = run(job)
    assert "The budget may be too small for one app: --budget 2m would be enough." in out.getvalue()


def test_what_was_not_reached_is_known_after_ctrl_c_too(made):
    job, notes, _ = made
    job.probes[0].raises = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(job)
    assert notes.missed == {"go": ["quick"], "rust": ["quick"]}
    assert read_run(notes.folder).sessions[-1].outcome == "interrupted"
