"""Two revisions of a checkout under a gate, with a lab that writes the given samples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from harness.cli import main
from harness.errors import CatalogueError
from harness.model import Environment, Metric, Status, Try, Unit
from harness.nights.history import History
from harness.nights.judged import BASE, HEAD
from harness.nights.revisions import Revisions, measure_revisions, resolve
from harness.probes.base import CellProbe
from harness.report.revisions import MARK, render
from harness.run.job import Job
from harness.run.plan import Further
from harness.settings import Settings
from harness.store.format import CellInfo, Manifest
from harness.store.writer import RunWriter
from harness.text.display import Display
from support.checkouts import ROOT, checkout

WARM = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="To the first answer.")
SIZE = Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, headline=True, help="Bytes.")


class Starts(CellProbe):
    name = "start"
    activity = "starts"
    rank = 1
    states = ("warm",)
    reports = {"warm": "start.warm.total"}  # noqa: RUF012
    guess = 1.0
    metrics = (WARM,)

    def visit_cell(self, lab, cell):
        yield from ()


class Sizes(Starts):
    name = "size"
    metrics = (SIZE,)


@dataclass
class TwoLabs:
    """Stands for the lab: the image of the head is slower by `slower`, larger by `larger`, and `noise` is relative.
    The time ends after `most` blocks.
    """

    slower: float = 1.0
    larger: int = 0
    noise: float = 0.01
    most: int = 60
    jobs: list[Job] = field(default_factory=list)
    rounds: list[Further] = field(default_factory=list)

    def measure(self, job: Job, settings: Settings, display: Display) -> Path:
        self.jobs.append(job)
        random = np.random.default_rng(len(self.jobs))
        cells = tuple(CellInfo.of(cell) for cell in job.cells)
        manifest = Manifest(environment=Environment(facts={}), seed=1, metrics=(WARM, SIZE), cells=cells, plan=job.note)
        writer = RunWriter.create(job.results, manifest)
        assert job.further
        with writer:
            self._round(job, writer, random, 0, min(job.blocks or 0, self.most))
            while self.most > 12 and (further := job.further(writer.folder)):
                self.rounds.append(further)
                self._round(job, writer, random, further.blocks - 12, further.blocks, only=further.probes)
        return writer.folder

    def _round(self, job, writer, random, first, blocks, only=frozenset({"start", "size"})):
        for number, cell in enumerate(job.cells):
            is_head = cell.id.endswith(HEAD)
            source = (cell.app.path / "main.go").read_text()
            assert ("changed" in source) == is_head  # each revision is built from its own files
            writer.artefact(cell.id, "Dockerfile", f"FROM {'new' if is_head else 'old'}\n")
            for block in range(first, blocks):
                level = (self.slower if is_head else 1.0) * float(np.exp(random.normal(0, self.noise)))
                values = {WARM.name: level} if "start" in only else {}
                values |= {} if block else {SIZE.name: 1e8 + (self.larger if is_head else 0)}
                writer.append(
                    Try(
                        cell=cell.id,
                        probe="start",
                        state="warm",
                        block=block,
                        order=number * 1000 + block,
                        at=float(block),
                        seconds=1,
                        status=Status.OK,
                        values=values,
                    )
                )


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=tare", "-c", "user.email=tare@localhost")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with two commits: the second changes the app's source."""
    folder = checkout(tmp_path / "tare", strategies=("slim", "full"))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    path = folder / "apps" / "go" / "main.go"
    path.write_text(path.read_text() + "// changed\n")
    git(folder, "commit", "-qam", "two")
    return folder


Gate = Callable[..., Revisions]


@pytest.fixture
def gate(repository: Path) -> Gate:
    def run(lab: TwoLabs, base: str = "HEAD~1", head: str = "HEAD", seconds: float = 1200.0) -> Revisions:
        commits = [resolve(repository, name) for name in (base, head)]
        assert commits[0]
        assert commits[1]
        return measure_revisions(
            repository,
            commits[0],
            commits[1],
            results=repository / "results",
            probes=[Starts(), Sizes()],
            budgets=lambda cells, metrics: (),
            settings=Settings(cache=repository / "cache"),
            display=mock.create_autospec(Display, instance=True),
            seconds=seconds,
            measuring=lab.measure,
        )

    return run


def test_a_revision_without_effect_passes(gate):
    lab = TwoLabs()
    found = gate(lab)
    assert found.exit_code == 0
    assert len(lab.jobs) == 1
    assert [cell.id for cell in lab.jobs[0].cells][:2] == [f"go-full{BASE}", f"go-full{HEAD}"]
    text = render(found)
    assert text.startswith(f"{MARK}\n**Gate: passed**")
    assert str(found.run) in text


def test_a_slower_and_larger_revision_fails_and_says_what_is_to_blame(gate):
    found = gate(TwoLabs(slower=1.1, larger=5_000_000))
    assert found.exit_code == 1
    rows = [line for line in render(found).splitlines() if line.startswith("| **fail**")]
    assert len(rows) == 4
    assert any("`start.warm.total`" in row and "1.1" in row and "×" in row for row in rows)
    assert any("`size.transfer`" in row and "exact" in row and "+5.0 %" in row for row in rows)
    assert all("Dockerfile: -FROM old; +FROM new" in row for row in rows)


def test_what_is_open_goes_on_in_rounds_and_says_what_it_would_take(gate):
    lab = TwoLabs(slower=1.02, noise=0.2)
    found = gate(lab)
    assert found.exit_code == 2
    assert len(lab.jobs) == 1  # one session: both revisions are built once
    assert lab.rounds == [Further(probes=frozenset({"start"}), blocks=blocks) for blocks in (24, 36, 48, 60)]
    text = render(found)
    assert "**Gate: could not decide**" in text
    assert "2 metrics would take more than 60 blocks: the change is about as large as the budget allows." in text
    assert lab.jobs[0].pairs == {f"go-{name}{HEAD}": f"go-{name}{BASE}" for name in ("full", "slim")}


def test_a_budget_that_would_decide_is_computed_from_the_blocks_that_were_measured(gate):
    """Each of the two cells lacks two blocks of two tries of 1 s, in addition to the 1200 s that were given."""
    found = gate(TwoLabs(most=4))
    assert found.exit_code == 2
    assert found.seconds == 1208.0
    assert [row.more for row in found.rows if row.open] == [2, 2]
    assert "Undecided: 2 metrics.\nIt would take about 2 more blocks: --budget 21m.\n" in render(found)


def test_cells_for_which_nothing_changed_are_not_measured(gate, repository):
    (repository / "README").write_text("words\n")
    git(repository, "add", "README")
    git(repository, "commit", "-qm", "three")
    lab = TwoLabs()
    found = gate(lab)
    assert (found.exit_code, found.run, found.same, lab.jobs) == (0, None, 2, [])
    dockerfile = repository / "variants" / "slim" / "go.Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "# more\n")
    git(repository, "commit", "-qam", "four")
    with pytest.raises(AssertionError):  # both have the changed source; what is asked is only which cells are measured
        gate(lab)
    assert {cell.id for cell in lab.jobs[0].cells} == {f"go-slim{BASE}", f"go-slim{HEAD}"}


def test_a_gate_is_no_night(gate, repository):
    gate(TwoLabs())
    with History.open(repository / "results") as history:
        assert history.nights() == ()


def test_what_is_neither_a_run_nor_a_revision_is_an_error(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    assert main(["gate", "--base", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main(["gate", "--base", "HEAD", "--head", "main"]) == 2
    assert "same revision" in capsys.readouterr().err


def commit(repository: Path, path: str, find: str, replacement: str) -> None:
    file = repository / path
    text = file.read_text()
    assert find in text
    file.write_text(text.replace(find, replacement))
    git(repository, "commit", "-qam", f"change {path}")


def test_each_revision_stands_on_its_own_bases(gate, repository):
    commit(repository, "variants/bases.toml", 'command = ["bash"]\n', 'command = ["sh"]\n')
    lab = TwoLabs()
    with pytest.raises(AssertionError):  # both have the changed source; what is asked is what would be built
        gate(lab)
    (job,) = lab.jobs
    bases = {cell.id: cell.base for cell in job.cells}
    assert bases[f"go-slim{BASE}"] == "os-slim.base"
    assert bases[f"go-slim{HEAD}"] == "os-slim"
    commands = {role: job.catalogue.bases[role].options["command"] for role in ("os-slim.base", "os-slim")}
    assert commands == {"os-slim.base": ["bash"], "os-slim": ["sh"]}


def test_a_base_that_no_cell_uses_affects_no_cell(gate, repository):
    commit(repository, "variants/bases.toml", 'title = "Rust SDK"', 'title = "Rust"')
    assert (gate(TwoLabs()).exit_code, gate(TwoLabs()).same) == (0, 2)
    assert "Nothing was measured. The change does not affect 2 cells" in render(gate(TwoLabs()))


def test_a_mistake_of_the_head_never_passes_as_a_cell_that_is_gone(gate, repository):
    commit(repository, "apps/go/app.toml", "port = 8080", 'port = "none"')
    with pytest.raises(CatalogueError, match="port") as caught:
        gate(TwoLabs())
    assert str(caught.value).startswith(f"{git(repository, 'rev-parse', 'HEAD')[:12]}:apps/go/app.toml:")
    git(repository, "commit", "-q", "--allow-empty", "-m", "the mistake is in both")
    assert gate(TwoLabs()).rows == ()


def test_a_file_that_moves_away_counts(gate, repository):
    (repository / "apps/go/notes.txt").write_text("some text that git knows again\n" * 20)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "notes")
    git(repository, "mv", "apps/go/notes.txt", "notes.txt")
    git(repository, "commit", "-qm", "moved")
    lab = TwoLabs()
    with pytest.raises(AssertionError):
        gate(lab)
    assert len(lab.jobs) == 1


def test_nothing_is_left_in_the_temporary_folder(gate, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    gate(TwoLabs())
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGKILL])
def test_a_gate_in_a_process_leaves_nothing_however_it_ends(number, repository, tmp_path):
    """The whole gate with the real runner, on the engine in memory."""
    budgets = (f'[[budget]]\nmetrics = "{name}"\ngrowth = "2 %"\n' for name in ("size.transfer", "start.warm.total"))
    (repository / "budgets.toml").write_text("".join(budgets))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = ROOT / "tests" / "support" / "fake_gate.py"
    done = subprocess.run(
        [sys.executable, str(script), *([number.name] if number else [])],
        cwd=repository,
        env={**os.environ, "TMPDIR": str(temporary), "TARE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in done.stderr, said
    assert done.returncode == {None: 2, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[number], said
    until = time.monotonic() + 60
    while list(temporary.glob("tare-gate-*")) and time.monotonic() < until:  # the guardian follows a kill
        time.sleep(0.1)
    assert not list(temporary.glob("tare-gate-*"))
    assert len(list((repository / "results").glob("2*"))) == 1
    if number is None:  # the engine in memory cannot say how large an image is, so the gate is not passed
        assert done.stdout.startswith(MARK)
        assert "Failed: go-" in done.stdout
        assert "Not measured: go-full size.transfer" in done.stdout
    if number == signal.SIGINT:
        assert "stopped; every sample is kept." in done.stderr
        assert "--resume" not in done.stderr
