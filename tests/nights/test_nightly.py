"""A night from measuring to exit code, with a lab that writes the given samples; gate, exports and page over its
runs.
"""

from __future__ import annotations

import csv
import itertools
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import orjson
import pytest

from harness.catalogue.read import read
from harness.cli import main
from harness.commands._history import watched
from harness.errors import CatalogueError, LabError, UsageError
from harness.model import Direction, Environment, Metric, Status, Try, Unit
from harness.nights.accepted import Acceptance, accept
from harness.nights.bench import Config, EngineBench, read_config
from harness.nights.budgets import Severity, check_budgets, read_budgets
from harness.nights.images import SavedImages
from harness.nights.nightly import Nightly, NightResult
from harness.nights.records import CONFIRM, GOOD, NEW, NIGHTLY
from harness.probes.base import CellProbe
from harness.report.nights import summary, summary_markdown
from harness.report.page import trends as trendpage
from harness.report.trends import render
from harness.run.job import Job
from harness.settings import Settings
from harness.store.format import CellInfo, Manifest
from harness.store.run import list_runs
from harness.store.writer import RunWriter
from harness.text.display import Display
from support.checkouts import checkout
from support.nights import FLOATING, PINNED, World

ROOT = Path(__file__).parents[2]
NONE = ROOT / "tests" / "support" / "budgets.toml"
WARM = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="To the first answer.")
SIZE = Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, headline=True, help="Bytes.")
START, DAY = 1_800_000_000.0, 86400.0
CONFIG = Config(
    blocks=6,
    budget=60.0,
    tracks=(PINNED,),
    cells=("go-slim", "go-full"),
    probes=("*",),
    confirm_pairs=10,
    confirm_budget=60.0,
)


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
class Fleet:
    """Stands for the lab: writes the runs that measuring would have written. `images` say how fast an image starts."""

    results: Path
    night: int = 0
    images: dict[str, str] = field(default_factory=lambda: {"go-slim": "sha256:aa", "go-full": "sha256:bb"})
    speed: dict[str, float] = field(default_factory=lambda: {"sha256:aa": 0.3, "sha256:bb": 0.4})
    size: dict[str, float] = field(default_factory=lambda: {"sha256:aa": 1e7, "sha256:bb": 2e7})
    machine: float = 1.0
    broken: bool = False
    jobs: list[Job] = field(default_factory=list)
    _clock: Iterator[int] = field(default_factory=itertools.count)

    def measure(self, job: Job, settings: Settings, display: Display) -> Path:
        self.jobs.append(job)
        if self.broken:
            raise LabError("no engine", fix="Start one.")
        random = np.random.default_rng([self.night, len(self.jobs)])
        cells = tuple(CellInfo.of(cell) for cell in job.cells)
        manifest = Manifest(
            environment=Environment(facts={"kernel": "6.1"}),
            seed=1,
            metrics=(WARM, SIZE),
            cells=cells,
            plan={"track": job.track, **job.note},
        )
        at = START + self.night * DAY + next(self._clock)
        with (
            mock.patch("harness.store.writer.time.time", lambda: at),
            RunWriter.create(job.results, manifest) as writer,
        ):
            images = {cell.id: self._image(cell.id, cell.archive) for cell in job.cells}
            writer.images(images)
            order = 0
            for cell in job.cells:
                image = images[cell.id]
                for block in range(job.blocks or 6):
                    level = self.speed[image] * self.machine * float(np.exp(random.normal(0, 0.01)))
                    values = {WARM.name: level, **({} if block else {SIZE.name: self.size[image]})}
                    order += 1
                    writer.append(
                        Try(
                            cell=cell.id,
                            probe="start",
                            state="warm",
                            block=block,
                            order=order,
                            at=at,
                            seconds=1,
                            status=Status.OK,
                            values=values,
                        )
                    )
        if job.after:
            engine = SimpleNamespace(save=lambda image: iter([image.encode()]))
            prepared = {cell: SimpleNamespace(id=image, image=image) for cell, image in images.items()}
            job.after(SimpleNamespace(engine=engine), prepared)  # type: ignore[arg-type]
        return writer.folder

    def _image(self, cell: str, archive: Path | None) -> str:
        if archive:
            return archive.read_text()  # the archive of a stand-in holds its id
        return self.images[cell]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "results")


def night(fleet: Fleet, tmp_path: Path, config: Config = CONFIG) -> NightResult:
    display = mock.create_autospec(Display, instance=True)
    fleet.results.mkdir(exist_ok=True)
    bench = EngineBench(
        root=ROOT,
        results=fleet.results,
        catalogue=read(ROOT),
        probes=[Starts(), Sizes()],
        config=config,
        settings=Settings(cache=tmp_path / "cache"),
        display=display,
        look=lambda: watched(fleet.results, NONE, now=START + fleet.night * DAY + 3600),
        measuring=fleet.measure,
    )
    found = Nightly(bench, tracks=config.tracks, audit=config.audit).run()
    fleet.night += 1
    return found


def test_quiet_nights_are_fine_and_need_no_a_b(fleet, tmp_path):
    assert [night(fleet, tmp_path).exit_code for _ in range(4)] == [0, 0, 0, 0]
    assert [job.note["purpose"] for job in fleet.jobs] == [NIGHTLY] * 4
    assert SavedImages.of(tmp_path / "cache", tmp_path / "results", PINNED).good("go-slim") is not None


def test_a_new_image_that_starts_slower_is_confirmed_the_same_night(fleet, tmp_path):
    for _ in range(2):
        assert night(fleet, tmp_path).exit_code == 0
    fleet.images["go-slim"] = "sha256:cc"
    fleet.speed["sha256:cc"], fleet.size["sha256:cc"] = 0.36, 1.0e7
    third = night(fleet, tmp_path)
    assert third.exit_code == 1
    (job,) = [job for job in fleet.jobs if job.note["purpose"] == CONFIRM]
    assert [cell.id for cell in job.cells] == [f"go-slim{GOOD}", f"go-slim{NEW}"]
    assert [cell.archive.read_text() for cell in job.cells if cell.archive] == ["sha256:aa", "sha256:cc"]
    assert [probe.name for probe in job.probes] == ["start"]
    (alarm,) = [item for item in third.found.series if item.alarm]
    assert (alarm.key.cell, alarm.key.metric) == ("go-slim", WARM.name)
    text = summary(third, render(third.found, fleet.results))
    assert "ALARM   go-slim start.warm.total" in text
    assert "tare accept go-slim start.warm.total" in text
    # what was compared with what, why, and what came out
    (line,) = [line for line in text.splitlines() if line.startswith("A/B ")]
    first, confirming = list_runs(fleet.results)[0].name, list_runs(fleet.results)[-1].name
    assert line.startswith(
        f"A/B {confirming}: go-slim (pinned, suspect): tonight's image cc against the good image aa of {first} "
        f"(the first image): start.warm.total 1.2"
    )
    assert re.fullmatch(r".*total 1\.\d{3}× \[1\.\d{3}–1\.\d{3}\] in 10 pairs, worse", line)
    assert f"- {line}\n" in summary_markdown(third, "")
    # still the good image: the slow image must not become the reference of the next night
    keep = SavedImages.of(tmp_path / "cache", tmp_path / "results", PINNED)
    good = keep.good("go-slim")
    assert good is not None
    assert good[0] == "sha256:aa"
    # open until it is accepted; no second A/B for what is known
    assert night(fleet, tmp_path).exit_code == 1
    accept(
        fleet.results,
        Acceptance(
            cell="go-slim", metric="start.*", since=third.runs[PINNED], at=START + 3.5 * DAY, reason="certificates"
        ),
    )
    assert night(fleet, tmp_path).exit_code == 0
    assert sum(job.note["purpose"] == CONFIRM for job in fleet.jobs) == 1


def test_a_larger_image_alarms_without_an_a_b(fleet, tmp_path):
    for _ in range(2):
        night(fleet, tmp_path)
    fleet.images["go-full"] = "sha256:dd"
    fleet.speed["sha256:dd"], fleet.size["sha256:dd"] = 0.4, 2.2e7
    assert night(fleet, tmp_path).exit_code == 1
    assert all(job.note["purpose"] == NIGHTLY for job in fleet.jobs)


def test_a_slow_machine_is_no_alarm(fleet, tmp_path):
    for _ in range(3):
        night(fleet, tmp_path)
    fleet.machine = 1.3
    slow = night(fleet, tmp_path)
    assert slow.exit_code == 0
    assert len(slow.unconfirmed) == 2
    assert "so the machine changed" in slow.unconfirmed[0]


def test_a_suspicion_that_the_a_b_does_not_confirm_is_no_alarm(fleet, tmp_path):
    for _ in range(3):
        night(fleet, tmp_path)
    fleet.images["go-slim"] = "sha256:ee"
    fleet.speed["sha256:ee"], fleet.size["sha256:ee"] = 0.3, 1e7
    fleet.machine = 1.3
    slow = night(fleet, tmp_path)
    assert len(slow.compared) == 1
    assert slow.exit_code == 0
    said = " ".join(render(slow.found, fleet.results).split())
    assert "one night jumped; the A/B says no practical difference (" in said


def test_a_night_without_an_engine_could_not_measure(fleet, tmp_path):
    night(fleet, tmp_path)
    fleet.broken = True
    bad = night(fleet, tmp_path)
    assert bad.exit_code == 2
    assert "no engine" in summary(bad, "")


def test_a_missed_night_is_stale(fleet, tmp_path):
    night(fleet, tmp_path)
    fleet.night += 3
    assert night(fleet, tmp_path).exit_code == 0  # two nights show no schedule
    fleet.night += 3
    assert night(fleet, tmp_path, replace(CONFIG, schedule="daily")).exit_code == 0
    fleet.night += 1
    assert night(fleet, tmp_path, replace(CONFIG, schedule="daily")).exit_code == 3


def test_both_tracks_are_measured_and_kept_apart(fleet, tmp_path):
    both = replace(CONFIG, tracks=(PINNED, FLOATING))
    assert night(fleet, tmp_path, both).exit_code == 0
    assert [job.track for job in fleet.jobs] == [PINNED, FLOATING]
    found = watched(fleet.results, NONE, now=START)
    assert {item.key.track for item in found.series} == {PINNED, FLOATING}


def test_the_shipped_configuration_is_read():
    config = read_config(ROOT / "benchmarks" / "nightly.toml")
    assert config.tracks == (PINNED, FLOATING)
    assert config.confirm_pairs >= 6


def test_the_older_name_of_tracks_still_reads(tmp_path):
    path = tmp_path / "nightly.toml"
    path.write_text('lanes = ["floating"]\n')
    assert read_config(path).tracks == (FLOATING,)


@pytest.mark.parametrize(
    ("text", "said"),
    [('tracks = ["sideways"]', "sideways"), ("blocks = 0", "blocks is 0"), ("colour = 1", "unknown key colour")],
)
def test_a_wrong_configuration_is_told_with_its_line(text, said, tmp_path):
    path = tmp_path / "nightly.toml"
    path.write_text(f"# a comment\n{text}\n")
    with pytest.raises(CatalogueError, match=said) as caught:
        read_config(path)
    assert caught.value.line == 2


def test_no_matching_cell_is_told(fleet, tmp_path):
    with pytest.raises(UsageError, match="no cell matches"):
        night(fleet, tmp_path, replace(CONFIG, cells=("x",)))


# ── budgets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shipped_budgets_are_read():
    budgets = read_budgets(ROOT / "budgets.toml")
    first = next(budget for budget in budgets if budget.covers("go-slim", "size.transfer"))
    assert (first.growth, first.severity) == (0.02, Severity.HARD)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metrics = "a"', "neither growth nor limit"),
        ('metrics = "a"\ngrowth = "2 MB"', "growth is '2 MB'"),
        ('metrics = "a"\nlimit = "2 %"', "limit is '2 %'"),
        ('metrics = "a"\nlimit = "2 MB"\nseverity = "loud"', "severity"),
        ('limit = "2 MB"', "metrics is missing"),
    ],
)
def test_a_wrong_budget_is_told_with_its_line(text, said, tmp_path):
    path = tmp_path / "budgets.toml"
    path.write_text(f"[[budget]]\n{text}\n")
    with pytest.raises(CatalogueError, match=said) as caught:
        read_budgets(path)
    assert caught.value.line


@pytest.mark.parametrize(("text", "value"), [("150 MB", 1.5e8), ("20 ms", 0.02), ("0", 0.0), (".5 s", 0.5)])
def test_quantities(text, value, tmp_path):
    path = tmp_path / "budgets.toml"
    path.write_text(f'[[budget]]\nmetrics = "*"\nlimit = "{text}"\n')
    assert read_budgets(path)[0].limit == pytest.approx(value)


KNOWN = (WARM, SIZE, replace(SIZE, name="size.layers", unit=Unit.COUNT, direction=Direction.NEITHER))
LINK = Metric(name="link.rtt", unit=Unit.SECONDS, headline=True, help="A round trip.")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            'metrics = "sise.transfer"\ngrowth = "2 %"',
            2,
            "no metric is called 'sise.transfer'. Did you mean size.transfer",
        ),
        (
            'cells = "go_slim"\nmetrics = "size.*"\ngrowth = "2 %"',
            2,
            "no cell is called 'go_slim'. Did you mean go-slim",
        ),
        ('metrics = "start.*"\nlimit = "100 MB"', 3, "the limit is in MB, and start.warm.total is in seconds"),
        ('metrics = "size.layers"\nlimit = "3"', 2, "size.layers only describes"),
        ('metrics = "link.*"\ngrowth = "5 %"', 2, "no A/B can judge it"),
        (
            'metrics = "*"\ngrowth = "5 %"\n[[budget]]\nmetrics = "size.transfer"\ngrowth = "2 %"',
            5,
            "earlier budgets cover",
        ),
    ],
)
def test_a_budget_that_covers_nothing_is_an_error_with_its_line(text, line, said, tmp_path):
    path = tmp_path / "budgets.toml"
    path.write_text(f"[[budget]]\n{text}\n")
    with pytest.raises(CatalogueError, match=re.escape(said)) as caught:
        check_budgets(read_budgets(path), {"", "go-slim"}, (*KNOWN, LINK))
    assert caught.value.line == line


def test_a_mistyped_budget_never_passes_a_gate(short, tmp_path, capsys):
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\nmetrics = "sise.transfer"\ngrowth = "2 %"\n')
    for words in (("gate", "--base", short.runs[54, PINNED], "--head", short.runs[55, PINNED]), ("trend",)):
        assert command(short, *words, "--budgets", str(path)) == 2
        assert f"{path}:2" in capsys.readouterr().err
        assert command(short, *words, "--budgets", str(tmp_path / "missing.toml")) == 2
        assert "missing.toml" in capsys.readouterr().err


def test_a_budget_of_what_was_not_measured_is_named_by_the_gate(short, tmp_path, capsys):
    """It is no typo, so it is no error; but nobody reads "passed" for what was not looked at."""
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\nmetrics = "deploy.total"\ngrowth = "2 %"\n')
    words = ("gate", "--base", short.runs[54, PINNED], "--head", short.runs[55, PINNED], "--budgets", str(path))
    assert command(short, *words) == 0
    said = capsys.readouterr().out
    assert f"Budgets for what was not measured in both runs: deploy.total of * ({path}:2)." in said
    (row,) = [line for line in said.splitlines() if "`size.transfer`" in line]
    assert "no budget covers it" in row


@pytest.mark.parametrize("text", ['metrics = "sise.transfer"', 'cells = "go_slim"\nmetrics = "size.transfer"'])
def test_a_mistyped_budget_ends_a_night_before_it_starts(text, tmp_path, monkeypatch, capsys):
    folder = checkout(tmp_path / "tare", strategies=("slim",))
    (folder / "budgets.toml").write_text(f'[[budget]]\n{text}\ngrowth = "2 %"\n')
    (folder / "benchmarks" / "nightly.toml").write_text("")
    monkeypatch.chdir(folder)
    with mock.patch.object(Nightly, "run", side_effect=AssertionError("it was measured")):
        assert main(["nightly"]) == 2
    assert "budgets.toml:2" in capsys.readouterr().err


def test_a_run_named_twice_is_an_error(short, tmp_path, capsys):
    run = short.runs[3, PINNED]
    assert command(short, "report", run, run) == 2
    assert "named twice" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(short.results / run, copy)
    assert command(short, "report", run, str(copy)) == 2
    assert "is a copy of" in capsys.readouterr().err


# ── over a history ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The generated history, its first 75 nights."""
    world = World(tmp_path_factory.mktemp("short"), nights=75)
    world.write()
    return world


def command(short: World, *words: str) -> int:
    return main([*words, "--results", str(short.results)])


def test_trend_tells_what_changed_and_why(short, tmp_path, capsys):
    page = tmp_path / "trends.html"
    none = str(NONE)
    assert command(short, "trend", "--budgets", none, "--html", str(page)) == 3  # years after its last night
    said = capsys.readouterr().out
    assert "changed python-full size.transfer [floating]" in said
    assert "base os-full: sha256:eeee" in said
    assert "libc6: 2.41-2 → 2.41-3" in said
    assert "layer base: +1.2 MB" in said
    assert "nothing was measured for" in said
    html = page.read_text()
    assert "libc6: 2.41-2" in html
    assert "https://" not in html.split('<script type="application/json"')[0].replace("http://www.w3.org", "")


def test_the_page_says_how_a_series_changed_with_its_causes(short):
    found = watched(short.results, NONE, now=short.nights * DAY)
    text = trendpage.render(found, short.results)
    start = text.index('id="data">') + len('id="data">')
    data = orjson.loads(text[start : text.index("</script>", start)].replace("\\u003c", "<"))
    (chart,) = [
        c for c in data["charts"] if (c["cell"], c["metric"], c["track"]) == ("go-full", "size.transfer", PINNED)
    ]
    first, second = chart["parts"]
    assert second["new"] == ["engine: docker 27.1 → docker 28.0"]
    (change,) = first["changes"]
    assert change["side"] == "bad"
    assert "deb tzdata 2027a added, +4.0 MB" in change["causes"]
    assert any("RUN apt-get install tzdata added" in cause for cause in change["causes"])


def test_accept_and_what_it_refuses(short, capsys):
    none = ["--budgets", str(NONE)]
    assert command(short, "accept", "rust-*", "size.*", "--reason", "x", *none) == 2
    assert "no series has this name" in capsys.readouterr().err
    assert command(short, "accept", "go-slim", "size.transfer", "--reason", "x", *none) == 2
    assert "no change was detected" in capsys.readouterr().err
    assert command(short, "accept", "python-full", "size.transfer", "--reason", "point release", *none) == 0
    assert short.runs[70, FLOATING] in capsys.readouterr().out
    (short.results / "accepted.jsonl").unlink()


def test_the_gate_blames_layer_and_package(short, capsys):
    base, head = short.runs[54, PINNED], short.runs[55, PINNED]
    assert command(short, "gate", "--base", base, "--head", head, "--budgets", str(NONE)) == 1
    said = capsys.readouterr().out
    (row,) = [line for line in said.splitlines() if line.startswith("| fail")]
    assert "go-full" in row
    assert "RUN apt-get install tzdata added, +4.0 MB" in row
    assert "deb tzdata 2027a added" in row
    assert command(short, "gate", "--base", base, "--head", short.runs[53, PINNED], "--budgets", str(NONE)) == 0


def test_the_gate_does_not_compare_durations_across_environments(short, capsys):
    base, head = short.runs[59, PINNED], short.runs[60, PINNED]
    assert command(short, "gate", "--base", base, "--head", head, "--budgets", str(NONE)) == 0
    said = capsys.readouterr().out
    assert "engine: docker 27.1.0 → docker 28.0.0" in said
    assert "start." not in said


def test_the_gate_needs_two_runs(short, capsys):
    run = short.runs[3, PINNED]
    assert command(short, "gate", "--base", run, "--head", run) == 2
    assert "same run" in capsys.readouterr().err


# ── exports, each read by what it is for ───────────────────────────────────────────────────────────────────────────


def exported(short: World, tmp_path: Path, form: str, *words: str) -> Path:
    path = tmp_path / f"out-{form}"
    assert command(short, "export", *words, "--format", form, "--output", str(path)) == 0
    return path


def test_csv_holds_every_sample(short, tmp_path):
    runs = [short.runs[3, PINNED], short.runs[4, PINNED]]
    with exported(short, tmp_path, "csv", *runs).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == set(runs)
    sizes = [row for row in rows if row["metric"] == "size.transfer" and row["cell"] == "go-slim"]
    assert [float(row["value"]) for row in sizes] == [88_200_000.0] * 2


def test_sqlite_can_be_asked(short, tmp_path):
    with closing(sqlite3.connect(exported(short, tmp_path, "sqlite", "--all"))) as database:
        (runs,) = database.execute("SELECT count(*) FROM runs").fetchone()
        assert runs == len(short.runs)
        ((reason, count),) = database.execute("SELECT reason, count(DISTINCT run) FROM failures GROUP BY reason")
        assert (reason, count) == ("no valid answer within 30 s", 2)
        (median,) = database.execute(
            "SELECT avg(value) FROM samples WHERE cell = 'go-slim' AND metric = 'build.cold'"
        ).fetchone()
        assert median == pytest.approx(19.5, rel=0.1)


def test_pytest_benchmark_compares_it(short, tmp_path):
    import subprocess
    import sys

    path = exported(short, tmp_path, "pytest-benchmark").rename(tmp_path / "run.json")
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=median,rounds", "--group-by=group"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "start.warm.total" in done.stdout


def test_bencher_metric_format(short, tmp_path):
    """The rules of https://bencher.dev/bmf.json, and the lengths its reference allows for names."""
    record = orjson.loads(exported(short, tmp_path, "bencher").read_bytes())
    assert set(record) == {"go-full", "go-slim", "python-full", "python-slim", "python-distroless"}
    for measures in record.values():
        assert all(len(name) <= 64 and name.replace("-", "").isalnum() for name in measures)  # a slug
        for measure in measures.values():
            assert "value" in measure
            assert set(measure) <= {"value", "lower_value", "upper_value"}
            assert all(isinstance(value, float) for value in measure.values())
            assert measure.get("lower_value", 0) <= measure["value"] <= measure.get("upper_value", np.inf)


def test_github_action_benchmark(short, tmp_path):
    rows = orjson.loads(exported(short, tmp_path, "github-action-benchmark").read_bytes())
    assert all(isinstance(row["value"], float) and row["name"] and row["unit"] for row in rows)
    assert any(re.fullmatch(r"± [0-9.e-]+", row.get("range", "")) for row in rows)
    assert not any("size.layers" in row["name"] for row in rows)  # neither larger nor smaller is better
