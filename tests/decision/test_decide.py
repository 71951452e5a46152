"""decision.md: the first screen answers, doubts stand on top, and everything leads to its samples."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.decision.constraints import need
from harness.decision.decide import decide
from harness.decision.doubts import DAY
from harness.report.markdown.decision import render
from harness.store.run import Run
from support.synthetic import APPS, run, write

FEW = {name: APPS[name] for name in ("go", "spring")}


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("decision"), apps=FEW)


def text(*runs: Run, days: float = 0, **more: object) -> str:
    return render(decide(runs, now=runs[0].manifest.started + days * DAY, **more))  # type: ignore[arg-type]


def first_screen(document: str) -> str:
    return document.split("## Context")[0]


def test_the_first_screen_answers(twelve: Run) -> None:
    screen = first_screen(text(twelve))
    go = next(line for line in screen.splitlines() if line.startswith("| **go**"))
    assert "**distroless**" in go  # scratch is smaller, and its care costs more
    assert "**47.5× smaller**" in go
    assert re.search(r"\*\*8\.\d+× faster\*\* \[\d\.\d+–\d\.\d+×\]", go)
    assert "**decided**" in go
    assert "instead of" in go
    assert "One strategy for all apps: **distroless**" in screen
    assert len(screen.splitlines()) < 20


def test_it_has_the_parts_of_a_decision_record(twelve: Run) -> None:
    headings = re.findall(r"^## (.*)$", text(twelve), re.MULTILINE)
    wanted = ["Context", "Options", "Measurements", "Verdict", "Consequences", "Undecided", "Evidence"]
    assert [next(word for word in wanted if heading.startswith(word)) for heading in headings] == wanted
    for strategy in ("full", "scratch"):
        assert f"What {strategy} costs." in text(twelve)


def test_every_measured_number_leads_to_samples(twelve: Run) -> None:
    links = re.findall(r"\(report\.html#samples/([^/)]+)/([^)]+)\)", text(twelve))
    assert len(links) > 70
    assert all(link in twelve.series() for link in links)


def test_stale_data_are_not_concluded_from(twelve: Run) -> None:
    document = text(twelve, days=40)
    assert document.splitlines()[4].startswith("> **No conclusion: stale.** The data was measured 40 days ago")
    assert "no conclusion (ahead: distroless)" in first_screen(document)
    assert "**decided**" not in first_screen(document)
    assert "- **distroless** (go" not in document  # no consequences of what is not concluded


def test_mixed_environments_are_not_concluded_from(twelve: Run, tmp_path: Path) -> None:
    other = run(tmp_path, apps=FEW, blocks=2, kernel="9.9")
    screen = first_screen(text(twelve, other))
    assert "> **No conclusion: mixed environments.**" in screen
    assert "kernel: absent → 9.9" in screen
    assert "**decided**" not in screen


def test_thin_data_lean(tmp_path: Path) -> None:
    document = text(run(tmp_path, apps=FEW, blocks=1))
    screen = first_screen(document)
    assert "> **Too few blocks.** Every duration has 1 block;" in screen
    assert "distroless, leaning" in screen
    assert "For go and spring, the choice is not decided yet." in screen
    assert "- go: not decided, distroless leads: the criteria deploy, update, start, build and memory have" in document
    assert "about 5 more blocks of deploy, update, start, build and memory needed" in screen
    assert re.search(
        r"It measures each timed metric until it has 6 blocks: it adds 5 blocks of .*`deploy.total`", screen
    )
    assert "**decided**" not in screen
    assert re.search(r"--resume \S+ --blocks 6`", document)


def test_a_choice_that_needs_more_blocks_than_tare_measures_is_said_to(tmp_path: Path) -> None:
    thin = run(tmp_path, apps=FEW, blocks=3)
    found = decide([thin], now=thin.manifest.started)
    go = found.choices["go"]
    assert go.lead is not None
    choices = {**found.choices, "go": replace(go, lead=replace(go.lead, more=97, until=100))}
    document = render(replace(found, choices=choices))
    assert re.search(r"--blocks 60`\. It measures each timed metric until it has 60 blocks: .*`deploy.total`", document)
    assert "Tare measures at most 60 blocks, so the choice may stay undecided." in document


def test_what_the_run_lacks_is_named_once_and_decides_nothing(tmp_path: Path, twelve: Run) -> None:
    document = text(run(tmp_path, apps=FEW, without=("surface", "care")))
    screen = first_screen(document)
    said = (
        "4 of 10 criteria, with 4 of 16 points of the weight, were not measured in this run: components"
        " (`surface.components`), patching (`surface.hidden`), upkeep (`care.lines`) and gaps (`care.missing`)."
    )
    assert screen.index(said) < screen.index("| app |")
    assert "| components | 1 | `surface.components`, not measured in this run |" in document
    assert "over 6 of 10 criteria" in document
    assert "Not counted" not in document  # because it is the same for each app
    go = next(line for line in screen.splitlines() if line.startswith("| **go**"))
    assert "more blocks" not in go
    assert "**decided** on 6 of 10 criteria" in go
    assert "not measured in this run" not in first_screen(text(twelve))


def test_constraints_and_what_is_not_a_candidate_are_said(twelve: Run) -> None:
    document = text(twelve, constraints=[need("shell")])
    assert "Constraints: needs a shell." in first_screen(document)
    assert "Excluded:" in document
    assert "scratch (needs a shell: surface.shells 0)" in document


def test_what_depends_on_the_weights_is_said(twelve: Run) -> None:
    spring = text(twelve).split("### spring:")[-1]
    assert re.search(r"distroless is first in \d+ % of 10 000 random sets of weights", spring)
    assert re.search(r"[Ii]f the weight of \w+ were (?:above|below) \d+.* scratch would be first", text(twelve))


def test_the_two_best_are_compared_by_verdicts_and_in_values(twelve: Run) -> None:
    document = text(twelve)
    go = next(line for line in document.splitlines() if line.startswith("| **go**"))
    assert re.search(r"\| scratch 4\.\d+ MB, \d+ ms; distroless 6\.\d+ MB, \d+ ms \|", go)
    why = next(line for line in document.splitlines() if line.startswith("Why not scratch, the runner-up?"))
    assert "worse in size (1.45×)" in why
    assert "not sure" not in document
    assert "By the geometric mean of the apps, distroless is ahead in" in document


def test_a_strategy_is_compared_with_an_image_of_the_same_content(twelve: Run) -> None:
    """full and slim contain a database. So the first strategy to compare with is multi-stage."""
    cells = tuple(
        replace(cell, inside=("MariaDB",)) if cell.id in ("go-full", "go-slim") else cell
        for cell in twelve.manifest.cells
    )
    screen = first_screen(text(replace(twelve, manifest=replace(twelve.manifest, cells=cells))))
    go, spring, all_ = (line for line in screen.splitlines() if line.startswith("| **"))
    assert "× smaller (compared with multi-stage): [" in go
    assert "| update (`pull.previous.total`) |" in text(twelve)
    assert "#samples/go-multi-stage/size.transfer" in go
    assert "× smaller**: [" in spring
    assert "geometric mean of the apps without go, whose images differ in content" in all_


def test_failed_cells_are_said(tmp_path: Path) -> None:
    from harness.model import Status, Try
    from harness.store.run import read_run
    from harness.store.writer import RunWriter

    folder = write(tmp_path, apps=FEW, blocks=1)
    with RunWriter.resume(folder) as writer:
        writer.append(
            Try(
                cell="go-slim", probe="pull", state="empty", block=1, order=10**6, at=0.0, seconds=1.0,
                status=Status.ERROR, reason="the registry was away",
            )
        )  # fmt: skip
    assert "go-slim, pull: 1 try ended error: the registry was away" in text(read_run(folder))


def test_that_there_is_no_calibration_is_said(twelve: Run) -> None:
    assert "No calibration of this environment is stored" in text(twelve)


def test_the_command_writes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = write(tmp_path / "results", apps=FEW, blocks=2), tmp_path / "out"
    assert main(["report", str(folder), "--out", str(out), "--weight", "build=9", "--need", "non-root"]) == 0
    assert {path.name for path in out.iterdir()} == {"decision.md", "report.html"}
    assert "| build | 9 |" in (out / "decision.md").read_text(encoding="utf-8")
    assert "too few blocks" in capsys.readouterr().err
    assert main(["report", str(folder)]) == 0
    assert "━━ go" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--weight", "deploy"], "not NAME=NUMBER"),
        (["--need", "beauty"], "no need has this name"),
        (["--at-most", "size.transfer=many"], "is not a value"),
    ],
)
def test_mistakes_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    folder = write(tmp_path, apps=FEW, blocks=1)
    assert main(["report", str(folder), "--decision", str(tmp_path / "d.md"), *options]) == 2
    assert says in capsys.readouterr().err
    assert main(["report", str(folder), *options]) == 2
    assert "is about the documents" in capsys.readouterr().err
