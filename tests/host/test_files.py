"""Files that are written whole, and what is never replaced."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from harness.host.files import replace_file, replacing


def test_a_file_is_new_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    replace_file(path, "one")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "one"
    replace_file(path, iter((b"tw", b"o")), durable=True)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]  # nothing temporary is left


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    replace_file(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, "through")
    reader.join(timeout=10)
    assert read == [b"through"] and pipe.is_fifo()


def test_a_device_is_not_replaced() -> None:
    replace_file(Path("/dev/null"), "nothing")
    assert Path("/dev/null").is_char_device()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path, "text")
