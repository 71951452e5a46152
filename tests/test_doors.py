"""Bad values at every door: all commands × all options, as their parsers list them. A new option is tried by itself."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import _parser, main
from harness.commands._bench import add_bench_options
from harness.commands._kinds import (
    Amount,
    Checked,
    InputFile,
    OutputFile,
    OutputFolder,
    StoredFolder,
    Text,
    Whole,
)
from support.synthetic import APPS, write

ROOT = Path(__file__).parents[1]
EMPTY = ("", " ", "\0", "x" * 5000)
# Bad values of each kind. Those with @ are paths that the fixture `place` makes.
JUNK: dict[type, tuple[str, ...]] = {
    Text: (*EMPTY, "two\nlines", "\x1b[31mred", "\u202eturned"),
    Whole: (*EMPTY, "x", "-1", "1.5", "5m", "nan", "1e3", "9" * 40),
    Amount: (*EMPTY, "x", "-1", "nan", "inf", "1e999", "100Mbit", "1,5"),
    Checked: (*EMPTY, "nonsense", "-5m", "1e999s", "0", "5 parsecs", "private:1.0"),
    InputFile: ("", "\0", "x" * 5000, "@missing", "@folder", "@pipe", "/dev/full", "@circle", "@socket", "@file/below"),
    StoredFolder: ("", "\0", "x" * 5000, "@missing", "@file", "@pipe", "/dev/full", "@circle", "@socket"),
    OutputFolder: ("", "\0", "x" * 5000, "@file", "@pipe", "/dev/full", "@circle", "@socket", "/proc/nowhere"),
    OutputFile: (
        *("", "\0", "x" * 5000, "@folder", "@pipe", "@circle", "@socket", "@file/below", "/proc/nowhere/file"),
        *("@file", "@link"),  # a user's own files, which are replaced only with --force
    ),
}
# Options whose value is free text: nothing that a user could give is wrong.
FREE = {("bench", "together")}


def doors() -> Iterator[tuple[str, argparse.Action]]:
    """Every option and argument that takes a value, with its command."""

    def of(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub, inner in action.choices.items():
                    yield from of(f"{name} {sub}".strip(), inner)
            elif action.nargs != 0:
                yield name, action

    yield from ((name, action) for name, action in of("", _parser()) if name)
    bench = argparse.ArgumentParser(add_help=False)
    add_bench_options(bench.add_argument)
    yield from of("bench", bench)


DOORS = [(command, action) for command, action in doors() if (command, action.dest) not in FREE]


def kind(action: argparse.Action) -> type | None:
    return None if action.choices else type(action.type)


def line(command: str, action: argparse.Action, value: str) -> list[str]:
    """A command line in which only this value is wrong."""
    words = command.split()
    own = next(parser for name, parser in _parsers() if name == command)
    for other in own._actions:
        if other is action or (other.dest == action.dest and other.option_strings == action.option_strings):
            if other.option_strings:
                words.append(f"{other.option_strings[-1]}={value}" if other.option_strings[-1][1] == "-" else "")
                if not words[-1]:
                    words[-1:] = [f"{other.option_strings[-1]}{value}" if value else other.option_strings[-1]]
                    words += [] if value else [""]
            else:
                words.append(value)
        elif other.required and other.nargs not in ("*", "?") and not other.option_strings:
            words.append("." if isinstance(other.type, StoredFolder) else "go-slim")
        elif other.required and other.option_strings:
            words += [other.option_strings[0], str(next(iter(other.choices))) if other.choices else "main"]
    return words


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    def of(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
        yield name, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub, inner in action.choices.items():
                    if name or sub != "bench":
                        yield from of(f"{name} {sub}".strip(), inner)

    yield from of("", _parser())
    bench = argparse.ArgumentParser(add_help=False)
    add_bench_options(bench.add_argument)
    yield "bench", bench


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a run and with one of each kind of file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "test_matrix.py").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine\n")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        yield tmp_path


def shape(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What is in a folder: the kind of each file, and what a regular file says."""
    return {
        path.name: (stat.S_IFMT(path.lstat().st_mode), path.read_bytes() if path.is_file() else b"")
        for path in folder.iterdir()
    }


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that refuses a command."""
    assert main(arguments) not in (0, 130), arguments
    said = capsys.readouterr()
    error = said.err.removesuffix("\n")
    assert error.startswith("tare: "), error
    assert "\n" not in error, error
    assert error.isprintable(), error
    assert error.endswith((".", "?")), f"it does not say what to do: {error}"
    assert not said.out
    return error


def test_every_option_that_takes_a_value_has_a_kind() -> None:
    without = [f"{command} {action.dest}" for command, action in DOORS if kind(action) not in (None, *JUNK)]
    assert not without, f"give them a kind of harness/commands/_kinds.py: {without}"


@pytest.mark.parametrize(
    ("command", "action"), DOORS, ids=[f"{command}-{action.dest}".replace(" ", "-") for command, action in DOORS]
)
def test_a_bad_value_is_refused_in_one_line_before_anything_starts(
    command: str, action: argparse.Action, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def nothing_starts(*_: object, **__: object) -> None:
        raise AssertionError("the command has been started")

    monkeypatch.setattr("pytest.main", nothing_starts)
    monkeypatch.setattr("harness.commands.all_commands", lambda real=_commands: _unstartable(real, nothing_starts))
    monkeypatch.setattr("harness.cli.all_commands", lambda real=_commands: _unstartable(real, nothing_starts))
    found = kind(action)
    values = JUNK[found] if found else (*EMPTY, "nonsense")
    if isinstance(action.type, Whole) and action.type.least == 1:
        values = (*values, "0")
    if action.type == InputFile(folder=True):
        values = tuple(value for value in values if value != "@folder")
    before = shape(place)
    for value in values:
        if found is Whole and value == "-1" and not action.option_strings:
            continue
        error = refused(line(command, action, value.replace("@", f"{place}/")), capsys)
        name = action.option_strings[-1] if action.option_strings else action.metavar or action.dest
        # a file that exists is named by its path, because the path itself is not wrong
        assert str(name) in error or value in ("@file", "@link"), error
    assert shape(place) == before


def _unstartable(commands: Callable[[], dict[str, Any]], instead: Callable[..., None]) -> dict[str, Any]:
    class Unstartable:
        def __init__(self, command: Any) -> None:
            self.HELP, self.GROUP, self.PLACE = command.HELP, command.GROUP, command.PLACE
            self.configure, self.run = command.configure, instead

    return {name: Unstartable(command) for name, command in commands().items()}


from harness.commands import all_commands as _commands  # noqa: E402 - before it is replaced


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "--format", "csv", "--output"],
        ["export", "--format", "sqlite", "--output"],
        ["export", "--format", "bencher", "--output"],
        ["report", "--html"],
        ["report", "--decision"],
    ],
    ids=lambda arguments: "-".join(arguments),
)
def test_files_that_exist(arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is replaced only with --force, a link stays a link, and what is no regular file stays what it is."""
    write(place / "results", apps={"go": APPS["go"]}, blocks=1)
    assert main([*arguments, "new"]) == 0
    if arguments[-1] == "--html":  # a page that Tare wrote
        assert main([*arguments, "new"]) == 0
    else:
        assert "exists already" in refused_of([*arguments, "new"], capsys)
    assert "exists already" in refused_of([*arguments, "file"], capsys)
    assert main([*arguments, "link", "--force"]) == 0
    assert (place / "link").is_symlink()
    assert (place / "file").read_bytes() != b"mine\n"
    assert "No space left" in refused_of([*arguments, "/dev/full"], capsys)
    assert main([*arguments, "/dev/null"]) == 0
    for device in ("/dev/null", "/dev/full"):
        assert stat.S_ISCHR(os.stat(device).st_mode)  # noqa: PTH116
    assert "is a pipe" in refused_of([*arguments, "pipe"], capsys)
    assert stat.S_ISFIFO((place / "pipe").lstat().st_mode)


def refused_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    return refused(arguments, capsys)


def test_a_file_system_that_is_read_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Root may write everywhere but there. /proc/sys is one that every machine has."""
    assert "cannot be written" in refused(["trend", "--html", "/proc/sys/page.html"], capsys)
    assert "cannot be written" in refused(["nightly", "--results", "/proc/sys/results"], capsys)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-m", "sise"], "Did you mean size?"),
        (["-m", "size and ("], "Wrong expression"),
        (["-k", "nonsense"], "nothing has these names"),
        (["--app", "nope"], "Choose from"),
        (["--strategy", "nope"], "Choose from"),
        (["--resume", "nope"], "this folder has no run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_names_that_the_main_job_does_not_know(words: list[str], says: str) -> None:
    """They are refused before the lab is opened: no engine may be used here."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "harness", "bench", *words],
        cwd=ROOT,
        env={**ours, "TARE_ENGINE": "off"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode not in (0, 1, 5)
    assert says in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("locale", "encoding"), [("C", None), ("POSIX", "ascii"), ("en_US.ISO-8859-1", "latin-1")])
def test_output_in_any_locale(locale: str, encoding: str | None, place: Path) -> None:
    write(place / "results", apps={"go": APPS["go"]}, blocks=1)
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment.pop("PYTHONIOENCODING", None)  # tox sets it
    environment |= {"PYTHONIOENCODING": encoding} if encoding else {}
    for words in (["--help"], ["report"], ["report", "--markdown"], ["report", "no–such run\udcff"]):
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == (2 if len(words) == 2 and words[1][0] == "n" else 0), done.stderr
        assert b"Traceback" not in done.stderr
        (done.stdout + done.stderr).decode(encoding or "ascii")


def test_a_full_disk_behind_standard_output(place: Path) -> None:
    write(place / "results", apps={"go": APPS["go"]}, blocks=1)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "report"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_the_cache_that_is_removed_is_one_of_tare(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TARE_CACHE", str(place / "folder"))
    (place / "folder" / "photos").mkdir()
    assert "not a cache of Tare" in refused(["clean", "--cache"], capsys)
    assert (place / "folder" / "photos").exists()
    shutil.rmtree(place / "folder" / "photos")
