"""A context as an archive: what GNU tar's reader finds in it is what Docker's clients send."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from harness.image.context import BuildContext
from harness.image.context_tar import write_context


def test_files_links_modes_and_ignored_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "big").write_bytes(b"x" * 300_000)
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    os.link(tmp_path / "tool", tmp_path / "twin")
    (tmp_path / "link").symlink_to("tool")
    (tmp_path / "ignored").write_text("no")
    (tmp_path / ".dockerignore").write_text("ignored\n")
    (tmp_path / ".containerignore").write_text("of another builder")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    context = BuildContext.of_folder(tmp_path, tmp_path / "Dockerfile", changed={"tool": b"changed"})
    out = io.BytesIO()
    write_context(context, out, beside={"ours": b"text"}, hide=frozenset({".containerignore"}))
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        found = {member.name: member for member in tar}
        content = {
            name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for name, member in found.items()
            if member.isfile() and not member.islnk()
        }
    assert set(found) == {"empty", "big", "tool", "twin", "link", ".dockerignore", "Dockerfile", "ours"}
    assert content["tool"] == b"changed"
    assert content["big"] == b"x" * 300_000
    assert content["ours"] == b"text"
    assert found["empty"].isdir()
    assert (found["link"].issym(), found["link"].linkname) == (True, "tool")
    assert found["tool"].mode == 0o755
    assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}
