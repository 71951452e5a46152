"""The page's own scenarios against harness/scenarios/formulas.py, over measured parts and over made-up ones."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from harness.scenarios.break_even import crossings, pull_curve, raised
from harness.scenarios.formulas import Estimate, LinkSpeed, Parts, Question, Typical, plain, storage, vectors
from harness.scenarios.measured import measured_parts
from harness.scenarios.pull_model import LayerCost, PullProfile
from support.synthetic import run

pytestmark = pytest.mark.simulation

SOURCE = files("harness.report.page").joinpath("assets", "scenarios.js")
QUESTIONS = [
    Question(wire=LinkSpeed(bits_per_second=bits, rtt=rtt), nodes=nodes, versions=7)
    for bits, rtt, nodes in product((1e6, 5e7, 3e8, 1e10), (0.0, 0.02, 0.3), (1, 17))
]


def javascript(expression: str, folder: Path, request: pytest.FixtureRequest) -> object:
    """The value of an expression over `Scenarios` and `data`, in Node.js or else in a browser."""
    if node := shutil.which("node"):
        script = (
            f"const Scenarios = require({json.dumps(str(SOURCE))});\n{expression.replace('return', 'const out =', 1)}"
        )
        script += "\nprocess.stdout.write(JSON.stringify(out));"
        (folder / "asked.js").write_text(script, encoding="utf-8")
        done = subprocess.run([node, str(folder / "asked.js")], capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)
    page = folder / "page.html"
    page.write_text(f"<body><script>{SOURCE.read_text(encoding='utf-8')}</script></body>", encoding="utf-8")
    return request.getfixturevalue("chromium").ask(page, expression)


def made_up(seed: int) -> Parts:
    random = np.random.default_rng(seed)

    def typical(layers: int) -> Typical:
        costs = tuple(
            LayerCost(f"sha256:{i:064x}", int(random.lognormal(15, 2)) * int(random.random() > 0.1), random.random())
            for i in range(layers)
        )
        low, high = (0.9, 1.2) if random.random() > 0.3 else (None, None)
        return Typical(profile=PullProfile(costs, random.random(), random.random() / 9), low=low, high=high, n=6)

    return Parts(
        cell=f"cell-{seed}",
        app="app",
        strategy=f"s{seed}",
        empty=typical(int(random.integers(1, 12))),
        update=typical(1) if seed % 2 else None,
        base=typical(3),
        start=Estimate(value=0.5, low=0.4, high=0.8, n=5),
        cold=Estimate(value=20.0, low=None, high=None, n=2),
        source=Estimate(value=3.0, low=2.9, high=3.3, n=9),
        reproducible=(True, False, None)[seed % 3],
    )


def test_the_page_computes_what_python_computes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    parts = measured_parts(run(tmp_path, blocks=6)) | {f"made-{seed}": made_up(seed) for seed in range(12)}
    expected = vectors(parts, QUESTIONS)
    asked = [{"cell": item["cell"], "question": item["question"]} for item in expected]
    data = json.dumps({"parts": {cell: plain(part) for cell, part in parts.items()}, "asked": asked})
    found = javascript(
        f"const data = {data}; return data.asked.map(({{cell, question}}) => Object.fromEntries("
        "Object.entries(Scenarios.compute).map(([name, compute]) => [name, compute(data.parts[cell], question)])));",
        tmp_path,
        request,
    )
    assert isinstance(found, list)
    compared = 0
    for mine, theirs in zip(expected, found, strict=True):
        scenarios = mine["scenarios"]
        assert isinstance(scenarios, dict)
        assert scenarios.keys() == theirs.keys()
        for name, answer in scenarios.items():
            if answer is None:
                assert theirs[name] is None
                continue
            for key in ("value", "low", "high", "n"):
                assert theirs[name][key] == (None if answer[key] is None else pytest.approx(answer[key], rel=1e-9))
                compared += 1
    assert compared > 10_000


def test_break_evens_are_python_s(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pairs = [(made_up(seed), made_up(seed + 1)) for seed in range(8)]
    data = json.dumps([[plain(one), plain(two)] for one, two in pairs])
    found = javascript(
        f"const data = {data}; return data.map(([one, two]) => Scenarios.breakEven(one, two, 'first',"
        " {wire: {bits_per_second: 1e8, rtt: 0}, nodes: 1, versions: 1}));",
        tmp_path,
        request,
    )
    assert isinstance(found, list)
    some = 0
    for (one, two), theirs in zip(pairs, found, strict=True):
        curves = []
        for part in (one, two):
            assert part.empty and part.start
            curves.append(raised(pull_curve(part.empty.profile, start=8 / 1e10, end=8 / 1e6), part.start.value))
        mine = sorted(crossings(*curves), key=lambda crossing: crossing.bits_per_second)
        assert [item["below"] for item in theirs] == [item.below for item in mine]
        for a, b in zip(theirs, mine, strict=True):
            assert a["bits_per_second"] == pytest.approx(b.bits_per_second, rel=1e-6)
            some += 1
    assert some


def test_storage_is_python_s(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    parts = measured_parts(run(tmp_path, blocks=1))
    stored = storage(part for part in parts.values() if part.strategy == "slim")
    assert stored
    data = json.dumps({"first": stored.first, "added": stored.added})
    found = javascript(
        f"const data = {data}; return [1, 2, 50].map(v => Scenarios.storage(data, v));", tmp_path, request
    )
    assert found == [stored.of(versions) for versions in (1, 2, 50)]
