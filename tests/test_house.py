"""The house: which rooms there are, which may import which, and which modules do no input or output."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import harness

HOUSE = Path(harness.__file__).parent
TESTS = Path(__file__).parent
# From the ground up. A room imports only rooms before it; CONTRIBUTING describes each room.
ROOMS = (
    *("model", "errors", "settings", "tomlfile", "ledger"),
    *("stats", "text", "image", "host", "store", "engine", "catalogue", "surface", "scenarios", "lab", "cell"),
    *("probes", "run", "claims", "decision", "service", "nights", "experiments", "report", "export", "commands"),
    *("plugin", "cli", "__main__"),
)
# Modules that do no input or output: the same arguments give the same answer.
PURE = (
    *("model", "text/units", "stats/*", "run/plan", "claims/judge", "claims/samples", "decision/*"),
    *("scenarios/pull_model", "scenarios/formulas", "scenarios/break_even", "nights/watch"),
)
INPUT_AND_OUTPUT = frozenset(
    ("os", "io", "socket", "subprocess", "shutil", "tempfile", "http", "urllib", "docker", "pathlib")
)
# Public classes that may have one name in several modules, each with the reason.
NAMESAKES: Mapping[str, str] = {}
# What a pure module may not call, although it may import the module it comes from.
CALLS = frozenset(("open", "print", "input", "time.time", "time.monotonic", "time.sleep", "random.random"))
# Modules that may take the name of a metric apart, and why.
SPLITS_NAMES = {"store/format": "the migration of manifests from before a metric carried its probe and state"}
TAKES_APART = ("split", "rsplit", "partition", "rpartition", "startswith", "endswith", "removeprefix", "removesuffix")
# A path that is handed through as a value is no input or output.
HOLDS_PATHS = frozenset(("model",))

LONG = 320  # lines: 300, and a few that are not worth a word; a longer module holds two things, or says here why not
REASONS = {
    "cell/prepare": "the ways of one cell from Dockerfile to registry, which share every step",
    "engine/docker": "one method for each call of the contract",
    "engine/fake/engine": "one method for each call of the contract",
    "image/tar": "one parser: a header says how the next bytes are read",
    "lab/bases/bases": "finding, loading and publishing the same bases",
    "lab/lab": "opening one lab: what is opened last is closed first",
    "lab/node": "one kind of node for each kind of machine, all behind one class",
    "model": "records without behaviour, which every room reads",
    "nights/history": "one collection, which owns its series",
    "plugin": "the hooks of pytest and the session that they share",
    "report/page/trends": "one page, from its charts to its text",
    "report/table": "one table: the width of each part depends on the others",
    "run/runner": "one loop, whose steps share the clock and what is recorded",
    "scenarios/formulas": "one formula for each scenario, beside the parts that all of them use",
    "service/remedies": "one table of symptoms and the edits that cure them",
    "stats/intervals": "the interval of a value, of a ratio and of a difference, with the rules that they share",
    "store/format": "the form of each file of a run folder, and its migrations",
    "surface/inventory": "one walk through a tree that takes everything along",
}

# Test modules that mirror no single module of the house, and why.
NO_MIRROR = {
    "test_house.py": "the order of the rooms",
    "test_prose.py": "the words of everything that people read",
    "test_tests.py": "the tests",
    "test_doors.py": "bad values at every door: all commands and all options",
    "test_fuzz.py": "damaged data for every reader of stored data",
    "test_toxfile.py": "toxfile.py, the plugin of tox beside tox.ini",
    "catalogue/test_dockerfiles.py": "the Dockerfiles of variants/ and apps/",
    "nights/test_workflow.py": "a workflow of docs/nightly/, its steps run with stand-ins",
    "nights/test_simulation.py": "made-up histories through the whole of nights/",
    "surface/test_worlds.py": "whole images of every world of packages, through all of surface/",
    "run/test_budget.py": "run/runner.py by a clock that only measurements move",
    "probes/test_trials.py": "probes/harden.py and probes/intruder.py, which try things on the same stand-in",
}
# Folders of tests that run whole commands, and whose modules are named after what a user does.
WHOLE_COMMANDS = ("golden", "live")


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the house by its path without `.py`, parsed."""
    for path in sorted(HOUSE.rglob("*.py")):
        yield path.relative_to(HOUSE).with_suffix("").as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, at run time or for types, at the top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def test_the_rooms_are_those_of_the_list() -> None:
    found = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == set(ROOMS)


def test_ls_shows_rooms_and_not_an_alphabet() -> None:
    assert len([path for path in HOUSE.iterdir() if path.is_file()]) <= 10


def test_a_long_module_holds_one_thing_and_says_which() -> None:
    long = {
        name for name, _ in modules() if len((HOUSE / f"{name}.py").read_text(encoding="utf-8").splitlines()) > LONG
    }
    unexplained = sorted(long - REASONS.keys())
    assert not unexplained, f"split them where two things stand together, or say in REASONS why not: {unexplained}"
    gone = [name for name in REASONS if not (HOUSE / f"{name}.py").exists()]
    assert not gone, f"no such module any more: {gone}"


def test_imports_point_downwards() -> None:
    upward = []
    for name, tree in modules():
        room = name.partition("/")[0]
        if room == "__init__":
            continue
        for line, target in imports(tree):
            head, _, rest = target.partition(".")
            other = rest.partition(".")[0]
            if head == "harness" and other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                upward.append(f"harness/{name}.py:{line} imports {target}, which stands above {room}")
    assert not upward, "\n".join(upward)


def test_modules_of_one_room_do_not_import_each_other_in_a_circle() -> None:
    names = {f"harness.{name.replace('/', '.')}".removesuffix(".__init__"): tree for name, tree in modules()}
    graph: dict[str, set[str]] = {}
    for name, tree in names.items():
        targets = (target for _, target in imports(tree))
        known = {t if t in names else t.rpartition(".")[0] for t in targets}
        graph[name] = {target for target in known if target in names and target != name}
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        for name in leaves:
            del graph[name]
    assert not graph, f"imported in a circle: {', '.join(sorted(graph))}"


def test_no_two_public_classes_have_the_same_name() -> None:
    found: dict[str, list[str]] = {}
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in NAMESAKES:
                found.setdefault(node.name, []).append(f"harness/{name}.py:{node.lineno}")
    twice = [f"{name}: {', '.join(places)}" for name, places in found.items() if len(places) > 1]
    assert not twice, "\n".join(twice)


@pytest.mark.parametrize("pattern", PURE)
def test_pure_modules_do_no_input_or_output(pattern: str) -> None:
    paths = sorted(HOUSE.glob(f"{pattern}.py"))
    assert paths, f"no module is called {pattern}"
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        heads = {target.partition(".")[0] for _, target in imports(tree)}
        if path.relative_to(HOUSE).with_suffix("").as_posix() in HOLDS_PATHS:
            heads -= {"pathlib"}
        assert not heads & INPUT_AND_OUTPUT, f"{path} imports {', '.join(sorted(heads & INPUT_AND_OUTPUT))}"
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & CALLS, f"{path} calls {', '.join(sorted(calls & CALLS))}"


def test_a_metric_says_its_probe_and_state_and_nothing_takes_its_name_apart() -> None:
    found = [
        f"harness/{name}.py:{node.lineno}: {ast.unparse(node)}"
        for name, tree in modules()
        if name not in SPLITS_NAMES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in TAKES_APART
        and "metric" in ast.unparse(node.func.value)
    ]
    assert not found, f"ask the metric for its probe, group or state: {found}"


def has_subject(path: Path) -> bool:
    """Whether the house has a module, package or script at the place of a test module."""
    place = path.relative_to(TESTS)
    module = HOUSE / place.parent / place.stem.removeprefix("test_")
    return module.is_dir() or any(module.with_suffix(suffix).exists() for suffix in (".py", ".js"))


def test_a_test_module_is_named_after_the_module_that_it_tests() -> None:
    paths = [path for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in WHOLE_COMMANDS]
    without = {path.relative_to(TESTS).as_posix() for path in paths if not has_subject(path)} - set(NO_MIRROR)
    assert not without, f"name them after the module that they test, or say in NO_MIRROR why not: {sorted(without)}"
