"""The JSON of exports: every text comes back, and nothing in it acts on a terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.store.format import CellInfo
from harness.store.writer import RunWriter
from harness.text.harmless_json import harmless_json
from support.stored import MANIFEST, a_try

EVIL = "\x1b[2J\x9b31m\u202e\u2028\x7f"


@given(st.text())
def test_any_text_comes_back_and_does_nothing(text: str) -> None:
    written = harmless_json({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert written.replace("\n", "").isprintable() and written.isascii()


@pytest.mark.parametrize("form", ["bencher", "github-action-benchmark", "pytest-benchmark"])
def test_exports_hold_no_control_characters(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cell = CellInfo(id=EVIL, app="go", app_title=EVIL, strategy="full", strategy_title=EVIL, rank=0)
    with RunWriter.create(tmp_path / "results", replace(MANIFEST, cells=(cell,))) as writer:
        writer.append(a_try(0, cell=EVIL))
    assert main(["export", "--format", form, "--output", "it.json"]) == 0
    written = (tmp_path / "it.json").read_text(encoding="utf-8")
    assert json.loads(written)
    assert written.replace("\n", "").isprintable() and written.isascii()
