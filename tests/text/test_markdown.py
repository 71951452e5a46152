"""What may stand in a Markdown document: read by a parser of CommonMark with tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.cli import main
from harness.text.markdown import harmless_markdown
from support.synthetic import APPS, write

PARSER = MarkdownIt("commonmark", {"linkify": False}).enable("table")
PIECES = st.sampled_from(
    [
        *("[x]: http://evil.example\n", "[x]", "[x\n]: //evil.example", "> ", "1. "),
        *("<b>", "<script>alert(1)</script>", "[x](http://evil.example)", "![x](//evil.example/a.png)", "`", "``", "|"),
        *("\\", "\n", "\n\n", "```\n", "# ", "- ", "](", "[a](report.html#samples/go-slim/size.files)", "<", ">", "x"),
        *(
            "| a | b |\n| --- | --- |\n",
            "[x](javascript:alert(1))",
            "[x](data:text/html,x)",
            "\x1b[31m",
            "&lt;",
            "    ",
        ),
    ]
)


def tokens(text: str) -> Iterator[Token]:
    for token in PARSER.parse(text):
        yield token
        yield from token.children or ()


def acting(text: str) -> list[str]:
    """The tokens of a document that act: HTML, images, and links that are not ours."""
    return [
        f"{token.type} {token.attrs} {token.content}"
        for token in tokens(text)
        if token.type in ("html_inline", "html_block", "image")
        or (token.type == "link_open" and not str(token.attrs.get("href", "")).startswith("report.html"))
    ]


@given(st.lists(PIECES, max_size=12).map("".join))
def test_nothing_from_outside_acts(text: str) -> None:
    shown = harmless_markdown(text)
    assert not acting(shown), shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "text", ["```\n<b>[x](y)\n```", "[1 MB](report.html#samples/go-slim/size.files)", "| a | `x` |"]
)
def test_blocks_of_code_and_our_own_links_stay(text: str) -> None:
    assert harmless_markdown(text) == text


EVIL = "<img src=x onerror=alert(1)> [go](http://evil.example) \x1b[31m\x9b\u202e"


def test_a_strangers_run_acts_in_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every text of a run folder that has no meaning to Tare is hostile."""
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "results", apps={"go": APPS["go"]}, blocks=3)
    manifest = json.loads((folder / "manifest.json").read_text())
    for cell in manifest["cells"]:
        cell |= dict.fromkeys(("app_title", "strategy_title", "summary", "trades"), EVIL)
        cell |= {"inside": [EVIL], "beside": [EVIL]}
    manifest["environment"]["facts"] |= {"processor": EVIL, EVIL: EVIL}
    manifest["git"] = "=HYPERLINK(1)"
    for metric in manifest["metrics"]:
        metric["help"] = EVIL
    (folder / "manifest.json").write_text(json.dumps(manifest))
    failed = {"cell": "go-slim", "probe": "start", "state": "warm", "block": 0, "order": 10**6, "at": 1.8e9}
    failed |= {"seconds": 1.0, "status": "error", "reason": EVIL, "log": f"{EVIL}\n```\n{EVIL}\n"}
    with (folder / "samples.jsonl").open("a") as file:
        file.write(json.dumps(failed) + "\n")
    for words in (["report"], ["report", "--full"], ["runs"], ["scenarios"], ["compare", "go-full", "go-slim"]):
        assert main(words) in (0, 1)
        said = capsys.readouterr()
        assert not set(said.out + said.err) & set("\x1b\x9b\u202e"), words
    for words in (["report", "--markdown"], ["report", "--markdown", "--full"], ["scenarios", "--markdown"]):
        assert main(words) == 0
        assert not acting(capsys.readouterr().out), words
    assert main(["report", "--out", "."]) == 0
    assert not acting((tmp_path / "decision.md").read_text())
    page = (tmp_path / "report.html").read_text()
    assert "<img src=x" not in page
    assert main(["export", "--format", "csv"]) == 0
    with (tmp_path / "tare.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) > 1
    assert not [text for row in rows for text in row if text[:1] in "=+@\t\r" and text]
