"""Reading the catalogue. A folder of tests/catalogue is a case: it is laid over `sound`, and expected.txt holds the
cells that are left and every message, word for word.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.catalogue.read import read
from harness.errors import CatalogueError
from harness.model import Request
from harness.tomlfile import Document, Keys, positions

HERE = Path(__file__).parent
CASES = sorted(path for path in (HERE / "cases").iterdir() if path.is_dir())

calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy


def told(root: Path) -> str:
    try:
        catalogue = read(root)
    except CatalogueError as error:
        return f"fatal: {error}\n"
    lines = ["cells: " + " ".join(cell.id for cell in catalogue.cells), *map(str, catalogue.problems)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with the sound catalogue, as the current folder: messages are then relative."""
    shutil.copytree(HERE / "cases" / "sound", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_mistake_is_told_and_costs_only_its_own_cells(case: Path, folder: Path) -> None:
    shutil.copytree(case, folder, dirs_exist_ok=True)
    assert told(folder) == (case / "expected.txt").read_text(encoding="utf-8")


def test_records_say_what_the_files_say(folder: Path) -> None:
    catalogue = read(folder)
    (app,) = catalogue.apps
    assert (app.name, app.title, app.language, app.port, app.start_timeout) == ("echo", "Echo", "sh", 8080, 5.0)
    assert app.env == {"MODE": "loud"}
    assert app.ready == Request(path="/health", equals="ok")
    json = {"name": "echo", "parts": [1, 2.5, True]}
    assert app.verify == (
        Request(path="/", method="POST", status=201, json=json, body="{}"),
        Request(path="/page", contains="welcome"),
    )
    assert (app.source_change.find, app.dependency_change.replace) == ("revision 0", "edit {n}")
    assert [(strategy.name, strategy.default) for strategy in catalogue.strategies] == [
        ("rare", False),
        ("plain", True),
        ("bare", True),
    ]
    assert catalogue.release == "trixie"
    base = catalogue.bases["sdk-sh"]
    assert (base.parent, base.packages, base.options) == ("os-full", ("shellcheck",), {"env": {"LANG": "C.UTF-8"}})
    assert [(cell.id, cell.bases, cell.base) for cell in catalogue.cells] == [
        ("echo-plain", ("os-full",), "os-full"),
        ("echo-bare", ("sdk-sh",), ""),
    ]


def test_an_app_may_lie_elsewhere_and_bring_its_own_dockerfile(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "mine"
    shutil.copytree(folder / "apps" / "echo", elsewhere)
    (elsewhere / "bare.Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    catalogue = read(folder, extra_apps=[elsewhere])
    assert catalogue.problems == ()
    assert [cell.id for cell in catalogue.cells] == ["echo-plain", "echo-bare", "mine-plain", "mine-bare"]
    assert catalogue.cells[-1].dockerfile == elsewhere / "bare.Dockerfile"


def test_two_apps_of_one_name_are_a_mistake(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "apps" / "echo", tmp_path / "elsewhere" / "echo")
    catalogue = read(folder, extra_apps=[Path("elsewhere/echo")])
    assert [str(error) for error in catalogue.problems] == [
        "elsewhere/echo/app.toml: app echo is apps/echo already. Rename one of the two folders."
    ]
    assert len(catalogue.cells) == 2


def test_a_symlink_out_of_the_app_is_outside(folder: Path) -> None:
    target = folder / "apps" / "echo" / "main.sh"
    shutil.move(target, folder / "main.sh")
    target.symlink_to(Path("../../main.sh"))
    assert "main.sh is outside the app" in told(folder)


def test_empty_folders_and_those_of_tools_are_no_apps(folder: Path) -> None:
    (folder / "apps" / "gone").mkdir()
    (folder / "variants" / "__pycache__").mkdir()
    (folder / "variants" / "__pycache__" / "x.pyc").touch()
    assert told(folder) == "cells: echo-plain echo-bare\n"


def test_without_apps_there_are_no_cells(folder: Path) -> None:
    shutil.rmtree(folder / "apps")
    assert told(folder) == "cells: \n"


def test_without_bases_there_is_nothing(folder: Path) -> None:
    shutil.rmtree(folder / "variants")
    assert told(folder) == "fatal: variants/bases.toml: file not found. Create it.\n"


def test_the_repositorys_own_catalogue_has_no_mistakes() -> None:
    catalogue = read(HERE.parents[1])
    assert [str(error) for error in catalogue.problems] == []
    wanted = [(app.name, strategy.name) for app in catalogue.apps for strategy in catalogue.strategies]
    defaults = {strategy.name for strategy in catalogue.strategies if strategy.default}
    found = {(cell.app.name, cell.strategy.name) for cell in catalogue.cells}
    assert catalogue.apps
    assert {pair for pair in wanted if pair[1] in defaults} <= found


# ---- lines of keys

bare_keys = st.text("abc-_1", min_size=1, max_size=3)
quoted_keys = st.text('a."=[#é \\', max_size=4).map(
    lambda key: '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
keys = st.lists(st.one_of(bare_keys, quoted_keys), min_size=1, max_size=2).map(".".join)
values = st.sampled_from(
    [
        "1",
        "'[x]'",
        '"a # b"',
        "2024-01-01",
        '"""\n[a]\nb = 1\n"""',
        "'''\n\n# no comment\n'''",
        "[\n  1, # one\n\n  {x = 1, y.z = 2},\n]",
        "{a = {b = [1, {c = 2}]}}",
        "[]",
    ]
)
statements = st.one_of(
    st.tuples(keys, values).map(" = ".join),
    keys.map("[{}]".format),
    keys.map("[[{}]]".format),
    st.sampled_from(["", "# a = 1", "  \t"]),
)


def all_keys(value: object, above: Keys = ()) -> set[Keys]:
    found: set[Keys] = {above} if above else set()
    if isinstance(value, dict):
        found.update(*(all_keys(child, (*above, key)) for key, child in value.items()))
    elif isinstance(value, list):
        found.update(*(all_keys(child, (*above, index)) for index, child in enumerate(value)))
    return found


@calm
@given(st.lists(statements, max_size=10), st.sampled_from(["\n", "\r\n"]))
def test_each_key_is_found_in_the_statement_that_brings_it(lines: list[str], end: str) -> None:
    """Built statement by statement, leaving out those TOML forbids here, so that each key's line is known."""
    kept: list[str] = []
    expected: dict[Keys, int] = {}
    for line in lines:
        try:
            data = tomllib.loads("\n".join([*kept, line]))
        except tomllib.TOMLDecodeError:
            continue
        start = sum(other.count("\n") + 1 for other in kept) + 1
        for key in all_keys(data):
            expected.setdefault(key, start)
        kept.append(line)
    assume(kept)
    text = "\n".join(kept).replace("\n", end)
    assert positions(text) == expected
    assert set(expected) == all_keys(tomllib.loads(text))


def test_a_missing_key_is_told_at_the_table_that_lacks_it(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("x = 1\n\n[[list]]\na = 1\n[[list]]\n", encoding="utf-8")
    document = Document(path)
    assert document.line(("list", 1, "a")) == 5
    assert document.line(("list", 0, "a")) == 4
    assert document.line(("y",)) is None


def test_toml_nested_too_deeply_is_a_mistake_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a = " + "[" * 5000 + "]" * 5000, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"nested too deeply|not TOML"):
        Document(path)
