import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.image.context import edited, pack
from harness.model import App, Edit, Request


def unpack(context: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, text in {
        "main.go": "package main\n",
        "sub/data": "data",
        "README.md": "words",
        "app.toml": "port = 1",
        "slim.Dockerfile": "FROM x\n",
        ".dockerignore": "# no words\n*.md\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_is_ignored_or_ours_stays_out(folder):
    assert set(unpack(pack(folder, "FROM x\nCOPY main.go /\n"))) == {"Dockerfile", "main.go", "sub/data"}


def test_an_edit_replaces_one_file(folder):
    contents = unpack(pack(folder, "FROM x\nCOPY main.go /\n", changed={"main.go": b"changed"}))
    assert (contents["main.go"], contents["sub/data"]) == (b"changed", b"data")


def test_the_dockerfile_stays_out_of_what_copies_everything(folder):
    contents = unpack(pack(folder, "ARG A=x\nFROM ${A}\nCOPY go.mod ./\nCOPY . .\nCOPY --from=0 /a /b\n"))
    assert set(contents) == {"Dockerfile", "source/main.go", "source/sub/data"}
    assert contents["Dockerfile"].decode().splitlines() == [
        "ARG A=x",
        "FROM scratch AS tare-source",
        "COPY source/ /",
        "FROM ${A}",
        "COPY --from=tare-source go.mod ./",
        "COPY --from=tare-source . .",
        "COPY --from=0 /a /b",
    ]


def test_the_same_input_gives_the_same_bytes(folder):
    one = pack(folder, "FROM x\n")
    (folder / "main.go").touch()
    assert pack(folder, "FROM x\n") == one


def test_programs_stay_programs(folder):
    (folder / "main.go").chmod(0o755)
    with tarfile.open(fileobj=io.BytesIO(pack(folder, "FROM x\n"))) as tar:
        assert {member.name: member.mode for member in tar}["main.go"] == 0o755


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
