"""What the commands write of small fixed runs, word for word.

The files in files/ are reviewed: a change of them is a change of what people read. If it is meant, write them again
with UPDATE_GOLDEN=1 and look at the difference. Only the command line is called here, so that these tests hold
wherever the modules of the harness go.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from support.fixedruns import NOW, elsewhere, later, mixed_lot, near_ties, of_claims, tear
from support.nights import DAY, FIRST, World
from support.reviewed import check, level, page, pretty, same
from support.synthetic import APPS, write

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example"
STORED = "docs/example/20261125-184745-f5e3"
NIGHTS = 60

Tare = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the fixed runs. Their names and times are the same whenever they are written."""
    root = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        number = itertools.count(1)
        patch.setattr("secrets.token_hex", lambda size=2: f"{next(number):0{2 * size}x}")
        for minute, make in enumerate((mixed_lot, near_ties, elsewhere, later)):
            patch.setattr("time.time", lambda at=NOW - 3600 + 60 * minute: at)
            make(root / "runs").rename(root / "runs" / make.__name__)
        write(root / "runs", apps={"go": APPS["go"]}, blocks=0).rename(root / "runs" / "nothing")
        shutil.copytree(root / "runs" / "near_ties", root / "runs" / "torn")
        tear(root / "runs" / "torn")
        shutil.copytree(next((EXAMPLE / "calibration").iterdir()), root / "calibration")
        (root / "variants").mkdir()
        shutil.copy(Path(__file__).parent / "claims.toml", root / "variants" / "claims.toml")
        shutil.copy(Path(__file__).parent / "budgets.toml", root / "budgets.toml")
        World(root / "nights", nights=NIGHTS).write()
    return root


@pytest.fixture
def tare(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tare:
    """Call a command in the folder of the fixed runs; what it prints, with the exit code if that is not 0."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str, now: float = NOW) -> str:
        monkeypatch.setattr("time.time", lambda: now)
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as ended:  # argparse ends so
            code = int(ended.code or 0)
        said = capsys.readouterr()
        errors = "".join(f"stderr: {line}\n" for line in said.err.splitlines())
        return said.out + errors + (f"exit code {code}\n" if code else "")

    return call


# ── tables and documents ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("table.txt", ["mixed_lot"]),
        ("table.md", ["mixed_lot", "--markdown"]),
        ("table-full.txt", ["near_ties", "--full"]),
        ("table-nothing.txt", ["nothing"]),
        ("table-torn.txt", ["torn"]),
    ],
)
def test_tables(tare: Tare, name: str, arguments: list[str]) -> None:
    check(name, tare("report", f"runs/{arguments[0]}", *arguments[1:]))


WEIGHTS = ["--weight", "components=0", "--weight", "memory=0"]


def _decision(tare: Tare, place: Path, runs: str, *options: str, days: float = 0) -> str:
    folders = [f"runs/{run}" for run in runs.split()]
    said = tare("report", *folders, "--decision", "decision.md", "--force", *options, now=NOW + days * DAY)
    return (place / "decision.md").read_text(encoding="utf-8") + f"\n<!-- what the command says:\n{said}-->\n"


@pytest.mark.parametrize(
    ("name", "run", "options"), [("decision.md", "mixed_lot", []), ("decision-ties.md", "near_ties", WEIGHTS)]
)
def test_decisions(tare: Tare, place: Path, name: str, run: str, options: list[str]) -> None:
    check(name, _decision(tare, place, run, *options))


@pytest.mark.parametrize(
    ("name", "runs", "options", "days"),
    [
        ("dropped", "near_ties", ["--weight", "size.files=2"], 0),
        ("limits", "near_ties", ["--need", "shell", "--at-most", "size.transfer=97MB"], 0),
        ("doubtful", "later", ["--at-most", "start.warm.total=292ms", "--need", "non-root"], 0),
        ("open", "mixed_lot", ["--need", "hardened", "--at-least", "size.layers=6"], 0),
        ("stale", "mixed_lot", [], 40),
        ("mixed", "mixed_lot elsewhere", [], 0),
        ("joined", "mixed_lot later", [], 0),
        ("nothing", "nothing", [], 0),
    ],
)
def test_what_other_decisions_say(
    tare: Tare, place: Path, name: str, runs: str, options: list[str], days: float
) -> None:
    """Only the lines that neither of the two whole documents has."""
    usual = _usual(tare, place)
    lines = _decision(tare, place, runs, *options, days=days).split("\n")
    check(f"decision-lines-{name}.md", "\n".join(line for line in lines if line not in usual) + "\n")


_lines: dict[Path, set[str]] = {}


def _usual(tare: Tare, place: Path) -> set[str]:
    """The lines of the two whole documents, as they are written today."""
    if place not in _lines:
        whole = [_decision(tare, place, "mixed_lot"), _decision(tare, place, "near_ties", *WEIGHTS)]
        _lines[place] = {line for text in whole for line in text.split("\n")}
    return _lines[place]


@pytest.mark.parametrize("run", ["mixed_lot", "near_ties"])
def test_the_page(tare: Tare, place: Path, run: str) -> None:
    tare("report", f"runs/{run}", "--html", "report.html")
    text, data = page((place / "report.html").read_text(encoding="utf-8"))
    check(f"report-{run}.txt", text)
    if run == "mixed_lot":
        check("report-data.json", pretty(_abridged(data)))


FEW = ("spring-full", "spring-scratch", "spring-full/spring-scratch", "go-multi-stage", "go-slim")


def _abridged(data: dict[str, Any]) -> dict[str, Any]:
    """Of what there is by cell, a few cells; of a series, how many samples and the first."""
    parts = {name: _few(data[name]) for name in ("figures", "pairs", "series", "phases", "layers")}
    for metrics in parts["series"].values():
        for item in metrics.values():
            item.update({key: item[key][:1] for key in "vbo"})
    scenarios = {**data["scenarios"], "parts": _few(data["scenarios"]["parts"])}
    return {**data, **parts, "scenarios": scenarios}


def _few(by_cell: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in by_cell.items() if name in FEW}


# ── other commands over stored runs ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("runs.txt", ["runs", "--results", "runs"]),
        ("compare-cells.txt", ["compare", "spring-full", "spring-scratch", "--run", "runs/mixed_lot"]),
        ("compare-cells-full.txt", ["compare", "go-slim", "go-distroless", "--run", "runs/mixed_lot", "--full"]),
        ("compare-runs.txt", ["compare", "runs/mixed_lot", "runs/later"]),
        ("compare-mixed.txt", ["compare", "runs/mixed_lot", "runs/elsewhere"]),
        ("gate.md", ["gate", "--base", "runs/mixed_lot", "--head", "runs/later"]),
        ("scenarios.txt", ["scenarios", "runs/mixed_lot", "--bandwidth", "50", "--rtt", "20"]),
        ("claims.txt", ["claims", "runs/mixed_lot", "runs/near_ties"]),
        ("calibration.txt", ["calibrate", "--show", "calibration"]),
    ],
)
def test_commands(tare: Tare, name: str, arguments: list[str]) -> None:
    check(name, tare(*arguments))


# ── the history ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_trends(tare: Tare, place: Path) -> None:
    now = FIRST + NIGHTS * DAY
    check("trend.txt", tare("trend", "--results", "nights", "--html", "trends.html", now=now))
    check("trend.md", tare("trend", "--results", "nights", "--markdown", now=now))
    check("trends-page.txt", page((place / "trends.html").read_text(encoding="utf-8"))[0])


def test_an_accepted_change_is_no_alarm_any_more(tare: Tare, place: Path, tmp_path: Path) -> None:
    now, nights = FIRST + NIGHTS * DAY, str(tmp_path / "nights")
    shutil.copytree(place / "nights", nights)
    reason = "time zones are wanted"
    accept = tare("accept", "go-full", "size.transfer", "--reason", reason, "--results", nights, now=now)
    text = accept + tare("trend", "--results", nights, now=now + 4 * DAY)
    check("trend-accepted.txt", text.replace(str(tmp_path), "TMP"))


# ── help ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_help_of_every_command(tare: Tare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("NO_COLOR", "1")
    texts, waiting = [], [()]
    while waiting:
        command: tuple[str, ...] = waiting.pop(0)
        text = level(tare(*command, "--help"))
        texts.append(f"$ {' '.join(('tare', *command, '--help'))}\n{text}")
        names = re.findall(r"^    ([a-z][\w-]*)(?: |$)", text, re.MULTILINE)
        waiting += [(*command, name) for name in names if name != "bench"]
    check("help.txt", "\n".join(texts))


def test_the_help_of_bench() -> None:
    """Of pytest's help, the part that is ours. In a process of its own, for pytest cannot be run inside itself."""
    command = [sys.executable, "-m", "harness", "bench", "--help"]
    environment = {**os.environ, "COLUMNS": "1000", "NO_COLOR": "1"}
    text = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Tare:\n(?:  .*\n)+", text, re.MULTILINE)
    assert found, text
    check("help-bench.txt", level(found[0]))


# ── docs/example ───────────────────────────────────────────────────────────────────────────────────────────────────

_WRITE_AGAIN = "docs/example/README.md tells how to write it again."


@pytest.fixture
def example(tare: Tare, monkeypatch: pytest.MonkeyPatch) -> Tare:
    """Call a command in the checkout, an hour after the stored run began."""
    monkeypatch.chdir(ROOT)
    return lambda *arguments: tare(*arguments, now=1_795_632_465.0 + 3600)


def test_the_documents_of_the_example_are_what_is_written_today(example: Tare, tmp_path: Path) -> None:
    example("report", STORED, "--out", str(tmp_path))
    kept, now = ((folder / "decision.md").read_text(encoding="utf-8") for folder in (EXAMPLE, tmp_path))
    same(kept, now, "docs/example/decision.md", _WRITE_AGAIN)
    kept, now = ((folder / "report.html").read_text(encoding="utf-8") for folder in (EXAMPLE, tmp_path))
    (kept_text, kept_data), (text, data) = page(kept), page(now)
    same(kept_text, text, "text of docs/example/report.html", _WRITE_AGAIN)
    same(pretty(kept_data), pretty(data), "data of docs/example/report.html", _WRITE_AGAIN)


def test_the_claims_of_the_example_are_what_is_written_today(example: Tare, tmp_path: Path) -> None:
    others = [str(folder) for folder in of_claims(ROOT / STORED, tmp_path)]
    kept = (EXAMPLE / "claims.md").read_text(encoding="utf-8")
    said = example("claims", "--markdown", STORED, *others)
    _, first, rest = kept.partition("12 claims: ")  # the text before it names the runs
    same(first + rest, said.rstrip("\n") + "\n", "docs/example/claims.md", "`tare claims --markdown` writes it again.")
