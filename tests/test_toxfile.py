"""What tox writes around a command of Tare: the command's own last line is the last on the terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAST = "how to go on"
COMMAND = """
import sys, time
try:
    if sys.argv[2:] == ["wait"]:
        print("begun", flush=True)
        time.sleep(60)
    code = int(sys.argv[2])
except KeyboardInterrupt:
    code = 130
print("how to go on")
sys.exit(code)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """This project's settings of tox, with a command in place of Tare that ends at once or waits."""
    for name in ("tox.ini", "toxfile.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__main__.py").write_text(COMMAND)
    return tmp_path


def tox(project: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tox", "-x", "testenv.package=skip", *words]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TOX", "PYTHON"))}
    return subprocess.Popen(
        command,
        cwd=project,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("code", [0, 1])
def test_tox_adds_nothing_below_the_tables(project: Path, code: int) -> None:
    with tox(project, "-e", "bench", "--", str(code)) as process:
        text = process.stdout.read()
    assert text.splitlines()[-1] == LAST, text
    assert process.returncode == code


def test_nor_after_an_interrupt(project: Path) -> None:
    with tox(project, "-e", "bench", "--", "wait") as process:
        text = ""
        for line in process.stdout:
            text += line
            if line == "begun\n":
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to tox and to the command
    assert text.splitlines()[-1] == LAST, text
    assert process.returncode != 0


def test_of_several_environments_tox_says_which_failed(project: Path) -> None:
    with tox(project, "-e", "bench,tare", "--", "1") as process:
        text = process.stdout.read()
    assert "bench: FAIL code 1" in text
    assert process.returncode != 0
