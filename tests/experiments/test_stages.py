"""The stages experiment: its Dockerfiles, its tables."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalogue.catalogue import Catalogue
from harness.engine.fake.engine import FakeEngine
from harness.experiments.stages import BASE, COUNTS, METRICS, SHAPES, StagesProbe, dockerfile, generated
from harness.image.dockerfile import instructions, stages
from harness.model import Environment, Status, Try
from harness.report.stages import chart, documents, render, slope
from harness.store.run import CellInfo, Manifest, read_run
from harness.store.writer import RunWriter
from support.fake_lab import Apps, FakeRun, fake_lab


@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 64))
def test_a_dockerfile_has_the_stages_it_says_and_a_final_one_on_nothing(shape, count):
    text = dockerfile(shape, count, base="base", salt="1f")
    found = stages(text)
    assert [stage.name for stage in found[:count]] == [f"s{number}" for number in range(1, count + 1)]
    assert [stage.name for stage in found[count:]] == ["last", ""]
    assert found[-1].base == "scratch"
    names = {stage.name for stage in found}
    copied = {word for item in instructions(text) for word in item.flags if word.startswith("--from=")}
    assert {word.removeprefix("--from=") for word in copied} <= names


@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 8))
def test_every_stage_counts_for_the_final_image(shape, count):
    """No builder may skip a stage as unused: each is reached from the final one."""
    needs: dict[str, set[str]] = {}
    name = ""
    for item in instructions(dockerfile(shape, count, base="base")):
        if item.keyword == "FROM":
            words = item.arguments.split()
            name = words[2] if len(words) == 3 else "final"
            needs[name] = {words[0]}
        needs.setdefault(name, set()).update(
            word.removeprefix("--from=") for word in item.flags if word.startswith("--from=")
        )
    reached, waiting = set(), ["final"]
    while waiting:
        stage = waiting.pop()
        if stage not in reached:
            reached.add(stage)
            waiting += needs.get(stage, ())
    assert {f"s{number}" for number in range(1, count + 1)} <= reached


@pytest.mark.parametrize(("shape", "count"), [("round", 2), ("serial", 0)])
def test_what_there_is_no_dockerfile_of_is_refused(shape, count):
    with pytest.raises(ValueError, match="no Dockerfile"):
        dockerfile(shape, count, base="base")


EMPTY = Catalogue(apps=(), strategies=(), bases={}, release="", cells=())
COSTS = {"copy": 0.05, "serial": 0.4, "parallel": 0.2}


@pytest.fixture
def run(tmp_path):
    """Three blocks in which a stage costs exactly its COSTS, with one failed try."""
    where = Environment(facts={"engine": "fake"})
    with generated(EMPTY) as catalogue:
        cells = tuple(CellInfo.of(cell) for cell in catalogue.cells)
    manifest = Manifest(environment=where, seed=1, metrics=METRICS, cells=cells)
    with RunWriter.create(tmp_path, manifest) as writer:
        order = 0
        for block in range(3):
            for shape, cost in COSTS.items():
                for count in COUNTS:
                    if (shape, count) == ("copy", 64):
                        continue
                    values = {"stages.build": 0.3 + cost * count + 0.001 * block}
                    if not block:
                        values |= {"stages.transfer": 512.0, "stages.unpacked": 68.0}
                    cell = f"stages-{shape}-{count}"
                    common = {"probe": "stages", "state": "cold", "block": block, "order": order, "at": 1.0}
                    writer.append(Try(cell=cell, seconds=1.0, status=Status.OK, values=values, **common))
                    order += 1
        writer.append(
            Try(cell="stages-copy-64", seconds=1.0, status=Status.ERROR, reason="max depth exceeded", **common)
        )
    return read_run(writer.folder)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_cost_of_a_stage_comes_back(run, shape):
    found = slope(run, shape)
    assert found.low <= found.seconds <= found.high
    assert found.seconds == pytest.approx(COSTS[shape], rel=0.01)


def test_the_table_has_a_row_for_each_number_and_says_what_failed(run):
    text = render(run)
    rows = [line for line in text.splitlines() if line[:2].strip().isdigit()]
    assert [int(row.split()[0]) for row in rows] == list(COUNTS)
    assert "failed" in rows[-1]
    assert all("512" in row and "68" in row for row in rows)
    assert "One more stage costs 400 ms" in text


def test_the_chart_shows_every_sample(run):
    root = ElementTree.fromstring(chart(run))
    circles = [item for item in root.iter() if item.tag.endswith("circle")]
    assert len(circles) == 3 * (len(SHAPES) * len(COUNTS) - 1)
    assert set(documents(run)) == {"stages.md", "stages.svg"}


class Interrupting(Apps):
    """Ctrl-C comes in the build of this number."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at
        self.built: list[tuple[str, ...]] = []

    def build(self, tag, instructions, cached):
        if "stages" in tag:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            self.built.append(tuple(instructions))
        return super().build(tag, instructions, cached)


@pytest.mark.parametrize("at", [1, 9, 30])
def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path, at):
    with generated(EMPTY) as catalogue:
        bench = FakeRun(tmp_path, [StagesProbe()], names=())
        bench.cells, bench.one_row = list(catalogue.cells), False
        bench.behaviour = Interrupting(at)
        bench.engine = FakeEngine(bench.behaviour, origin="private", addresses=True)
        bench.lab = fake_lab(tmp_path, bench.cells, bench.engine, bases=(BASE,))
        with pytest.raises(KeyboardInterrupt):
            bench.run(blocks=2)
        run = bench.run(blocks=2, resume=bench.stored())
        bench.close()
    assert not run.failures
    keys = [(try_.cell, try_.state, try_.block) for try_ in run.tries()]
    assert len(keys) == len(set(keys)) == 2 * 2 * len(SHAPES) * len(COUNTS)
    assert {name for _, name in run.series()} == {metric.name for metric in METRICS}
    assert len(set(bench.behaviour.built)) == len(bench.behaviour.built)  # each with a salt of its own
    assert len(bench.behaviour.built) == 2 * len(SHAPES) * len(COUNTS)
    assert not [name for name in bench.engine._names if "stages" in name]
