"""The words of a choice: what only one image contains, which command measures the rest, how the weights matter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.decision.decide import Decision, decide
from harness.report.gains import comparison, unlike
from harness.report.words import robust, sureness, to_measure
from harness.stats.intervals import Ratio, Verdict
from support.synthetic import APPS, run

FEW = {"go": APPS["go"]}


def decided(folder: Path, *, blocks: int = 12, without: tuple[str, ...] = (), **plan: object) -> Decision:
    found = run(folder, apps=FEW, blocks=blocks, without=without)
    found = replace(found, manifest=replace(found.manifest, plan={**found.manifest.plan, **plan}))
    return decide([found], now=found.manifest.started)


def test_a_service_that_only_one_of_two_images_contains_is_named(tmp_path: Path) -> None:
    choice = decided(tmp_path).choices["go"]
    assert unlike(choice) == ""
    first = choice.options[-1].cell
    assert first.strategy == "full"
    with_database = replace(choice.options[-1], cell=replace(first, inside=("MariaDB",)))
    other = replace(choice, options=(*choice.options[:-1], with_database))
    assert unlike(other) == "full contains MariaDB, distroless does not"


def test_the_command_for_what_was_not_measured_is_the_one_of_the_run(tmp_path: Path) -> None:
    missing = ("memory",)  # the run's probes do not have it
    assert to_measure(decided(tmp_path / "bench", without=missing)) == "A new run, `tox -e bench`,"
    assert to_measure(decided(tmp_path / "images", without=missing, command="tox -e tare -- measure")) == ""
    own = decided(tmp_path / "own", blocks=0, command="tox -e tare -- try /srv/app")  # has it, and was stopped early
    assert to_measure(own) == f"`tox -e tare -- try /srv/app --resume {own.run.id}`"


def test_a_lead_is_written_like_every_other_ratio(tmp_path: Path) -> None:
    choice = decided(tmp_path).choices["go"]
    assert choice.lead is not None
    interval = f"[{choice.lead.low:.2f}–{choice.lead.high:.2f}×]"
    assert f"is {choice.lead.estimate:.2f}× as good as {choice.rival and choice.rival.strategy} {interval}" in sureness(
        choice
    )
    metric = next(item for item in decided(tmp_path / "again").metrics if item.name == "start.warm.total")
    worse = Ratio(estimate=1.14, low=1.09, high=1.18, p=0.001, verdict=Verdict.WORSE, n=12)
    assert comparison(worse, metric)[:2] == ("1.14× as long", "[1.09–1.18×]")


def test_the_strategies_that_are_best_in_one_criterion_are_grouped(tmp_path: Path) -> None:
    choice = decided(tmp_path).choices["go"]
    assert choice.sensitivity is not None
    alone = {"deploy": "scratch", "size": "scratch", "upkeep": "full"}
    text = robust(replace(choice, sensitivity=replace(choice.sensitivity, alone=alone)))
    assert "another strategy has a better median by over 3 %: scratch in deploy and size; full in upkeep." in text
