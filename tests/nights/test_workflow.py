"""docs/nightly/pull-request.yml: its steps run here, with stand-ins for pip, gh and (but for one test) tare."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.checkouts import ROOT, checkout

WORKFLOW = Path(__file__).parents[2] / "docs" / "nightly" / "pull-request.yml"
GH = """
import json, sys
from pathlib import Path
store = Path("comments.json")
comments = json.loads(store.read_text()) if store.exists() else []
words = sys.argv[1:]
assert words.pop(0) == "api"
body = next((Path(word.removeprefix("body=@")).read_text() for word in words if word.startswith("body=@")), None)
if "POST" in words:
    comments.append({"id": len(comments) + 1, "body": body})
elif "PATCH" in words:
    number = int(next(word for word in words if word.startswith("repos/")).rpartition("/")[2])
    next(item for item in comments if item["id"] == number)["body"] = body
else:
    assert "startswith" in words[words.index("--jq") + 1]
    for item in comments:
        if item["body"].startswith("<!-- tare-gate -->"):
            print(item["id"])
store.write_text(json.dumps(comments))
"""
TARE = """
import sys
from pathlib import Path
assert sys.argv[1:2] == ["gate"], sys.argv
print(Path("said").read_text(), end="")
sys.exit(int(Path("code").read_text()))
"""


def steps() -> list[tuple[str, str]]:
    """Name and script of every step that runs something, in order."""
    text = WORKFLOW.read_text(encoding="utf-8")
    found = []
    for block in re.split(r"^      - ", text, flags=re.MULTILINE)[1:]:
        name = re.search(r"^name: (.*)$", block, re.MULTILINE)
        if many := re.search(r"^\s*run: \|\n((?:          .*\n|\n)+)", block, re.MULTILINE):
            found.append((name[1] if name else "", textwrap.dedent(many[1])))
        elif one := re.search(r"^\s*run: (.+)$", block, re.MULTILINE):
            found.append((name[1] if name else "", one[1]))
    return found


def workflow(folder: Path, code: int, said: str) -> int:
    """Run every step after a gate that says this and ends with this code."""
    (folder / "said").write_text(said)
    (folder / "code").write_text(str(code))
    return run(folder, TARE)


def run(folder: Path, tare: str, **variables: str) -> int:
    """Run every step as a runner does; the exit code is that of the first that fails."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, source in (("gh", GH), ("tare", tare), ("pip", "")):
        path = programs / name
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)
    output = folder / "output"
    output.write_text("")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_REPOSITORY": "owner/name",
        "PULL": "7",
        "BASE": "a" * 40,
        "HEAD": "b" * 40,
        **variables,
    }
    for _, script in steps():
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        known = {**environment, "CODE": outputs.get("code", "")}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env=known,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            assert not done.stderr, done.stderr
            return done.returncode
    return 0


def comments(folder: Path) -> list[str]:
    return [item["body"] for item in json.loads((folder / "comments.json").read_text())]


def test_every_step_is_found():
    assert [name for name, _ in steps()] == ["", "Measure both revisions", "Keep one comment up to date", "Verdict"]


def test_one_comment_is_kept_up_to_date(tmp_path):
    (tmp_path / "comments.json").write_text(json.dumps([{"id": 1, "body": "of a person"}]))
    assert workflow(tmp_path, 1, "<!-- tare-gate -->\n**Gate: failed**\n") == 1
    assert workflow(tmp_path, 0, "<!-- tare-gate -->\n**Gate: passed**\n") == 0
    assert comments(tmp_path) == ["of a person", "<!-- tare-gate -->\n**Gate: passed**\n"]
    assert "Gate: failed" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("said", ["", "Traceback"])
def test_a_gate_that_says_nothing_is_said(tmp_path, said):
    assert workflow(tmp_path, 2, said) == 2
    (comment,) = comments(tmp_path)
    assert "could not measure" in comment
    assert "exit code 2" in comment


def test_the_real_gate_writes_the_comment(tmp_path):
    """A change that affects no cell needs no engine: the comment, and nothing else, is what `tare gate` prints."""
    folder = checkout(tmp_path / "tare", strategies=("slim",))

    def git(*words: str) -> str:
        identity = ("-c", "user.name=tare", "-c", "user.email=tare@localhost")
        done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "one")
    (folder / "README.md").write_text("words\n")
    git("add", "README.md")
    git("commit", "-qm", "two")
    real = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from harness.cli import main; sys.exit(main())\n"
    base, head = git("rev-parse", "HEAD~1"), git("rev-parse", "HEAD")
    assert run(folder, real, BASE=base, HEAD=head, TARE_CACHE=str(tmp_path / "cache")) == 0
    (comment,) = comments(folder)
    assert comment == (
        f"<!-- tare-gate -->\n**Gate: passed**: {head[:12]} against {base[:12]}.\n\n"
        "Nothing was measured. The change does not affect 1 cell.\n"
    )
