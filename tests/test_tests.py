"""The tests themselves: where they stand, that none leans on another's, and that each can fail."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import harness

HOUSE = Path(harness.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("test_*.py"))
# Test modules that mirror no single module of the house, and why.
NO_MIRROR = {
    "test_house.py": "the order of the rooms",
    "test_tests.py": "the tests",
    "catalogue/test_dockerfiles.py": "the Dockerfiles of variants/ and apps/",
    "probes/test_trials.py": "probes/harden.py and probes/intruder.py, which try things on the same stand-in",
}
# Folders of tests that run whole commands, and whose modules are named after what a user does.
WHOLE_COMMANDS = ("golden", "live")


def name(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


def has_subject(path: Path) -> bool:
    """Whether the house has a module, package or script at the place of a test module."""
    place = path.relative_to(TESTS)
    module = HOUSE / place.parent / place.stem.removeprefix("test_")
    return module.is_dir() or any(module.with_suffix(suffix).exists() for suffix in (".py", ".js"))


def test_a_test_module_is_named_after_the_module_that_it_tests() -> None:
    named = [path for path in MODULES if path.relative_to(TESTS).parts[0] not in WHOLE_COMMANDS]
    assert {name(path) for path in named if not has_subject(path)} == set(NO_MIRROR)


def test_no_test_module_imports_another() -> None:
    found, stems = [], {path.stem for path in MODULES}
    for path in MODULES:
        imported = re.findall(
            r"^\s*(?:from|import) (?:\S+\.)?(test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        if (set(imported) & stems) - {path.stem}:  # a child process may import the module that started it
            found.append(f"{name(path)} imports {', '.join(imported)}")
    assert not found, f"what two test modules need belongs in tests/support: {found}"


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


SUPPORT = {key: node for path in (TESTS / "support").glob("*.py") for key, node in functions(path).items()}


def can_fail(function: ast.FunctionDef, known: dict[str, ast.FunctionDef], seen: frozenset[str] = frozenset()) -> bool:
    """Whether a function asserts, expects an error or warning, or calls a function of the tests that does so."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("raises", "warns", "fail"):
                return True
            other = known.get(called)
            if other and called not in seen and can_fail(other, known, seen | {called}):
                return True
    return False


def test_every_test_can_fail() -> None:
    cannot = []
    for path in MODULES:
        own = functions(path)
        tests = [node for node in own.values() if node.name.startswith("test_")]
        cannot += [f"{name(path)}:{node.lineno}" for node in tests if not can_fail(node, {**SUPPORT, **own})]
    assert not cannot, f"asserts nothing: {', '.join(cannot)}"
