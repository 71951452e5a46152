"""Build contexts: an app's folder as a reproducible tar, with an edit applied and the Dockerfile put in."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from docker.utils.build import exclude_paths

from harness.errors import UsageError
from harness.image.dockerfile import instructions
from harness.model import App, Edit

_SOURCE = "source"  # folder of the tar that holds the app, where the Dockerfile must stay out of its way
_STAGE = "tare-source"


def edited(app: App, edit: Edit, number: int) -> dict[str, bytes]:
    """The file an edit touches, with the edit applied; `number` makes its text one never built before."""
    path = app.path / edit.file
    text = path.read_text(encoding="utf-8")
    if edit.find not in text:
        raise UsageError(
            f"{edit.find!r} is no longer in the file", where=str(path), fix="Correct the edit in app.toml."
        )
    return {edit.file: text.replace(edit.find, edit.replace.replace("{n}", str(number))).encode()}


def pack(folder: Path, dockerfile: str, *, changed: dict[str, bytes] | None = None) -> bytes:
    """A tar of what `.dockerignore` leaves of `folder`, with `dockerfile` as Dockerfile.

    Sorted, owners 0, times 0: the same input gives the same bytes, so that only edits invalidate caches.
    The engine reads the Dockerfile from the same tar, so an instruction that copies the whole context would copy
    it too. Then the app goes into a folder of the tar and a first stage hands it out: what is copied is exactly
    the app, as with a client that sends both apart.
    """
    contents = {name: (folder / name).read_bytes() for name in pack_names(folder)}
    contents.update(changed or {})
    prefix = ""
    if _copies_everything(dockerfile):
        dockerfile, prefix = _through_stage(dockerfile), f"{_SOURCE}/"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "Dockerfile", dockerfile.encode(), executable=False)
        for name in sorted(contents):
            executable = (folder / name).is_file() and bool((folder / name).stat().st_mode & 0o100)
            _add(tar, prefix + name, contents[name], executable=executable)
    return buffer.getvalue()


def pack_names(folder: Path) -> list[str]:
    """The files of a folder that are packed, sorted."""
    ignore = folder / ".dockerignore"
    patterns: list[str] = []
    if ignore.exists():
        lines = (line.strip() for line in ignore.read_text(encoding="utf-8").splitlines())
        patterns = [line for line in lines if line and not line.startswith("#")]
    kept = exclude_paths(str(folder), [*patterns, "Dockerfile", "*.Dockerfile", "app.toml"])
    kept = set(kept) - {".dockerignore"}  # which docker-py always keeps, for the classic builder
    return sorted(name for name in kept if (folder / name).is_file())


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, executable: bool) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o755 if executable else 0o644
    tar.addfile(member, io.BytesIO(data))


def _copies(words: list[str]) -> bool:
    return not any(word.startswith("--from=") for word in words)


def _copies_everything(dockerfile: str) -> bool:
    for instruction in instructions(dockerfile):
        if instruction.keyword in ("COPY", "ADD"):
            words = instruction.arguments.split()
            sources = [word for word in words if not word.startswith("--")][:-1]
            if _copies(words) and any(source.strip("./") in ("", "*") for source in sources):
                return True
    return False


def _through_stage(dockerfile: str) -> str:
    lines = dockerfile.splitlines(keepends=True)
    first_from: int | None = None
    for instruction in instructions(dockerfile):
        index = instruction.line - 1
        if instruction.keyword == "FROM" and first_from is None:
            first_from = index
        if instruction.keyword in ("COPY", "ADD") and _copies(instruction.arguments.split()):
            line = lines[index]
            at = len(line) - len(line.lstrip()) + len(instruction.keyword)
            lines[index] = f"{line[:at]} --from={_STAGE}{line[at:]}"
    assert first_from is not None
    lines.insert(first_from, f"FROM scratch AS {_STAGE}\nCOPY {_SOURCE}/ /\n")
    return "".join(lines)
