"""Every fact of an environment either speaks for itself or is explained."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.report.facts import explained, plain, title
from harness.run import environment

PLAIN = {
    *("processor", "processors", "memory", "kernel", "architecture", "engine", "runtime", "storage driver"),
    *("image store", "cgroup", "rootless"),
}


def test_every_fact_is_on_one_of_the_two_sides() -> None:
    tree = ast.parse(Path(environment.__file__).read_text(encoding="utf-8"))
    tables = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    ]
    names = {key.value for key in tables[0].keys if isinstance(key, ast.Constant)}
    facts = dict.fromkeys((str(name) for name in names), "on")
    assert plain(facts).keys() == PLAIN
    assert explained(facts).keys() == facts.keys() - PLAIN


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("bases", "packages trixie", "packages of this distribution release"),
        ("depot", "off", "the day's network"),
        ("node", "layers", "pulled to the run's engine"),
        ("cold build", "no cache used", "was not emptied"),
        ("unpigz", "no", "slower"),
        ("gunzip", "igzip", "unpacks layers"),
    ],
)
def test_a_value_is_explained_in_words(name: str, value: str, words: str) -> None:
    assert words in explained({name: value})[name][1]


def test_a_value_of_another_version_of_tare_is_shown_without_words() -> None:
    assert explained({"node": "moon"}) == {"node": ("moon", "")}


def test_a_fact_whose_name_means_something_else_has_a_title() -> None:
    """*node* is also an app, and nobody outside knows the word *depot*."""
    assert (title("node"), title("depot"), title("link")) == (
        "empty machine (stored as node)",
        "package proxy (stored as depot)",
        "link",
    )
