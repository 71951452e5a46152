"""The command line: help, errors in one message, every command in the README."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.host.cache import open_cache
from support.synthetic import APPS, write

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["report"], ["report", "nowhere"]])
def test_a_run_that_is_not_there_is_one_message(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("tare: ")
    assert error.count("\n") == 1


def test_no_runs_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    assert "no run" in capsys.readouterr().out


def test_a_wrong_setting_is_one_message(monkeypatch, capsys):
    monkeypatch.setenv("TARE_ENGINE", "podman")
    assert main(["clean"]) == 2
    assert "TARE_ENGINE" in capsys.readouterr().err


def test_bench_elsewhere_says_where_to_go(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench"]) == 2
    assert "checkout" in capsys.readouterr().err


def test_cleaning_empties_the_cache_it_is_told_of(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TARE_CACHE", str(tmp_path / "cache"))
    open_cache(tmp_path / "cache")
    (tmp_path / "cache" / "debs").mkdir()
    assert main(["clean"]) == 0
    assert (tmp_path / "cache").exists()
    assert main(["clean", "--cache"]) == 0
    assert not (tmp_path / "cache").exists()


def test_doctor_looks_and_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TARE_CACHE", str(tmp_path / "none"))
    assert main(["doctor"]) == 0
    assert "dockerd" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_the_readme_lists_every_command_in_the_order_of_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    first, *commands = re.findall(r"^    (\w+) {2,}", capsys.readouterr().out, re.MULTILINE)
    assert first == "bench"
    rows = re.findall(r"^\| `tox.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows[0].startswith("| `tox -e bench`")
    named = re.findall(r"tox -e tare -- (\w+)", "\n".join(rows))
    assert list(dict.fromkeys(named)) == commands


def test_the_shell_completes_commands_and_options(tmp_path):
    for line, wanted in (
        ("tare mea", {"measure"}),
        ("tare measure --until ", {"exit"}),
        ("tare try --heal", {"--health"}),
    ):
        out = tmp_path / "out"
        environ = {
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        }
        subprocess.run([sys.executable, "-m", "harness"], env=environ, timeout=60, check=False, capture_output=True)
        assert {word.strip() for word in out.read_text().split("\v") if word.strip()} == wanted


@pytest.mark.parametrize("language", ["go", "java", "node", "python", "rust", "spring"])
def test_init_makes_an_app_folder_that_a_catalogue_takes(tmp_path, language, capsys):
    from harness.catalogue.read import read

    shutil.copytree(ROOT / "variants", tmp_path / "variants")
    assert main(["init", "mine", "--language", language, "--apps", str(tmp_path / "apps")]) == 0
    catalogue = read(tmp_path)
    assert not catalogue.problems
    assert [app.title for app in catalogue.apps] == ["mine"]
    assert "mine-scratch" in {cell.id for cell in catalogue.cells}
    assert main(["init", "mine", "--language", language, "--apps", str(tmp_path / "apps")]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"started": None},
        {"seed": "7"},
        {"run": 5},
        {"plan": []},
        {"environment": {"facts": []}},
        {"environment": {"facts": {"kernel": 6}}},
        {"metrics": [7]},
        {"cells": {}, "versions": None},
        {"schema": None},
        {"schema": 0},
        {"schema": 1.5},
    ],
    ids=str,
)
def test_one_bad_folder_does_not_hide_the_others(change, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    good = write(tmp_path / "results", apps={"go": APPS["go"]}, blocks=1)
    bad = shutil.copytree(good, tmp_path / "results" / "20200101-000000-aaaa")
    manifest = json.loads((bad / "manifest.json").read_text(encoding="utf-8"))
    (bad / "manifest.json").write_text(json.dumps({**manifest, **change}), encoding="utf-8")
    (shutil.copytree(good, tmp_path / "results" / "20200102-000000-bbbb") / "samples.jsonl").unlink()
    piped = shutil.copytree(good, tmp_path / "results" / "20200103-000000-cccc") / "samples.jsonl"
    piped.unlink()
    os.mkfifo(piped)
    (tmp_path / "results" / "20200104-000000-dddd").mkdir()
    os.mkfifo(tmp_path / "results" / "20200104-000000-dddd" / "manifest.json")  # no run: nobody reads it
    claims = str(ROOT / "variants" / "claims.toml")
    for words in (["runs"], ["export", "--all", "--format", "csv"], ["claims", "--file", claims]):
        assert main(words) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        assert said.err.count("tare: left out: ") == said.err.count("\n") == 3
        assert words[0] != "runs" or good.name in said.out
    assert main(["report", bad.name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["trend"]) in (0, 3)
    shutil.rmtree(good)
    assert main(["export", "--all", "--format", "csv", "--force"]) == 2
    assert "no run can be read here" in capsys.readouterr().err
