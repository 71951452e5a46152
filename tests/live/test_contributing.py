"""CONTRIBUTING.md, done to the letter: an app is added from an empty folder and measured in every strategy."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.store.run import latest, read_run
from support.checkouts import keeping, stamp

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"## Add an app: one folder\n(.*?)\n## ", re.DOTALL)
FILE = re.compile(r"^`(apps/[^`]+)`[^\n]*\n\n```\w+\n(.*?)```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (\S.*)$", re.MULTILINE)


def section() -> str:
    found = SECTION.search((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert found
    return found[1]


def written(folder: Path) -> list[str]:
    """The files of the page below `folder`; returns the commands it gives, in order."""
    files = FILE.findall(section())
    assert {Path(name).name for name, _ in files} == {"main.go", "go.mod", ".dockerignore", "app.toml"}
    make, *others = COMMAND.findall(section())
    subprocess.run(make.split(), cwd=folder, check=True)
    for name, text in files:
        (folder / name).write_text(text, encoding="utf-8")
    return others


def test_the_page_makes_a_sound_app(tmp_path):
    from harness.catalogue.read import read

    (tmp_path / "apps").mkdir()
    shutil.copytree(ROOT / "variants", tmp_path / "variants")
    written(tmp_path)
    catalogue = read(tmp_path)
    assert not catalogue.problems
    assert {"hello-full", "hello-scratch"} <= {cell.id for cell in catalogue.cells}


@pytest.mark.live
def test_an_app_is_added_as_the_page_says(tmp_path):
    for name in ("benchmarks", "variants"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("apps", "tests"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (command,) = written(tmp_path)
    stamp(tmp_path / "variants")
    tox, _, environment, _, *arguments = shlex.split(command)
    assert (tox, environment) == ("tox", "bench")  # tox.ini calls this:
    bench = [sys.executable, "-m", "harness", "bench", *arguments]
    done = subprocess.run(bench, cwd=tmp_path, env=keeping(), capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(tmp_path / "results"))
    assert not run.failures
    strategies = {cell.strategy for cell in run.manifest.cells}
    assert strategies == {"full", "slim", "multi-stage", "distroless", "scratch"}
    for strategy in strategies:
        for metric in ("size.transfer", "start.cold.total", "start.warm.total"):
            assert (f"hello-{strategy}", metric) in run.series()
