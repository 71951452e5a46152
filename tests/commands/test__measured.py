"""The end of `tare try` and `tare measure`: how much was asked for, and what is printed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from harness.commands._measured import add_amount, budget, outcome
from support.fixedruns import mixed_lot
from support.synthetic import APPS, write


@pytest.mark.parametrize(
    ("given", "seconds"),
    [([], 600), (["--budget", "90s"], 90), (["--blocks", "3"], None), (["--budget", "90s", "--blocks", "3"], 90)],
)
def test_the_usual_time_limit_holds_unless_something_is_given(given: list[str], seconds: float | None) -> None:
    parser = argparse.ArgumentParser()
    add_amount(parser, usual="10m")
    assert budget(parser.parse_args(given)) == seconds


def test_the_end_prints_the_tables_and_where_the_documents_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, apps={"go": APPS["go"]}, blocks=1)
    handed_out = tmp_path / "Dockerfile"
    assert outcome(folder, as_json=False, also=lambda _: [handed_out]) == 0
    said = capsys.readouterr().out
    assert "size.transfer" in said
    paths = [folder / "decision.md", folder / "report.html", handed_out]
    assert said.endswith("".join(f"written: {path}\n" for path in paths))


def test_as_json_standard_output_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, apps={"go": APPS["go"]}, blocks=1)
    assert outcome(folder, as_json=True) == 0
    assert len(json.loads(capsys.readouterr().out)["cells"]) == 5


def test_a_failed_try_is_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(mixed_lot(tmp_path), as_json=True) == 1
    assert any(cell["failures"] for cell in json.loads(capsys.readouterr().out)["cells"])
