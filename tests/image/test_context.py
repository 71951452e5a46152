"""What goes into a build is what Docker's clients send: the cases were run through fsutil and `docker build`."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.image.context import BuildContext, edited, walk
from harness.image.context_tree import FolderTree, MemoryTree
from harness.model import App, Edit, Request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(
        tmp_path / "app",
        {
            "main.go": "package main\n",
            "sub/data": "data",
            "README.md": "words",
            "Dockerfile": "FROM own\n",
            "slim.Dockerfile": "FROM x\n",
            ".dockerignore": "# no words\n*.md\n",
        },
    )


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def of(folder: Path, **more: bytes) -> BuildContext:
    return BuildContext.of_folder(folder, folder / "slim.Dockerfile", changed=more)


def test_all_is_sent_but_what_the_folder_itself_ignores(folder: Path) -> None:
    names = [".dockerignore", "Dockerfile", "main.go", "slim.Dockerfile", "sub/data"]
    assert of(folder).files() == names


def test_the_dockerfile_travels_apart_from_one_in_the_folder(folder: Path) -> None:
    context = of(folder)
    assert context.definition.files == {"slim.Dockerfile": b"FROM x\n"}
    assert context.name == "slim.Dockerfile"
    found = context.tree.entry("Dockerfile")
    assert found and b"".join(found.read()) == b"FROM own\n"


def test_an_ignore_file_of_the_dockerfile_is_taken_instead(folder: Path) -> None:
    (folder / "slim.Dockerfile.dockerignore").write_text("sub\n")
    assert "README.md" in of(folder).files()
    assert "sub/data" not in of(folder).files()
    assert of(folder).definition.files["slim.Dockerfile.dockerignore"] == b"sub\n"


def test_exceptions_with_wildcards(tmp_path: Path) -> None:
    names = {"main.py": "", "pkg/a.py": "", "pkg/sub/b.py": "", "notes.txt": "", "requirements.txt": ""}
    fill(tmp_path, {**names, ".dockerignore": "*\n!**/*.py\n!requirements.txt\n", "slim.Dockerfile": ""})
    assert of(tmp_path).files() == ["main.py", "pkg/a.py", "pkg/sub/b.py", "requirements.txt"]
    folders = [entry.path for entry in of(tmp_path).entries() if entry.is_folder]
    assert folders == ["pkg", "pkg/sub"]


def test_links_modes_empty_folders_and_names_are_sent_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path, {"sub/file": "x", "slim.Dockerfile": ""})
    (tmp_path / "sub/file").chmod(0o600)
    (tmp_path / "all").write_text("y")
    (tmp_path / "all").chmod(0o4777)
    (tmp_path / "empty").mkdir(mode=0o700)
    (tmp_path / "folder-link").symlink_to("sub")
    (tmp_path / "outside").symlink_to("/etc/passwd")
    (tmp_path / "zweiter").hardlink_to(tmp_path / "all")
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9")).write_text("z")
    found = {entry.path: entry for entry in of(tmp_path).entries()}
    assert list(found) == [
        *("all", "empty", "folder-link", os.fsdecode(b"latin-\xe9"), "outside", "pipe", "slim.Dockerfile"),
        *("sub", "sub/file", "zweiter"),
    ]
    assert (found["folder-link"].link, found["outside"].link) == ("sub", "/etc/passwd")
    assert stat.S_ISLNK(found["outside"].mode)
    assert oct(found["all"].mode) == oct(stat.S_IFREG | 0o4777)
    assert oct(found["sub/file"].mode) == oct(stat.S_IFREG | 0o600)
    assert oct(found["empty"].mode) == oct(stat.S_IFDIR | 0o700)
    assert (found["zweiter"].link, found["zweiter"].size) == ("all", 1), "as fsutil sends it"
    assert found["sub/file"].modified == (tmp_path / "sub/file").stat().st_mtime_ns


def test_a_folder_is_sorted_by_bytes_and_before_what_is_in_it() -> None:
    tree = MemoryTree({"a/b": b"", "a.b": b"", "é": b"", "z": b"", "a-b/c": b""})
    assert [entry.path for entry in walk(tree)] == ["a", "a/b", "a-b", "a-b/c", "a.b", "z", "é"]


def test_paths_are_followed_through_links(tmp_path: Path) -> None:
    fill(tmp_path, {"real/one/file": "x", "real/two": "y", "other": "z"})
    (tmp_path / "link").symlink_to("real/one")
    (tmp_path / "deep").symlink_to("/link")
    (tmp_path / "a.txt").symlink_to("other")
    tree = FolderTree(tmp_path)

    def sent(*paths: str) -> list[str]:
        return [entry.path for entry in walk(tree, follow=paths)]

    assert sent("link/file") == ["link", "real", "real/one", "real/one/file"]
    assert sent("deep/file") == ["deep", "link", "real", "real/one", "real/one/file"]
    assert sent("*.txt") == ["a.txt", "other"]
    assert sent("other", "none") == ["other"]
    assert len(sent(".")) == len(list(walk(tree)))


def test_an_edit_is_laid_over_the_folder_and_never_written(folder: Path) -> None:
    before = (folder / "main.go").read_bytes()
    plain, changed = of(folder), of(folder, **{"main.go": b"package mian\n"})
    entry = changed.tree.entry("main.go")
    assert entry and b"".join(entry.read()) == b"package mian\n"
    assert entry.size == len(before), "the same size"
    assert entry.modified > (folder / "main.go").stat().st_mtime_ns, "so only its age says that it has changed"
    assert (folder / "main.go").read_bytes() == before
    assert plain.digest() != changed.digest() == of(folder, **{"main.go": b"package mian\n"}).digest()
    assert plain.digest() == of(folder).digest()


def test_the_digest_stands_for_all_but_the_times_that_get_into_an_image(folder: Path) -> None:
    seen = {of(folder).digest()}

    def changes() -> bool:
        seen.add(digest := of(folder).digest())
        return len(seen) > before and bool(digest)

    for change in (
        lambda: (folder / "main.go").chmod(0o755),
        lambda: (folder / "empty").mkdir(),
        lambda: (folder / "link").symlink_to("sub"),
        lambda: (folder / "slim.Dockerfile").write_text("FROM y\n"),
        lambda: (folder / ".dockerignore").write_text("*.md\n*.txt\n"),
    ):
        before = len(seen)
        change()
        assert changes()
    (folder / "README.md").write_text("ignored")
    os.utime(folder / "main.go", ns=(1, 1))  # as old as a fresh clone makes it
    assert of(folder).digest() in seen


def test_an_ignore_file_that_docker_refuses_is_named_with_its_line(folder: Path) -> None:
    (folder / ".dockerignore").write_bytes(b"*.md\nl\xe9gende\n")
    with pytest.raises(UsageError, match=r"UTF-8") as caught:
        of(folder).patterns()
    assert str(folder / ".dockerignore:2") in str(caught.value)
    (folder / ".dockerignore").write_bytes(b"[\n")
    with pytest.raises(UsageError, match="syntax error in pattern"):
        of(folder).patterns()


def test_a_dockerfile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        of(tmp_path)


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        (found,) = walk(FolderTree(tmp_path))
    assert not found.is_file


NAMES = st.sampled_from(["a", "b", "a.py", "c.txt", "d"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(PATHS, st.just(b""), max_size=8), st.lists(st.sampled_from(["*", "a", "!b", "**/*.py", "!a/b"])))
def test_every_file_that_is_sent_comes_after_its_folders(files: dict[str, bytes], patterns: list[str]) -> None:
    files = {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}
    sent = [entry.path for entry in walk(MemoryTree(files), exclude=patterns)]
    assert len(sent) == len(set(sent))
    for number, path in enumerate(sent):
        assert "/" not in path or path.rpartition("/")[0] in sent[:number]
    if not patterns:
        assert {path for path in sent if path in files} == set(files)


def app(folder: Path, edit: Edit) -> App:
    return App(
        name="a", title="a", language="go", path=folder, port=1, ready=Request("/"), verify=(),
        source_change=edit, dependency_change=edit,
    )  # fmt: skip


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_different_edits_give_different_texts(tmp_path_factory, one, two):
    folder = tmp_path_factory.mktemp("app")
    (folder / "f").write_text("revision 0")
    edit = Edit("f", "revision 0", "revision {n}")
    texts = [edited(app(folder, edit), edit, number)["f"] for number in (one, two)]
    assert (texts[0] == texts[1]) == (one == two)


def test_an_edit_that_no_longer_fits_is_told(folder):
    edit = Edit("main.go", "nowhere", "{n}")
    with pytest.raises(UsageError, match="nowhere"):
        edited(app(folder, edit), edit, 1)
