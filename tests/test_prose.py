"""Prose: a few phrases that are always wrong in what people read, and examples in documents that must stay true."""

from __future__ import annotations

import ast
import io
import re
import tokenize
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
    r"\bbe had\b": "say what failed or what is available: can be pulled, started, read",
    r"\bbe told\b": 'write "is known", or say who reports it',
    r"\bin no figure\b": 'write "is not included in any number"',
    r"\ball in all\b": 'write "over all criteria" or "in total"',
    r"\bknows no\b": "say what is missing",
    r"(\b(exit code|code|yes|1|None|NaN|False|True|infinite|empty|\w+Error|TryFailed)|\"\") where\b": (
        'write "if" for a condition'
    ),
    r"\babout 1 more \w+s\b|(?<!-)\b1 (alarms|suspects|warnings|blocks|samples|tries|runs)\b": (
        "counts of one are singular"
    ),
}


def documents() -> list[Path]:
    """Everything in Markdown that people read first; docs/example is written by the code, from stored words too."""
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    found += [ROOT / folder / "README.md" for folder in ("apps", "calibration", "docs/example", "results")]
    return found


def golden() -> list[Path]:
    return sorted(path for path in (ROOT / "tests/golden/files").iterdir() if path.suffix in (".txt", ".md"))


def code() -> list[Path]:
    found = [path for folder in ("harness", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if path.name not in ("buildkit_pb2.py", Path(__file__).name))


def settings() -> list[Path]:
    """Files of settings whose comments and texts people read: apps, strategies, claims, schedulers, environments."""
    patterns = ("variants/**/*.toml", "apps/*/app.toml", "calibration/**/*.toml", "benchmarks/*.toml", "docs/nightly/*")
    found = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    scripts = (ROOT / "harness/report/page/assets").glob("*.js")
    return sorted([*found, *scripts, ROOT / "budgets.toml", ROOT / "tox.ini", ROOT / ".ci/run"])


def prose(source: str) -> str:
    """The comments, docstrings and other texts of a Python file; comments of several lines are joined."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return " ¶ ".join([*comments, *(value for value in constants if isinstance(value, str))])


def wrong(text: str) -> Iterator[str]:
    flat = " ".join(text.split())
    for phrase, reason in WRONG.items():
        for match in re.finditer(phrase, flat, re.IGNORECASE):
            around = flat[max(0, match.start() - 40) : match.end() + 40]
            yield f"“{match[0]}”: {reason}: …{around}…"


@pytest.mark.parametrize("path", [*documents(), *golden()], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_that_is_always_wrong(path: Path) -> None:
    assert not list(wrong(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", settings(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_such_phrase_in_settings_and_scripts(path: Path) -> None:
    assert not list(wrong(path.read_text(encoding="utf-8").replace("\n# ", " ").replace("\n// ", " ")))


def test_no_such_phrase_in_docstrings_comments_and_messages() -> None:
    found = {str(path.relative_to(ROOT)): list(wrong(prose(path.read_text(encoding="utf-8")))) for path in code()}
    assert not {path: phrases for path, phrases in found.items() if phrases}


@pytest.mark.parametrize(
    "text", ["about so many blocks", "1 alarms", "exit code 1 where it fails", "MB, in no figure", "None where it is"]
)
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
