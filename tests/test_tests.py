"""The tests themselves: none leans on another module of tests, each can fail, and each has a time-out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("test_*.py"))


def name(path: Path) -> str:
    return path.relative_to(TESTS).as_posix()


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


def test_every_test_has_a_time_out(request: pytest.FixtureRequest) -> None:
    without = [item.nodeid for item in request.session.items if not item.get_closest_marker("timeout")]
    assert not without, f"may hang: {', '.join(without)}"
