"""Prose: a few phrases that are always wrong in what people read, and examples in documents that must stay true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.probes import all_probes

ROOT = Path(__file__).parents[1]
# Each phrase is wrong wherever it stands in these texts. The reason says what to write instead.
WRONG = {
    r"\bso many\b": "give the number, or say which number",
    r"\b(is|are) told\b": "say who reports or shows it",
    r"\btells? of\b": 'write "shows" or "reports"',
    r"\bhangs? on\b": 'write "depends on"',
    r"\bat hand\b": 'write "available", or name the place',
    r"\bcannot be had\b": "say what failed: cannot be pulled, started, read",
    r"\bin no figure\b": 'write "is not included in any number"',
    r"\ball in all\b": 'write "over all criteria" or "in total"',
    r"\bknows no\b": "say what is missing",
    r"\b(exit code|code|yes|1) where\b": 'write "if" for a condition',
    r"\babout 1 more \w+s\b|\b1 (alarms|suspects|warnings|blocks|samples|tries|runs)\b": "counts of one are singular",
}


def documents() -> list[Path]:
    """Everything in Markdown that people read first; docs/example is written by the code, from stored words too."""
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    found += [ROOT / folder / "README.md" for folder in ("apps", "calibration", "docs/example", "results")]
    return found


def golden() -> list[Path]:
    return sorted(path for path in (ROOT / "tests/golden/files").iterdir() if path.suffix in (".txt", ".md"))


def wrong(text: str) -> Iterator[str]:
    flat = " ".join(text.split())
    for phrase, reason in WRONG.items():
        for match in re.finditer(phrase, flat, re.IGNORECASE):
            around = flat[max(0, match.start() - 40) : match.end() + 40]
            yield f"“{match[0]}”: {reason}: …{around}…"


@pytest.mark.parametrize("path", [*documents(), *golden()], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_that_is_always_wrong(path: Path) -> None:
    assert not list(wrong(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("text", ["about so many blocks", "1 alarms", "exit code 1 where it fails", "MB, in no figure"])
def test_the_check_finds_what_it_looks_for(text: str) -> None:
    assert list(wrong(text))


def test_the_table_in_the_readme_is_one_that_tare_prints(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "120")
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- excerpt -->\n```\n")[1].split("```")[0]
    assert main(["report", "docs/example/20261125-184745-f5e3"]) == 0
    assert shown in capsys.readouterr().out


def test_the_glossary_lists_the_probes_that_there_are() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    said = re.search(r"The probes are ([a-z,\s]+)\.", text)
    assert said
    assert re.split(r",\s+|\s+and\s+", said[1]) == [probe.name for probe in all_probes()]
