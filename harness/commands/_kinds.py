"""What options take. A kind checks a value while the command line is read, before anything slow starts.

`tests/test_doors.py` tries bad values of each kind on every option of every command.
"""

from __future__ import annotations

import argparse
import math
import os
import stat
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TareError, UsageError
from harness.settings import GENERATOR, EngineChoice

_HEAD = 1000  # bytes of a page, in which its head says what wrote it
_LONGEST = 1000  # characters of a name or a path


@dataclass(frozen=True, slots=True)
class Text:
    """A name, a pattern or a sentence: something that is not empty and can be shown in one line."""

    example: str

    def __call__(self, text: str) -> str:
        if not text.strip():
            raise ArgumentTypeError(f"is empty. Give a value such as {self.example}.")
        if not text.isprintable() or len(text) > _LONGEST:
            raise ArgumentTypeError(f"is not one line of readable text. Give a value such as {self.example}.")
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int = 1
    most: int = 1_000_000

    def __call__(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = self.least - 1
        if not self.least <= number <= self.most:
            raise ArgumentTypeError(f"{_shown(text)} is not possible. Give a whole number from {self.least}.")
        return number


@dataclass(frozen=True, slots=True)
class Amount:
    """A finite number, larger than 0 unless `zero` is allowed. The option's help names the unit."""

    zero: bool = False

    def __call__(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (0 < number < math.inf or (self.zero and number == 0)):
            least = "from 0" if self.zero else "larger than 0"
            raise ArgumentTypeError(f"{_shown(text)} is not possible. Give a number {least}, without a unit.")
        return number


@dataclass(frozen=True, slots=True)
class Checked:
    """Text that `check` accepts; it raises TareError if not. The option's value stays the text."""

    check: Callable[[str], object]
    longest: int = _LONGEST  # characters

    def __call__(self, text: str) -> str:
        if not text.strip() or len(text) > self.longest:
            raise ArgumentTypeError(f"{_shown(text)} is not a valid value. Leave the option out, or give a value.")
        try:
            self.check(text)
        except TareError as error:
            raise ArgumentTypeError(f"{error.what}. {error.fix}".rstrip()) from None
        return text


@dataclass(frozen=True, slots=True)
class InputFile:
    """A regular file that can be read; a folder too if `folder`."""

    folder: bool = False

    def __call__(self, text: str) -> Path:
        path = _path(text)
        kind = "file or folder" if self.folder else "file"
        try:
            mode = path.stat().st_mode
            if stat.S_ISREG(mode):
                path.open("rb").close()
            elif stat.S_ISDIR(mode) and self.folder:
                os.listdir(path)  # noqa: PTH208 - only whether it can be read
            else:
                raise ArgumentTypeError(f"{path} is {_what(mode)}. Name a {kind}.")
        except OSError as error:
            raise ArgumentTypeError(f"{path} cannot be read: {error.strerror}. Name a {kind} that exists.") from None
        return path


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder that exists and can be read."""

    def __call__(self, text: str) -> Path:
        path = _path(text)
        try:
            os.listdir(path)  # noqa: PTH208 - only whether it can be read
        except OSError as error:
            raise ArgumentTypeError(f"{path} cannot be read: {error.strerror}. Name a folder that exists.") from None
        return path


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """A folder that can be written to, or that can be made."""

    def __call__(self, text: str) -> Path:
        path = _path(text)
        _can_be_made_in(path)
        return path


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that can be written. A character device and standard output are written through."""

    def __call__(self, text: str) -> Path:
        path = _path(text)
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            _can_be_made_in(path.parent)
            return path
        except OSError as error:
            raise ArgumentTypeError(f"{path} cannot be written: {error.strerror}. Name another file.") from None
        # to open a pipe by its name waits for a reader; /dev/stdout and its like are open already
        is_open = path.absolute().parts[1:2] in (("dev",), ("proc",))
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or (is_open and stat.S_ISFIFO(mode))):
            raise ArgumentTypeError(f"{path} is {_what(mode)}. Name a file.")
        if stat.S_ISREG(mode) and not is_open:
            try:
                os.close(os.open(path, os.O_WRONLY))
            except OSError as error:
                raise ArgumentTypeError(f"{path} cannot be written: {error.strerror}. Name another file.") from None
            _can_be_made_in(Path(os.path.realpath(path)).parent)
        return path


def _budget(text: str) -> float:
    from harness.run.plan import parse_budget  # takes a tenth of a second, and `tare --help` needs it not

    return parse_budget(text)


TIME = Checked(_budget)
ENGINE = Checked(EngineChoice.parse)
RUN = Text("20270115-080000-1a2b")
CELL = Text("go-slim")


def add_output(parser: argparse._ActionsContainer, *names: str, help: str) -> None:
    """An option that names a file to write. `add_force` makes it possible to replace a file."""
    parser.add_argument(*names, type=OutputFile(), metavar="FILE", help=help)


def add_force(parser: argparse.ArgumentParser, *outputs: str) -> None:
    """`--force`, without which no file that `outputs`, the names of options, name is replaced."""
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.set_defaults(outputs=outputs)


def refuse_to_replace(options: argparse.Namespace) -> None:
    """Raises UsageError if a file exists that an option names as output, unless `--force` is given."""
    for name in getattr(options, "outputs", ()):
        path = getattr(options, name)
        if path is not None:
            must_be_new(path, force=options.force)


def must_be_new(path: Path, *, force: bool) -> None:
    """Raises UsageError if there is a regular file at `path`, unless it is a page of Tare or may be replaced."""
    if path.is_file() and not force and not _is_page(path):
        raise UsageError("the file exists already", where=str(path), fix="Name another file, or add --force.")


def _is_page(path: Path) -> bool:
    """Whether the file is a page that Tare wrote. Each night writes its page again."""
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD)


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise ArgumentTypeError("the path is empty or not valid. Name a file or a folder.")
    return Path(text)


def _can_be_made_in(folder: Path) -> None:
    """Raises ArgumentTypeError unless a file can be made in a folder, which is made too if it is missing.

    A file without a name is made for it and vanishes at once, because permissions alone do not say it: a file system
    may be read-only, and root may write everywhere but there.
    """
    there = folder
    try:
        while not there.exists() and not there.is_symlink():
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ArgumentTypeError(
            f"{folder} cannot be written: {error.strerror} ({there}). Name another place, or change its permissions."
        ) from None


def _what(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "not a file")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
